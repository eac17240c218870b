//! How often products were bought together, counted from confirmed orders, each counted once.

use sqlx::SqlitePool;

use crate::chassis::store::immediate;
use crate::contract::Line;

/// Lines of an order that are paired with each other: pairs grow with the square, and beyond this a basket says little
/// about what belongs together.
const LINES_MAX: usize = 12;

/// The tables.
pub const SCHEMA: &str = "
CREATE TABLE inbox (event_id TEXT PRIMARY KEY);
CREATE TABLE pairs (
    product_id TEXT NOT NULL,
    other_id TEXT NOT NULL,
    count BIGINT NOT NULL,
    PRIMARY KEY (product_id, other_id)
);
CREATE INDEX pairs_best ON pairs (product_id, count);
CREATE TABLE popularity (product_id TEXT PRIMARY KEY, count BIGINT NOT NULL);
CREATE INDEX popularity_best ON popularity (count);
";

/// Counts of purchases.
#[derive(Debug, Clone)]
pub struct Purchases {
    pool: SqlitePool,
}

impl Purchases {
    /// On a database with the tables of `SCHEMA`.
    pub fn new(pool: SqlitePool) -> Self {
        Self { pool }
    }

    /// Counts an order; an event that was counted before changes nothing. Says whether it counted.
    pub async fn count(&self, event_id: &str, lines: &[Line]) -> Result<bool, sqlx::Error> {
        let mut products: Vec<&str> = lines.iter().map(|line| line.product_id.as_str()).collect();
        products.sort_unstable();
        products.dedup();
        products.truncate(LINES_MAX);
        let mut transaction = immediate(&self.pool).await?;
        let new = sqlx::query("INSERT INTO inbox (event_id) VALUES ($1) ON CONFLICT (event_id) DO NOTHING")
            .bind(event_id)
            .execute(&mut *transaction)
            .await?;
        if new.rows_affected() == 0 {
            return Ok(false);
        }
        for product in &products {
            sqlx::query(
                "INSERT INTO popularity (product_id, count) VALUES ($1, 1)
                 ON CONFLICT (product_id) DO UPDATE SET count = popularity.count + 1",
            )
            .bind(*product)
            .execute(&mut *transaction)
            .await?;
            for other in products.iter().filter(|other| *other != product) {
                sqlx::query(
                    "INSERT INTO pairs (product_id, other_id, count) VALUES ($1, $2, 1)
                     ON CONFLICT (product_id, other_id) DO UPDATE SET count = pairs.count + 1",
                )
                .bind(*product)
                .bind(*other)
                .execute(&mut *transaction)
                .await?;
            }
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// What was bought together with a product, most often first.
    pub async fn together_with(&self, product_id: &str, limit: u32) -> Result<Vec<String>, sqlx::Error> {
        sqlx::query_scalar("SELECT other_id FROM pairs WHERE product_id = $1 ORDER BY count DESC, other_id LIMIT $2")
            .bind(product_id)
            .bind(limit)
            .fetch_all(&self.pool)
            .await
    }

    /// What was bought most often.
    pub async fn popular(&self, limit: u32) -> Result<Vec<String>, sqlx::Error> {
        sqlx::query_scalar("SELECT product_id FROM popularity ORDER BY count DESC, product_id LIMIT $1")
            .bind(limit)
            .fetch_all(&self.pool)
            .await
    }
}

#[cfg(test)]
mod tests;

//! The document store: JSON documents with an id, a category and a place in the order of changes. Several processes share
//! the file, so every change takes the write lock first and numbers itself inside it.

use sqlx::{Row, SqlitePool};

use super::seed;
use crate::chassis::store::immediate;
use crate::contract::Product;

/// The tables.
pub const SCHEMA: &str = "
CREATE TABLE documents (
    id TEXT PRIMARY KEY,
    sequence BIGINT NOT NULL UNIQUE,
    category TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX documents_category ON documents (category, sequence);
";

/// Documents as JSON text: they leave as they were stored, unread.
#[derive(Debug, PartialEq)]
pub struct Changes {
    pub bodies: Vec<String>,
    pub sequence: u64,
}

/// The documents.
#[derive(Debug, Clone)]
pub struct Documents {
    pool: SqlitePool,
}

impl Documents {
    /// Writes the seeded catalogue into an empty store; two processes may do this at once.
    pub async fn seeded(pool: SqlitePool) -> Result<Self, sqlx::Error> {
        let mut transaction = immediate(&pool).await?;
        let present: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM documents").fetch_one(&mut *transaction).await?;
        if present == 0 {
            for (sequence, product) in (1_i64..).zip(seed::catalogue()) {
                insert(&mut transaction, sequence, &product).await?;
            }
        }
        transaction.commit().await?;
        Ok(Self { pool })
    }

    /// The document with this id.
    pub async fn get(&self, id: &str) -> Result<Option<String>, sqlx::Error> {
        sqlx::query_scalar("SELECT body FROM documents WHERE id = $1").bind(id).fetch_optional(&self.pool).await
    }

    /// Stores a document, new or again; it becomes the newest change. Says whether it is new.
    pub async fn put(&self, product: &Product) -> Result<bool, sqlx::Error> {
        let mut transaction = immediate(&self.pool).await?;
        let last: i64 =
            sqlx::query_scalar("SELECT COALESCE(MAX(sequence), 0) FROM documents").fetch_one(&mut *transaction).await?;
        let removed =
            sqlx::query("DELETE FROM documents WHERE id = $1").bind(&product.id).execute(&mut *transaction).await?;
        insert(&mut transaction, last + 1, product).await?;
        transaction.commit().await?;
        Ok(removed.rows_affected() == 0)
    }

    /// One page of a category, or of all, in the order of changes; and how many there are in all.
    pub async fn page(
        &self,
        category: Option<&str>,
        offset: u32,
        size: u32,
    ) -> Result<(Vec<String>, u64), sqlx::Error> {
        let (bodies, total): (Vec<String>, i64) = match category {
            Some(category) => (
                sqlx::query_scalar(
                    "SELECT body FROM documents WHERE category = $1 ORDER BY sequence LIMIT $2 OFFSET $3",
                )
                .bind(category)
                .bind(size)
                .bind(offset)
                .fetch_all(&self.pool)
                .await?,
                sqlx::query_scalar("SELECT COUNT(*) FROM documents WHERE category = $1")
                    .bind(category)
                    .fetch_one(&self.pool)
                    .await?,
            ),
            None => (
                sqlx::query_scalar("SELECT body FROM documents ORDER BY sequence LIMIT $1 OFFSET $2")
                    .bind(size)
                    .bind(offset)
                    .fetch_all(&self.pool)
                    .await?,
                sqlx::query_scalar("SELECT COUNT(*) FROM documents").fetch_one(&self.pool).await?,
            ),
        };
        Ok((bodies, total.unsigned_abs()))
    }

    /// The categories that have documents, in alphabetical order.
    pub async fn categories(&self) -> Result<Vec<String>, sqlx::Error> {
        sqlx::query_scalar("SELECT DISTINCT category FROM documents ORDER BY category").fetch_all(&self.pool).await
    }

    /// Documents changed after `since`, oldest change first.
    pub async fn changes(&self, since: u64, limit: u32) -> Result<Changes, sqlx::Error> {
        let rows = sqlx::query("SELECT sequence, body FROM documents WHERE sequence > $1 ORDER BY sequence LIMIT $2")
            .bind(i64::try_from(since).unwrap_or(i64::MAX))
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        let sequence = match rows.last() {
            Some(row) => row.try_get::<i64, _>("sequence")?.unsigned_abs(),
            None => since,
        };
        let bodies = rows.iter().map(|row| row.try_get("body")).collect::<Result<_, _>>()?;
        Ok(Changes { bodies, sequence })
    }
}

async fn insert(connection: &mut sqlx::SqliteConnection, sequence: i64, product: &Product) -> Result<(), sqlx::Error> {
    let body = serde_json::to_string(product).map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query("INSERT INTO documents (id, sequence, category, body) VALUES ($1, $2, $3, $4)")
        .bind(&product.id)
        .bind(sequence)
        .bind(&product.category)
        .bind(body)
        .execute(connection)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests;

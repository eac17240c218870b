//! Reviews and their averages: one review a user and product, the average kept beside them so that reading it is one row.

use sqlx::{Row, SqlitePool};

use crate::chassis::store::immediate;
use crate::contract::{Review, Reviews};

/// Reviews that are shown with a product, as the contract says.
const SHOWN: i64 = 20;

/// The tables.
pub const SCHEMA: &str = "
CREATE TABLE reviews (
    product_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    stars BIGINT NOT NULL CHECK (stars BETWEEN 1 AND 5),
    text TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (product_id, user_id)
);
CREATE INDEX reviews_newest ON reviews (product_id, at_ms);
CREATE TABLE ratings (
    product_id TEXT PRIMARY KEY,
    count BIGINT NOT NULL,
    stars BIGINT NOT NULL
);
";

/// Reviews.
#[derive(Debug, Clone)]
pub struct ReviewStore {
    pool: SqlitePool,
}

impl ReviewStore {
    /// On a database with the tables of `SCHEMA`.
    pub fn new(pool: SqlitePool) -> Self {
        Self { pool }
    }

    /// Stores a review; a second one of the same user replaces the first.
    pub async fn write(&self, review: &Review) -> Result<(), sqlx::Error> {
        let mut transaction = immediate(&self.pool).await?;
        let before: Option<i64> =
            sqlx::query_scalar("SELECT stars FROM reviews WHERE product_id = $1 AND user_id = $2")
                .bind(&review.product_id)
                .bind(&review.user_id)
                .fetch_optional(&mut *transaction)
                .await?;
        sqlx::query(
            "INSERT INTO reviews (product_id, user_id, stars, text, at_ms) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (product_id, user_id)
             DO UPDATE SET stars = excluded.stars, text = excluded.text, at_ms = excluded.at_ms",
        )
        .bind(&review.product_id)
        .bind(&review.user_id)
        .bind(i64::from(review.stars))
        .bind(&review.text)
        .bind(review.at_ms)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "INSERT INTO ratings (product_id, count, stars) VALUES ($1, $2, $3)
             ON CONFLICT (product_id)
             DO UPDATE SET count = ratings.count + excluded.count, stars = ratings.stars + excluded.stars",
        )
        .bind(&review.product_id)
        .bind(i64::from(before.is_none()))
        .bind(i64::from(review.stars) - before.unwrap_or(0))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await
    }

    /// A product's average, number of reviews and newest reviews.
    pub async fn of_product(&self, product_id: &str) -> Result<Reviews, sqlx::Error> {
        let rating: Option<(i64, i64)> = sqlx::query_as("SELECT count, stars FROM ratings WHERE product_id = $1")
            .bind(product_id)
            .fetch_optional(&self.pool)
            .await?;
        let Some((count, stars)) = rating.filter(|(count, _)| *count > 0) else {
            return Ok(Reviews::default());
        };
        let rows = sqlx::query(
            "SELECT user_id, stars, text, at_ms FROM reviews WHERE product_id = $1 ORDER BY at_ms DESC LIMIT $2",
        )
        .bind(product_id)
        .bind(SHOWN)
        .fetch_all(&self.pool)
        .await?;
        let reviews = rows.iter().map(|row| {
            Ok(Review {
                product_id: product_id.to_owned(),
                user_id: row.try_get("user_id")?,
                stars: u8::try_from(row.try_get::<i64, _>("stars")?).unwrap_or(1),
                text: row.try_get("text")?,
                at_ms: row.try_get("at_ms")?,
            })
        });
        let reviews = reviews.collect::<Result<_, sqlx::Error>>()?;
        Ok(Reviews { average_stars: Some(stars as f64 / count as f64), count: count.unsigned_abs(), reviews })
    }
}

#[cfg(test)]
mod tests;

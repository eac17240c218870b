//! The stock book: what was there at the start is always available, reserved or sold. Every change is one transaction on
//! rows with CHECK constraints, so that no process, whenever it dies, leaves half a reservation behind.

use std::collections::BTreeMap;

use sqlx::{Row, SqliteConnection, SqlitePool};

use crate::chassis::store::immediate;
use crate::contract::{InventoryAudit, Line, Stock};

/// The tables.
pub const SCHEMA: &str = "
CREATE TABLE stock (
    product_id TEXT PRIMARY KEY,
    start BIGINT NOT NULL,
    available BIGINT NOT NULL CHECK (available >= 0),
    reserved BIGINT NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    sold BIGINT NOT NULL DEFAULT 0 CHECK (sold >= 0)
);
CREATE TABLE reservations (
    order_id TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('held', 'committed', 'released')),
    created_at_ms BIGINT NOT NULL
);
CREATE INDEX reservations_held ON reservations (created_at_ms) WHERE state = 'held';
CREATE TABLE reservation_lines (
    order_id TEXT NOT NULL,
    product_id TEXT NOT NULL,
    quantity BIGINT NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (order_id, product_id)
);
";

/// What became of a wish to reserve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserved {
    /// The stock is set aside for the order, now or since an earlier call.
    Held,
    /// There is not enough of this product; nothing was set aside.
    OutOfStock { product_id: String },
    /// The order gave its stock back before; a late repetition gets nothing.
    Released,
}

/// What became of a wish to turn a reservation into a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// It is sold, now or since an earlier call.
    Sold,
    /// The order has no reservation, or has given it back.
    NotHeld,
}

/// A reservation that nobody has ended for a while.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StaleReservation {
    pub order_id: String,
    pub created_at_ms: i64,
}

/// The stock book.
#[derive(Debug, Clone)]
pub struct StockBook {
    pool: SqlitePool,
}

impl StockBook {
    /// Puts the starting stock into an empty store; two processes may do this at once.
    pub async fn seeded(pool: SqlitePool, start: &[(String, u64)]) -> Result<Self, sqlx::Error> {
        let mut transaction = immediate(&pool).await?;
        let present: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM stock").fetch_one(&mut *transaction).await?;
        if present == 0 {
            for (product_id, quantity) in start {
                sqlx::query("INSERT INTO stock (product_id, start, available) VALUES ($1, $2, $2)")
                    .bind(product_id)
                    .bind(i64::try_from(*quantity).unwrap_or(i64::MAX))
                    .execute(&mut *transaction)
                    .await?;
            }
        }
        transaction.commit().await?;
        Ok(Self { pool })
    }

    /// What is available of one product.
    pub async fn available(&self, product_id: &str) -> Result<Option<Stock>, sqlx::Error> {
        let available: Option<i64> = sqlx::query_scalar("SELECT available FROM stock WHERE product_id = $1")
            .bind(product_id)
            .fetch_optional(&self.pool)
            .await?;
        Ok(available.map(|available| Stock { product_id: product_id.to_owned(), available: available.unsigned_abs() }))
    }

    /// Sets stock aside for all lines or for none. Repeating it for the same order changes nothing.
    pub async fn reserve(&self, order_id: &str, lines: &[Line], now_ms: i64) -> Result<Reserved, sqlx::Error> {
        let mut transaction = immediate(&self.pool).await?;
        let inserted = sqlx::query(
            "INSERT INTO reservations (order_id, state, created_at_ms) VALUES ($1, 'held', $2)
             ON CONFLICT (order_id) DO NOTHING",
        )
        .bind(order_id)
        .bind(now_ms)
        .execute(&mut *transaction)
        .await?;
        if inserted.rows_affected() == 0 {
            let state = state_of(&mut transaction, order_id).await?;
            return Ok(if state.as_deref() == Some("released") { Reserved::Released } else { Reserved::Held });
        }
        for (product_id, quantity) in merged(lines) {
            if !take(&mut transaction, order_id, product_id, quantity).await? {
                transaction.rollback().await?;
                return Ok(Reserved::OutOfStock { product_id: product_id.to_owned() });
            }
        }
        transaction.commit().await?;
        Ok(Reserved::Held)
    }

    /// Turns the order's reservation into a sale.
    pub async fn commit(&self, order_id: &str) -> Result<Committed, sqlx::Error> {
        let mut transaction = immediate(&self.pool).await?;
        let changed = sqlx::query("UPDATE reservations SET state = 'committed' WHERE order_id = $1 AND state = 'held'")
            .bind(order_id)
            .execute(&mut *transaction)
            .await?;
        if changed.rows_affected() == 0 {
            let state = state_of(&mut transaction, order_id).await?;
            return Ok(if state.as_deref() == Some("committed") { Committed::Sold } else { Committed::NotHeld });
        }
        for (product_id, quantity) in lines_of(&mut transaction, order_id).await? {
            sqlx::query("UPDATE stock SET reserved = reserved - $2, sold = sold + $2 WHERE product_id = $1")
                .bind(product_id)
                .bind(quantity)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(Committed::Sold)
    }

    /// Gives the order's stock back, reserved or sold, and refuses it any reservation that may still arrive.
    pub async fn release(&self, order_id: &str, now_ms: i64) -> Result<(), sqlx::Error> {
        let mut transaction = immediate(&self.pool).await?;
        let before = state_of(&mut transaction, order_id).await?;
        let give_back = match before.as_deref() {
            Some("held") => {
                "UPDATE stock SET reserved = reserved - $2, available = available + $2 WHERE product_id = $1"
            }
            Some("committed") => "UPDATE stock SET sold = sold - $2, available = available + $2 WHERE product_id = $1",
            _ => "",
        };
        if !give_back.is_empty() {
            for (product_id, quantity) in lines_of(&mut transaction, order_id).await? {
                sqlx::query(give_back).bind(product_id).bind(quantity).execute(&mut *transaction).await?;
            }
        }
        sqlx::query(
            "INSERT INTO reservations (order_id, state, created_at_ms) VALUES ($1, 'released', $2)
             ON CONFLICT (order_id) DO UPDATE SET state = 'released'",
        )
        .bind(order_id)
        .bind(now_ms)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await
    }

    /// Reservations from before `before_ms` that were neither committed nor released, oldest first.
    pub async fn stale(&self, before_ms: i64, limit: u32) -> Result<Vec<StaleReservation>, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT order_id, created_at_ms FROM reservations WHERE state = 'held' AND created_at_ms < $1
             ORDER BY created_at_ms LIMIT $2",
        )
        .bind(before_ms)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(StaleReservation {
                    order_id: row.try_get("order_id")?,
                    created_at_ms: row.try_get("created_at_ms")?,
                })
            })
            .collect()
    }

    /// Adds the book up: a product counts as oversold when its numbers do not add up to its start, are below nothing, or
    /// are not those of its reservations.
    pub async fn audit(&self) -> Result<InventoryAudit, sqlx::Error> {
        let row = sqlx::query(
            "SELECT
                COALESCE(SUM(CASE WHEN s.available < 0 OR s.reserved < 0 OR s.sold < 0
                    OR s.start <> s.available + s.reserved + s.sold
                    OR s.reserved <> COALESCE(l.held, 0) OR s.sold <> COALESCE(l.committed, 0) THEN 1 ELSE 0 END), 0) AS oversold,
                COALESCE(SUM(s.reserved), 0) AS reserved,
                COALESCE(SUM(s.sold), 0) AS sold
             FROM stock s LEFT JOIN (
                SELECT rl.product_id,
                    SUM(CASE WHEN r.state = 'held' THEN rl.quantity ELSE 0 END) AS held,
                    SUM(CASE WHEN r.state = 'committed' THEN rl.quantity ELSE 0 END) AS committed
                FROM reservation_lines rl JOIN reservations r ON r.order_id = rl.order_id
                GROUP BY rl.product_id
             ) l ON l.product_id = s.product_id",
        )
        .fetch_one(&self.pool)
        .await?;
        let count = |column| row.try_get::<i64, _>(column).map(i64::unsigned_abs);
        Ok(InventoryAudit { oversold: count("oversold")?, reserved: count("reserved")?, sold: count("sold")? })
    }
}

/// Quantities by product: a product named on two lines is taken once, and rows are locked in one order by everybody.
fn merged(lines: &[Line]) -> BTreeMap<&str, u64> {
    let mut quantities = BTreeMap::new();
    for line in lines {
        *quantities.entry(line.product_id.as_str()).or_insert(0) += u64::from(line.quantity);
    }
    quantities.retain(|_, quantity| *quantity > 0);
    quantities
}

/// Takes from the shelf if there is enough.
async fn take(
    connection: &mut SqliteConnection,
    order_id: &str,
    product_id: &str,
    quantity: u64,
) -> Result<bool, sqlx::Error> {
    let quantity = i64::try_from(quantity).unwrap_or(i64::MAX);
    let taken = sqlx::query(
        "UPDATE stock SET available = available - $2, reserved = reserved + $2
         WHERE product_id = $1 AND available >= $2",
    )
    .bind(product_id)
    .bind(quantity)
    .execute(&mut *connection)
    .await?;
    if taken.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query("INSERT INTO reservation_lines (order_id, product_id, quantity) VALUES ($1, $2, $3)")
        .bind(order_id)
        .bind(product_id)
        .bind(quantity)
        .execute(connection)
        .await?;
    Ok(true)
}

async fn state_of(connection: &mut SqliteConnection, order_id: &str) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT state FROM reservations WHERE order_id = $1")
        .bind(order_id)
        .fetch_optional(connection)
        .await
}

async fn lines_of(connection: &mut SqliteConnection, order_id: &str) -> Result<Vec<(String, i64)>, sqlx::Error> {
    sqlx::query_as("SELECT product_id, quantity FROM reservation_lines WHERE order_id = $1 ORDER BY product_id")
        .bind(order_id)
        .fetch_all(connection)
        .await
}

#[cfg(test)]
mod tests;

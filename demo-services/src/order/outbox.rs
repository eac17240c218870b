//! Events that follow from state changes, kept in the orders' own database until each destination has taken them: written
//! in the transaction of the change, delivered at least once. Each destination has rows of its own, so that one that is
//! down keeps no other waiting.

use sqlx::{SqliteConnection, SqlitePool};

use crate::chassis::store::immediate;
use crate::contract::{Order, OrderEvent, OrderEventKind};

/// The services that take events, with the kinds they want.
pub const DESTINATIONS: [(&str, &[OrderEventKind]); 2] = [
    ("notification", &[OrderEventKind::Placed, OrderEventKind::Confirmed, OrderEventKind::Cancelled]),
    ("recommendation", &[OrderEventKind::Confirmed]),
];

/// How long a claimed event belongs to its relay; longer than a batch of deliveries that all time out.
const LEASE_MS: i64 = 15_000;

/// The table; `due_at_ms` is both when an event is tried again and when its lease ends.
pub const SCHEMA: &str = "
CREATE TABLE outbox (
    event_id TEXT NOT NULL,
    destination TEXT NOT NULL,
    body TEXT NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    due_at_ms BIGINT NOT NULL,
    PRIMARY KEY (destination, event_id)
);
CREATE INDEX outbox_due ON outbox (destination, due_at_ms);
";

/// An event on its way to one destination.
#[derive(Debug, Clone, PartialEq)]
pub struct Pending {
    pub event_id: String,
    pub event: OrderEvent,
    pub attempts: u32,
}

/// Writes an event for every destination that wants it, inside the caller's transaction. Its id follows from the order and
/// the kind, so that the same change can never make two.
pub async fn enter(
    connection: &mut SqliteConnection,
    kind: OrderEventKind,
    order: &Order,
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    let event = OrderEvent { id: format!("{}:{}", order.id, name(kind)), kind, order: order.clone() };
    let body = serde_json::to_string(&event).map_err(|error| sqlx::Error::Encode(error.into()))?;
    for (destination, kinds) in DESTINATIONS {
        if !kinds.contains(&kind) {
            continue;
        }
        sqlx::query(
            "INSERT INTO outbox (event_id, destination, body, due_at_ms) VALUES ($1, $2, $3, $4)
             ON CONFLICT (destination, event_id) DO NOTHING",
        )
        .bind(&event.id)
        .bind(destination)
        .bind(&body)
        .bind(now_ms)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Events that some destination has not taken yet.
pub async fn undelivered(connection: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
    let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM outbox").fetch_one(connection).await?;
    Ok(count.unsigned_abs())
}

fn name(kind: OrderEventKind) -> &'static str {
    match kind {
        OrderEventKind::Placed => "placed",
        OrderEventKind::Confirmed => "confirmed",
        OrderEventKind::Cancelled => "cancelled",
    }
}

/// The undelivered events.
#[derive(Debug, Clone)]
pub struct Outbox {
    pool: SqlitePool,
}

impl Outbox {
    pub fn new(pool: SqlitePool) -> Self {
        Self { pool }
    }

    /// Takes the lease of events that are due for a destination.
    pub async fn claim(&self, destination: &str, limit: u32, now_ms: i64) -> Result<Vec<Pending>, sqlx::Error> {
        let due: Option<i64> =
            sqlx::query_scalar("SELECT 1 FROM outbox WHERE destination = $1 AND due_at_ms <= $2 LIMIT 1")
                .bind(destination)
                .bind(now_ms)
                .fetch_optional(&self.pool)
                .await?;
        if due.is_none() {
            return Ok(Vec::new());
        }
        let rows: Vec<(String, String, i64)> = sqlx::query_as(
            "UPDATE outbox SET due_at_ms = $3 WHERE destination = $1 AND event_id IN (
                SELECT event_id FROM outbox WHERE destination = $1 AND due_at_ms <= $2 ORDER BY due_at_ms LIMIT $4)
             RETURNING event_id, body, attempts",
        )
        .bind(destination)
        .bind(now_ms)
        .bind(now_ms + LEASE_MS)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|(event_id, body, attempts)| {
                let event = serde_json::from_str(&body).map_err(|error| sqlx::Error::Decode(error.into()))?;
                Ok(Pending { event_id, event, attempts: u32::try_from(attempts).unwrap_or(u32::MAX) })
            })
            .collect()
    }

    /// The destination has taken these events.
    pub async fn delivered(&self, destination: &str, event_ids: &[&str]) -> Result<(), sqlx::Error> {
        let mut transaction = immediate(&self.pool).await?;
        for event_id in event_ids {
            sqlx::query("DELETE FROM outbox WHERE destination = $1 AND event_id = $2")
                .bind(destination)
                .bind(*event_id)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await
    }

    /// The destination has not taken these events; each is tried again at its time.
    pub async fn postpone(&self, destination: &str, events: &[(&str, i64)]) -> Result<(), sqlx::Error> {
        let mut transaction = immediate(&self.pool).await?;
        for (event_id, due_at_ms) in events {
            sqlx::query(
                "UPDATE outbox SET due_at_ms = $3, attempts = attempts + 1 WHERE destination = $1 AND event_id = $2",
            )
            .bind(destination)
            .bind(*event_id)
            .bind(*due_at_ms)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await
    }
}

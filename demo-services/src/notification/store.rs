//! The inbox of events, the messages that follow from them, and customers' wishes for channels. A message is sent by
//! whoever holds its lease and marked as sent afterwards: a replica that dies in between costs a repetition, never a message.

use sqlx::{SqliteConnection, SqlitePool};

use super::message::{Channel, Message};
use crate::chassis::store::immediate;
use crate::contract::{Notification, OrderEvent, Preferences};

/// How long a message belongs to its sender: longer than a batch of transports that all time out.
const LEASE_MS: i64 = 15_000;

/// The tables; `due_at_ms` is both when a message is tried again and when its lease ends.
pub const SCHEMA: &str = "
CREATE TABLE inbox (event_id TEXT PRIMARY KEY, order_id TEXT NOT NULL, at_ms BIGINT NOT NULL);
CREATE TABLE messages (
    id TEXT PRIMARY KEY,
    order_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    channel TEXT NOT NULL,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    due_at_ms BIGINT NOT NULL,
    sent_at_ms BIGINT
);
CREATE INDEX messages_user ON messages (user_id, at_ms);
CREATE INDEX messages_due ON messages (due_at_ms) WHERE sent_at_ms IS NULL;
CREATE TABLE preferences (user_id TEXT PRIMARY KEY, sms BIGINT NOT NULL, push BIGINT NOT NULL);
";

/// What was notified, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NotificationAudit {
    /// Orders of which an event has arrived.
    pub orders: u64,
    pub events: u64,
    pub messages: u64,
    pub unsent: u64,
}

/// The tables.
#[derive(Debug, Clone)]
pub struct Messages {
    pool: SqlitePool,
}

impl Messages {
    /// On a database with the tables of `SCHEMA`.
    pub fn new(pool: SqlitePool) -> Self {
        Self { pool }
    }

    /// Takes an event in and queues its messages, both or neither. False when it was taken in before.
    pub async fn take_in(&self, event: &OrderEvent, now_ms: i64) -> Result<bool, sqlx::Error> {
        let mut transaction = immediate(&self.pool).await?;
        let new = sqlx::query(
            "INSERT INTO inbox (event_id, order_id, at_ms) VALUES ($1, $2, $3) ON CONFLICT (event_id) DO NOTHING",
        )
        .bind(&event.id)
        .bind(&event.order.id)
        .bind(now_ms)
        .execute(&mut *transaction)
        .await?;
        if new.rows_affected() == 0 {
            return Ok(false);
        }
        let wishes = wishes(&mut transaction, &event.order.user_id).await?;
        for message in super::message::render(event, &wishes, now_ms) {
            sqlx::query(
                "INSERT INTO messages (id, order_id, user_id, kind, channel, subject, body, at_ms, due_at_ms)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)",
            )
            .bind(&message.id)
            .bind(&message.order_id)
            .bind(&message.user_id)
            .bind(&message.kind)
            .bind(message.channel.as_str())
            .bind(&message.subject)
            .bind(&message.body)
            .bind(message.at_ms)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// Takes the lease of messages that are due.
    pub async fn claim(&self, limit: u32, now_ms: i64) -> Result<Vec<Message>, sqlx::Error> {
        let due: Option<i64> =
            sqlx::query_scalar("SELECT 1 FROM messages WHERE sent_at_ms IS NULL AND due_at_ms <= $1 LIMIT 1")
                .bind(now_ms)
                .fetch_optional(&self.pool)
                .await?;
        if due.is_none() {
            return Ok(Vec::new());
        }
        type Row = (String, String, String, String, String, String, String, i64);
        let rows: Vec<Row> = sqlx::query_as(
            "UPDATE messages SET due_at_ms = $2 WHERE id IN (
                SELECT id FROM messages WHERE sent_at_ms IS NULL AND due_at_ms <= $1 ORDER BY due_at_ms LIMIT $3)
             RETURNING id, order_id, user_id, kind, channel, subject, body, at_ms",
        )
        .bind(now_ms)
        .bind(now_ms + LEASE_MS)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|(id, order_id, user_id, kind, channel, subject, body, at_ms)| Message {
                id,
                order_id,
                user_id,
                kind,
                channel: Channel::parse(&channel),
                subject,
                body,
                at_ms,
            })
            .collect())
    }

    /// These messages are with their transports.
    pub async fn sent(&self, ids: &[&str], now_ms: i64) -> Result<(), sqlx::Error> {
        let mut transaction = immediate(&self.pool).await?;
        for id in ids {
            sqlx::query("UPDATE messages SET sent_at_ms = $2 WHERE id = $1")
                .bind(*id)
                .bind(now_ms)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await
    }

    /// A user's messages, newest first.
    pub async fn of_user(&self, user_id: &str, limit: u32) -> Result<Vec<Notification>, sqlx::Error> {
        let rows: Vec<(String, String, String, i64)> = sqlx::query_as(
            "SELECT id, channel, subject, at_ms FROM messages WHERE user_id = $1 ORDER BY at_ms DESC, id DESC LIMIT $2",
        )
        .bind(user_id)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let notification =
            |(id, channel, subject, at_ms)| Notification { id, user_id: user_id.to_owned(), channel, subject, at_ms };
        Ok(rows.into_iter().map(notification).collect())
    }

    /// A customer's wishes; e-mail only where nothing was wished.
    pub async fn preferences(&self, user_id: &str) -> Result<Preferences, sqlx::Error> {
        wishes(&mut *self.pool.acquire().await?, user_id).await
    }

    /// Stores a customer's wishes.
    pub async fn prefer(&self, user_id: &str, wishes: &Preferences) -> Result<(), sqlx::Error> {
        sqlx::query(
            "INSERT INTO preferences (user_id, sms, push) VALUES ($1, $2, $3)
             ON CONFLICT (user_id) DO UPDATE SET sms = excluded.sms, push = excluded.push",
        )
        .bind(user_id)
        .bind(i64::from(wishes.sms))
        .bind(i64::from(wishes.push))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Counts for the audit after a run.
    pub async fn audit(&self) -> Result<NotificationAudit, sqlx::Error> {
        let (orders, events, messages, unsent): (i64, i64, i64, i64) = sqlx::query_as(
            "SELECT (SELECT COUNT(DISTINCT order_id) FROM inbox), (SELECT COUNT(*) FROM inbox),
                (SELECT COUNT(*) FROM messages), (SELECT COUNT(*) FROM messages WHERE sent_at_ms IS NULL)",
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(NotificationAudit {
            orders: orders.unsigned_abs(),
            events: events.unsigned_abs(),
            messages: messages.unsigned_abs(),
            unsent: unsent.unsigned_abs(),
        })
    }
}

async fn wishes(connection: &mut SqliteConnection, user_id: &str) -> Result<Preferences, sqlx::Error> {
    let wishes: Option<(i64, i64)> = sqlx::query_as("SELECT sms, push FROM preferences WHERE user_id = $1")
        .bind(user_id)
        .fetch_optional(connection)
        .await?;
    Ok(wishes.map(|(sms, push)| Preferences { sms: sms != 0, push: push != 0 }).unwrap_or_default())
}

#[cfg(test)]
mod tests;

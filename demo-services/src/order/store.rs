//! Orders in their store. Every step of a saga is one transaction: the order's new step, what customers see of it, and the
//! events that follow from it, all or nothing. An order is worked on by whoever holds its lease; a lease that runs out
//! (its holder was killed) may be taken by any replica. Makes no decisions and no calls.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection, SqlitePool};

use super::outbox;
use super::saga::{Refusal, Step};
use crate::chassis::store::immediate;
use crate::contract::{Line, Order, OrderAudit, OrderEventKind, OrderState, TrackingEvent};

/// How long an order belongs to its holder after each step: longer than a step's call with its retries may take, short
/// enough that the orders of a killed replica go on soon.
pub const LEASE_MS: i64 = 6_000;

/// The tables; `due_at_ms` is both when a waiting order is tried again and when its lease ends.
pub const SCHEMA: &str = "
CREATE TABLE orders (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    step TEXT NOT NULL,
    lines TEXT NOT NULL,
    card_token TEXT NOT NULL,
    total_cents BIGINT NOT NULL,
    refusal TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    waits_for TEXT NOT NULL DEFAULT '',
    attempts BIGINT NOT NULL DEFAULT 0,
    created_at_ms BIGINT NOT NULL,
    due_at_ms BIGINT NOT NULL,
    holder TEXT NOT NULL,
    UNIQUE (user_id, idempotency_key)
);
CREATE INDEX orders_user ON orders (user_id, created_at_ms);
CREATE INDEX orders_due ON orders (due_at_ms) WHERE step NOT IN ('confirmed', 'cancelled');
CREATE TABLE tracking (
    order_id TEXT NOT NULL,
    number BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    what TEXT NOT NULL,
    PRIMARY KEY (order_id, number)
);
";

/// An order with what only its saga knows.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredOrder {
    pub order: Order,
    pub step: Step,
    pub card_token: String,
    /// The code of the definite no, empty while there is none.
    pub refusal: String,
    pub attempts: u32,
    /// Whoever holds the lease: every change names it.
    pub holder: String,
}

/// An order to be placed.
#[derive(Debug, Clone)]
pub struct NewOrder {
    pub id: String,
    pub user_id: String,
    pub idempotency_key: String,
    pub lines: Vec<Line>,
    pub card_token: String,
    pub total_cents: u64,
}

/// Orders.
#[derive(Debug, Clone)]
pub struct Orders {
    pool: SqlitePool,
}

impl Orders {
    pub fn new(pool: SqlitePool) -> Self {
        Self { pool }
    }

    /// Records a new order, held by `holder`. None when the user has used the idempotency key before.
    pub async fn place(&self, new: NewOrder, holder: &str, now_ms: i64) -> Result<Option<StoredOrder>, sqlx::Error> {
        let mut transaction = immediate(&self.pool).await?;
        let lines = serde_json::to_string(&new.lines).map_err(|error| sqlx::Error::Encode(error.into()))?;
        let inserted = sqlx::query(
            "INSERT INTO orders (id, user_id, idempotency_key, step, lines, card_token, total_cents, created_at_ms,
                due_at_ms, holder) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             ON CONFLICT (user_id, idempotency_key) DO NOTHING",
        )
        .bind(&new.id)
        .bind(&new.user_id)
        .bind(&new.idempotency_key)
        .bind(Step::Reserve.as_str())
        .bind(lines)
        .bind(&new.card_token)
        .bind(i64::try_from(new.total_cents).unwrap_or(i64::MAX))
        .bind(now_ms)
        .bind(now_ms + LEASE_MS)
        .bind(holder)
        .execute(&mut *transaction)
        .await?;
        if inserted.rows_affected() == 0 {
            return Ok(None);
        }
        let order = Order {
            id: new.id,
            user_id: new.user_id,
            state: OrderState::Pending,
            lines: new.lines,
            total_cents: new.total_cents,
            reason: String::new(),
            created_at_ms: now_ms,
        };
        track(&mut transaction, &order.id, &["placed"], now_ms).await?;
        outbox::enter(&mut transaction, OrderEventKind::Placed, &order, now_ms).await?;
        transaction.commit().await?;
        Ok(Some(StoredOrder {
            order,
            step: Step::Reserve,
            card_token: new.card_token,
            refusal: String::new(),
            attempts: 0,
            holder: holder.to_owned(),
        }))
    }

    /// Moves an order to its next step and renews the lease. False, and nothing is changed, when the order is no longer
    /// this holder's or no longer at this step.
    pub async fn advance(
        &self,
        stored: &mut StoredOrder,
        to: Step,
        tracking: &[&str],
        refusal: Option<Refusal>,
        now_ms: i64,
    ) -> Result<bool, sqlx::Error> {
        let mut transaction = immediate(&self.pool).await?;
        let refusal = refusal.unwrap_or_else(|| Refusal { code: stored.refusal.clone(), reason: String::new() });
        let updated = sqlx::query(
            "UPDATE orders SET step = $4, due_at_ms = $5, refusal = $6, waits_for = '', attempts = 0,
                reason = CASE WHEN $7 = '' THEN reason ELSE $7 END
             WHERE id = $1 AND step = $2 AND holder = $3",
        )
        .bind(&stored.order.id)
        .bind(stored.step.as_str())
        .bind(&stored.holder)
        .bind(to.as_str())
        .bind(now_ms + LEASE_MS)
        .bind(&refusal.code)
        .bind(&refusal.reason)
        .execute(&mut *transaction)
        .await?;
        if updated.rows_affected() == 0 {
            return Ok(false);
        }
        track(&mut transaction, &stored.order.id, tracking, now_ms).await?;
        let after = find(&mut transaction, &stored.order.id).await?.ok_or(sqlx::Error::RowNotFound)?;
        match to {
            Step::Confirmed => outbox::enter(&mut transaction, OrderEventKind::Confirmed, &after.order, now_ms).await?,
            Step::Cancelled => outbox::enter(&mut transaction, OrderEventKind::Cancelled, &after.order, now_ms).await?,
            _ => {}
        }
        transaction.commit().await?;
        *stored = after;
        Ok(true)
    }

    /// Gives the lease back and says when to try again and what the order waits for.
    pub async fn defer(&self, stored: &mut StoredOrder, reason: &str, due_at_ms: i64) -> Result<(), sqlx::Error> {
        sqlx::query(
            "UPDATE orders SET due_at_ms = $4, waits_for = $5, attempts = attempts + 1, holder = ''
             WHERE id = $1 AND step = $2 AND holder = $3",
        )
        .bind(&stored.order.id)
        .bind(stored.step.as_str())
        .bind(&stored.holder)
        .bind(due_at_ms)
        .bind(reason)
        .execute(&self.pool)
        .await?;
        if stored.refusal.is_empty() {
            reason.clone_into(&mut stored.order.reason);
        }
        Ok(())
    }

    /// Takes the lease of orders that are due, the longest waiting first.
    pub async fn claim(&self, holder: &str, limit: u32, now_ms: i64) -> Result<Vec<StoredOrder>, sqlx::Error> {
        // Most of the time nothing is due; looking first keeps idle replicas off the write lock.
        let due: Option<i64> = sqlx::query_scalar(
            "SELECT 1 FROM orders WHERE step NOT IN ('confirmed', 'cancelled') AND due_at_ms <= $1 LIMIT 1",
        )
        .bind(now_ms)
        .fetch_optional(&self.pool)
        .await?;
        if due.is_none() {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(
            "UPDATE orders SET holder = $1, due_at_ms = $2 WHERE id IN (
                SELECT id FROM orders WHERE step NOT IN ('confirmed', 'cancelled') AND due_at_ms <= $3
                ORDER BY due_at_ms LIMIT $4)
             RETURNING *",
        )
        .bind(holder)
        .bind(now_ms + LEASE_MS)
        .bind(now_ms)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(read).collect()
    }

    /// The order with this id.
    pub async fn get(&self, id: &str) -> Result<Option<StoredOrder>, sqlx::Error> {
        find(&mut *self.pool.acquire().await?, id).await
    }

    /// The order that the user placed with this idempotency key.
    pub async fn placed_with(&self, user_id: &str, key: &str) -> Result<Option<StoredOrder>, sqlx::Error> {
        let row = sqlx::query("SELECT * FROM orders WHERE user_id = $1 AND idempotency_key = $2")
            .bind(user_id)
            .bind(key)
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// A user's orders, newest first.
    pub async fn of_user(&self, user_id: &str, limit: u32) -> Result<Vec<Order>, sqlx::Error> {
        let rows = sqlx::query("SELECT * FROM orders WHERE user_id = $1 ORDER BY created_at_ms DESC, id DESC LIMIT $2")
            .bind(user_id)
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| Ok(read(row)?.order)).collect()
    }

    /// What customers see of an order's way, oldest first.
    pub async fn tracking(&self, order_id: &str) -> Result<Vec<TrackingEvent>, sqlx::Error> {
        let rows: Vec<(i64, String)> =
            sqlx::query_as("SELECT at_ms, what FROM tracking WHERE order_id = $1 ORDER BY number")
                .bind(order_id)
                .fetch_all(&self.pool)
                .await?;
        Ok(rows.into_iter().map(|(at_ms, what)| TrackingEvent { at_ms, what }).collect())
    }

    /// Orders that have not ended.
    pub async fn pending(&self) -> Result<u64, sqlx::Error> {
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM orders WHERE step NOT IN ('confirmed', 'cancelled')")
            .fetch_one(&self.pool)
            .await?;
        Ok(count.unsigned_abs())
    }

    /// How many events some destination has not taken yet.
    pub async fn undelivered(&self) -> Result<u64, sqlx::Error> {
        outbox::undelivered(&mut *self.pool.acquire().await?).await
    }

    /// Counts by state, and which of the ids asked for are not here.
    pub async fn audit(&self, asked: &[String]) -> Result<OrderAudit, sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        let mut audit = OrderAudit::default();
        let counts: Vec<(String, i64)> =
            sqlx::query_as("SELECT step, COUNT(*) FROM orders GROUP BY step").fetch_all(&mut *connection).await?;
        for (step, count) in counts {
            let count = count.unsigned_abs();
            audit.placed += count;
            match Step::parse(&step).map(Step::state) {
                Some(OrderState::Confirmed) => audit.confirmed += count,
                Some(OrderState::Cancelled) => audit.cancelled += count,
                Some(OrderState::Pending) | None => audit.pending += count,
            }
        }
        audit.confirmed_ids =
            sqlx::query_scalar("SELECT id FROM orders WHERE step = 'confirmed'").fetch_all(&mut *connection).await?;
        for id in asked {
            let known: Option<i64> = sqlx::query_scalar("SELECT 1 FROM orders WHERE id = $1")
                .bind(id)
                .fetch_optional(&mut *connection)
                .await?;
            audit.unknown += u64::from(known.is_none());
        }
        audit.undelivered_events = outbox::undelivered(&mut connection).await?;
        Ok(audit)
    }
}

async fn track(
    connection: &mut SqliteConnection,
    order_id: &str,
    what: &[&str],
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    for what in what {
        sqlx::query(
            "INSERT INTO tracking (order_id, number, at_ms, what)
             SELECT $1, COALESCE(MAX(number), 0) + 1, $2, $3 FROM tracking WHERE order_id = $1",
        )
        .bind(order_id)
        .bind(now_ms)
        .bind(*what)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn find(connection: &mut SqliteConnection, id: &str) -> Result<Option<StoredOrder>, sqlx::Error> {
    let row = sqlx::query("SELECT * FROM orders WHERE id = $1").bind(id).fetch_optional(connection).await?;
    row.as_ref().map(read).transpose()
}

fn read(row: &SqliteRow) -> Result<StoredOrder, sqlx::Error> {
    let step: String = row.try_get("step")?;
    let step = Step::parse(&step).ok_or_else(|| sqlx::Error::Decode(format!("no step is called {step:?}").into()))?;
    let lines: String = row.try_get("lines")?;
    let refusal: String = row.try_get("refusal")?;
    let reason: String = row.try_get(if refusal.is_empty() { "waits_for" } else { "reason" })?;
    Ok(StoredOrder {
        order: Order {
            id: row.try_get("id")?,
            user_id: row.try_get("user_id")?,
            state: step.state(),
            lines: serde_json::from_str(&lines).map_err(|error| sqlx::Error::Decode(error.into()))?,
            total_cents: row.try_get::<i64, _>("total_cents")?.unsigned_abs(),
            reason,
            created_at_ms: row.try_get("created_at_ms")?,
        },
        step,
        card_token: row.try_get("card_token")?,
        refusal,
        attempts: u32::try_from(row.try_get::<i64, _>("attempts")?).unwrap_or(u32::MAX),
        holder: row.try_get("holder")?,
    })
}

#[cfg(test)]
mod tests;

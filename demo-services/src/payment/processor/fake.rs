//! A card processor that lives in the payment service's database, with a vault and a ledger of its own. It keeps no card
//! numbers: of a test number it keeps only how that card behaves.

use async_trait::async_trait;
use sqlx::{SqliteConnection, SqlitePool};
use uuid::Uuid;

use super::{Capture, CheckedCard, PaymentAudit, Processor, ProcessorError, Verdict};
use crate::chassis::store::immediate;

/// Cards that are always declined.
const DECLINED: [&str; 2] = ["4000000000000002", "4000000000009995"];

/// A card whose first capture moves the money but gives no answer: the ambiguous case.
const TIMES_OUT_AFTER_CAPTURE: &str = "4000000000000119";

/// The processor's own tables.
pub const SCHEMA: &str = "
CREATE TABLE processor_vault (
    reference TEXT PRIMARY KEY,
    behaviour TEXT NOT NULL CHECK (behaviour IN ('pays', 'declines', 'times_out'))
);
CREATE TABLE processor_requests (
    key TEXT PRIMARY KEY,
    verdict TEXT NOT NULL CHECK (verdict IN ('captured', 'declined', 'reversed'))
);
CREATE TABLE processor_ledger (
    id TEXT PRIMARY KEY,
    key TEXT NOT NULL,
    order_id TEXT NOT NULL,
    movement TEXT NOT NULL CHECK (movement IN ('capture', 'refund')),
    amount_cents BIGINT NOT NULL
);
CREATE INDEX processor_ledger_order ON processor_ledger (order_id);
";

/// The built-in card processor.
#[derive(Debug, Clone)]
pub struct FakeProcessor {
    pool: SqlitePool,
}

impl FakeProcessor {
    /// On a database with the tables of `SCHEMA`.
    pub fn new(pool: SqlitePool) -> Self {
        Self { pool }
    }

    /// Judges and books in one transaction; says also whether the answer is to get lost on its way.
    async fn book(&self, capture: Capture<'_>) -> Result<(Verdict, bool), sqlx::Error> {
        let mut transaction = immediate(&self.pool).await?;
        if let Some(verdict) = verdict_of(&mut transaction, capture.key).await? {
            return Ok((verdict, false));
        }
        let behaviour: Option<String> =
            sqlx::query_scalar("SELECT behaviour FROM processor_vault WHERE reference = $1")
                .bind(capture.card_reference)
                .fetch_optional(&mut *transaction)
                .await?;
        let pays = matches!(behaviour.as_deref(), Some("pays" | "times_out"));
        let verdict = if pays { Verdict::Captured } else { Verdict::Declined };
        if pays {
            enter(&mut transaction, capture.key, capture.order_id, "capture", capture.amount_cents).await?;
        }
        remember(&mut transaction, capture.key, verdict).await?;
        transaction.commit().await?;
        Ok((verdict, behaviour.as_deref() == Some("times_out")))
    }

    async fn unbook(&self, key: &str, order_id: &str) -> Result<(), sqlx::Error> {
        let mut transaction = immediate(&self.pool).await?;
        let before = verdict_of(&mut transaction, key).await?;
        if before == Some(Verdict::Captured) {
            let amount: i64 =
                sqlx::query_scalar("SELECT amount_cents FROM processor_ledger WHERE key = $1 AND movement = 'capture'")
                    .bind(key)
                    .fetch_one(&mut *transaction)
                    .await?;
            enter(&mut transaction, key, order_id, "refund", amount.unsigned_abs()).await?;
        }
        remember(&mut transaction, key, Verdict::Reversed).await?;
        transaction.commit().await
    }

    async fn count(&self) -> Result<PaymentAudit, sqlx::Error> {
        let held = "SELECT order_id, SUM(CASE movement WHEN 'capture' THEN 1 ELSE -1 END) AS captures
            FROM processor_ledger GROUP BY order_id HAVING SUM(CASE movement WHEN 'capture' THEN 1 ELSE -1 END) > 0";
        let rows: Vec<(String, i64)> = sqlx::query_as(held).fetch_all(&self.pool).await?;
        let charged_twice = rows.iter().filter(|(_, captures)| *captures > 1).count() as u64;
        Ok(PaymentAudit { charged_twice, paid_orders: rows.into_iter().map(|(order_id, _)| order_id).collect() })
    }
}

#[async_trait]
impl Processor for FakeProcessor {
    async fn keep_card(&self, card: &CheckedCard) -> Result<String, ProcessorError> {
        let behaviour = match card.number() {
            number if DECLINED.contains(&number) => "declines",
            TIMES_OUT_AFTER_CAPTURE => "times_out",
            _ => "pays",
        };
        let reference = format!("pc_{}", Uuid::now_v7().simple());
        sqlx::query("INSERT INTO processor_vault (reference, behaviour) VALUES ($1, $2)")
            .bind(&reference)
            .bind(behaviour)
            .execute(&self.pool)
            .await
            .map_err(unavailable)?;
        Ok(reference)
    }

    async fn capture(&self, capture: Capture<'_>) -> Result<Verdict, ProcessorError> {
        match self.book(capture).await.map_err(unavailable)? {
            (_, true) => Err(ProcessorError::TimedOut),
            (verdict, false) => Ok(verdict),
        }
    }

    async fn find(&self, key: &str) -> Result<Option<Verdict>, ProcessorError> {
        let mut connection = self.pool.acquire().await.map_err(unavailable)?;
        verdict_of(&mut connection, key).await.map_err(unavailable)
    }

    async fn reverse(&self, key: &str, order_id: &str) -> Result<(), ProcessorError> {
        self.unbook(key, order_id).await.map_err(unavailable)
    }

    async fn audit(&self) -> Result<PaymentAudit, ProcessorError> {
        self.count().await.map_err(unavailable)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn unavailable(error: sqlx::Error) -> ProcessorError {
    ProcessorError::Unavailable(error.to_string())
}

async fn verdict_of(connection: &mut SqliteConnection, key: &str) -> Result<Option<Verdict>, sqlx::Error> {
    let verdict: Option<String> = sqlx::query_scalar("SELECT verdict FROM processor_requests WHERE key = $1")
        .bind(key)
        .fetch_optional(connection)
        .await?;
    Ok(verdict.map(|verdict| match verdict.as_str() {
        "captured" => Verdict::Captured,
        "declined" => Verdict::Declined,
        _ => Verdict::Reversed,
    }))
}

async fn remember(connection: &mut SqliteConnection, key: &str, verdict: Verdict) -> Result<(), sqlx::Error> {
    let verdict = match verdict {
        Verdict::Captured => "captured",
        Verdict::Declined => "declined",
        Verdict::Reversed => "reversed",
    };
    sqlx::query(
        "INSERT INTO processor_requests (key, verdict) VALUES ($1, $2)
         ON CONFLICT (key) DO UPDATE SET verdict = excluded.verdict",
    )
    .bind(key)
    .bind(verdict)
    .execute(connection)
    .await?;
    Ok(())
}

async fn enter(
    connection: &mut SqliteConnection,
    key: &str,
    order_id: &str,
    movement: &str,
    amount_cents: u64,
) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO processor_ledger (id, key, order_id, movement, amount_cents) VALUES ($1, $2, $3, $4, $5)")
        .bind(Uuid::now_v7().to_string())
        .bind(key)
        .bind(order_id)
        .bind(movement)
        .bind(i64::try_from(amount_cents).unwrap_or(i64::MAX))
        .execute(connection)
        .await?;
    Ok(())
}

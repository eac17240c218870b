//! The service's own tables: card tokens and one charge an order. Holds no card number and no cvc, and decides nothing:
//! `Cashier` does.

use sqlx::SqlitePool;

use crate::contract::{CardToken, ChargeRequest};

/// The tables.
pub const SCHEMA: &str = "
CREATE TABLE cards (
    token TEXT PRIMARY KEY,
    reference TEXT NOT NULL,
    brand TEXT NOT NULL,
    last4 TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL
);
CREATE TABLE charges (
    order_id TEXT PRIMARY KEY,
    id TEXT NOT NULL,
    amount_cents BIGINT NOT NULL,
    card_token TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('attempted', 'captured', 'declined', 'refunding', 'refunded')),
    created_at_ms BIGINT NOT NULL
);
";

/// Where a charge stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChargeState {
    /// The processor may have been asked.
    Attempted,
    Captured,
    Declined,
    /// The money is to go back, or must never be taken.
    Refunding,
    Refunded,
}

impl ChargeState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Attempted => "attempted",
            Self::Captured => "captured",
            Self::Declined => "declined",
            Self::Refunding => "refunding",
            Self::Refunded => "refunded",
        }
    }

    fn parse(text: &str) -> Self {
        [Self::Captured, Self::Declined, Self::Refunding, Self::Refunded]
            .into_iter()
            .find(|state| state.as_str() == text)
            .unwrap_or(Self::Attempted)
    }
}

/// A charge as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCharge {
    pub id: String,
    pub amount_cents: u64,
    pub card_token: String,
    pub state: ChargeState,
    /// Whether this call has written it: nobody has asked the processor before.
    pub new: bool,
}

/// The tables.
#[derive(Debug, Clone)]
pub struct Charges {
    pool: SqlitePool,
}

impl Charges {
    /// On a database with the tables of `SCHEMA`.
    pub fn new(pool: SqlitePool) -> Self {
        Self { pool }
    }

    /// Keeps a token and the processor's reference to the card behind it.
    pub async fn keep_token(&self, token: &CardToken, reference: &str, now_ms: i64) -> Result<(), sqlx::Error> {
        sqlx::query("INSERT INTO cards (token, reference, brand, last4, created_at_ms) VALUES ($1, $2, $3, $4, $5)")
            .bind(&token.token)
            .bind(reference)
            .bind(&token.brand)
            .bind(&token.last4)
            .bind(now_ms)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The processor's reference behind a token.
    pub async fn reference(&self, token: &str) -> Result<Option<String>, sqlx::Error> {
        sqlx::query_scalar("SELECT reference FROM cards WHERE token = $1").bind(token).fetch_optional(&self.pool).await
    }

    /// Writes down that a charge is about to be attempted, or finds the one that is there.
    pub async fn begin(&self, id: &str, request: &ChargeRequest, now_ms: i64) -> Result<StoredCharge, sqlx::Error> {
        let inserted = sqlx::query(
            "INSERT INTO charges (order_id, id, amount_cents, card_token, state, created_at_ms)
             VALUES ($1, $2, $3, $4, 'attempted', $5) ON CONFLICT (order_id) DO NOTHING",
        )
        .bind(&request.order_id)
        .bind(id)
        .bind(i64::try_from(request.amount_cents).unwrap_or(i64::MAX))
        .bind(&request.card_token)
        .bind(now_ms)
        .execute(&self.pool)
        .await?;
        let (id, amount_cents, card_token, state): (String, i64, String, String) =
            sqlx::query_as("SELECT id, amount_cents, card_token, state FROM charges WHERE order_id = $1")
                .bind(&request.order_id)
                .fetch_one(&self.pool)
                .await?;
        Ok(StoredCharge {
            id,
            amount_cents: amount_cents.unsigned_abs(),
            card_token,
            state: ChargeState::parse(&state),
            new: inserted.rows_affected() == 1,
        })
    }

    /// Ends an attempt; false when the charge has moved on, which only a refund does.
    pub async fn conclude(&self, order_id: &str, state: ChargeState) -> Result<bool, sqlx::Error> {
        let updated = sqlx::query("UPDATE charges SET state = $2 WHERE order_id = $1 AND state IN ('attempted', $2)")
            .bind(order_id)
            .bind(state.as_str())
            .execute(&self.pool)
            .await?;
        Ok(updated.rows_affected() == 1)
    }

    /// From now on the order's money goes back, or is never taken. False when all of that has been done before.
    pub async fn begin_refund(&self, order_id: &str, now_ms: i64) -> Result<bool, sqlx::Error> {
        let changed = sqlx::query(
            "INSERT INTO charges (order_id, id, amount_cents, card_token, state, created_at_ms)
             VALUES ($1, '', 0, '', 'refunding', $2)
             ON CONFLICT (order_id) DO UPDATE SET state = 'refunding' WHERE charges.state <> 'refunded'",
        )
        .bind(order_id)
        .bind(now_ms)
        .execute(&self.pool)
        .await?;
        Ok(changed.rows_affected() == 1)
    }

    /// The processor has confirmed the refund.
    pub async fn conclude_refund(&self, order_id: &str) -> Result<(), sqlx::Error> {
        sqlx::query("UPDATE charges SET state = 'refunded' WHERE order_id = $1 AND state = 'refunding'")
            .bind(order_id)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

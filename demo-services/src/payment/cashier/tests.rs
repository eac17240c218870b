//! Claims about money, with the built-in processor on a real file, and with one whose answers get lost.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use lifecycle::ManualClock;
use sqlx::SqlitePool;

use super::*;
use crate::chassis::store;
use crate::payment::MIGRATIONS;
use crate::payment::processor::FakeProcessor;

const NOV_2026: i64 = 1_795_400_000_000;
const GOOD: &str = "4242424242424242";
const DECLINED: &str = "4000000000000002";
const TIMES_OUT: &str = "4000000000000119";

/// How a call to the processor fails.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    Before,
    After,
}

/// A processor whose first captures go wrong.
struct Shaky {
    inner: FakeProcessor,
    fault: Fault,
    left: AtomicU32,
    finds_fail: bool,
}

impl Shaky {
    fn fails(&self) -> bool {
        self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }
}

#[async_trait]
impl Processor for Shaky {
    async fn keep_card(&self, card: &CheckedCard) -> Result<String, ProcessorError> {
        self.inner.keep_card(card).await
    }

    async fn capture(&self, capture: Capture<'_>) -> Result<Verdict, ProcessorError> {
        let failing = self.fails();
        if failing && self.fault == Fault::Before {
            return Err(ProcessorError::Unavailable("connection refused".into()));
        }
        let verdict = self.inner.capture(capture).await?;
        if failing { Err(ProcessorError::TimedOut) } else { Ok(verdict) }
    }

    async fn find(&self, key: &str) -> Result<Option<Verdict>, ProcessorError> {
        if self.finds_fail && self.fails() {
            return Err(ProcessorError::TimedOut);
        }
        self.inner.find(key).await
    }

    async fn reverse(&self, key: &str, order_id: &str) -> Result<(), ProcessorError> {
        self.inner.reverse(key, order_id).await
    }

    async fn audit(&self) -> Result<PaymentAudit, ProcessorError> {
        self.inner.audit().await
    }
}

struct Till {
    _folder: tempfile::TempDir,
    pool: SqlitePool,
}

impl Till {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/payment.db", folder.path().display());
        Self { pool: store::open(&url, &MIGRATIONS).await.unwrap(), _folder: folder }
    }

    fn cashier(&self, processor: impl Processor) -> Cashier {
        Cashier::new(Charges::new(self.pool.clone()), Arc::new(processor), Arc::new(ManualClock::at(NOV_2026)))
    }

    fn steady(&self) -> Cashier {
        self.cashier(FakeProcessor::new(self.pool.clone()))
    }

    fn shaky(&self, fault: Fault, times: u32, finds_fail: bool) -> Cashier {
        let inner = FakeProcessor::new(self.pool.clone());
        self.cashier(Shaky { inner, fault, left: AtomicU32::new(times), finds_fail })
    }
}

async fn wish(cashier: &Cashier, number: &str, order_id: &str) -> ChargeRequest {
    let card = Card { number: number.into(), expiry: "12/30".into(), cvc: "123".into() };
    let card_token = cashier.tokenise(&card).await.unwrap().token;
    ChargeRequest { order_id: order_id.into(), amount_cents: 1_999, card_token }
}

async fn paid(cashier: &Cashier) -> (u64, Vec<String>) {
    let audit = cashier.audit().await.unwrap();
    (audit.charged_twice, audit.paid_orders)
}

#[tokio::test]
async fn a_repeated_charge_is_the_same_charge() {
    let till = Till::new().await;
    let cashier = till.steady();
    let request = wish(&cashier, GOOD, "o").await;
    let first = cashier.charge(&request).await.unwrap();
    assert_eq!(cashier.charge(&request).await.unwrap(), first);
    let dearer = ChargeRequest { amount_cents: 2_000, ..request };
    assert!(matches!(cashier.charge(&dearer).await, Err(PaymentError::OtherCharge)));
    assert_eq!(paid(&cashier).await, (0, vec!["o".to_owned()]));
}

#[tokio::test]
async fn a_decline_is_final_and_takes_nothing() {
    let till = Till::new().await;
    let cashier = till.steady();
    let request = wish(&cashier, DECLINED, "o").await;
    for _ in 0..2 {
        assert!(matches!(cashier.charge(&request).await, Err(PaymentError::Declined)));
    }
    let unknown = ChargeRequest { order_id: "p".into(), card_token: "tok_unknown".into(), ..request };
    assert!(matches!(cashier.charge(&unknown).await, Err(PaymentError::Declined)));
    assert_eq!(paid(&cashier).await, (0, vec![]));
}

#[tokio::test]
async fn an_answer_that_got_lost_is_asked_for_and_not_charged_again() {
    let till = Till::new().await;
    let cashier = till.steady();
    let request = wish(&cashier, TIMES_OUT, "o").await;
    cashier.charge(&request).await.unwrap();
    assert_eq!(paid(&cashier).await, (0, vec!["o".to_owned()]));
}

#[tokio::test]
async fn whatever_is_lost_a_charge_asked_for_until_it_answers_is_taken_once() {
    for fault in [Fault::Before, Fault::After] {
        for times in 0..6 {
            for finds_fail in [false, true] {
                let till = Till::new().await;
                let cashier = till.shaky(fault, times, finds_fail);
                let request = wish(&cashier, GOOD, "o").await;
                let mut tries = 0;
                while let Err(error) = cashier.charge(&request).await {
                    assert!(matches!(error, PaymentError::Processor(_)), "{error}");
                    tries += 1;
                    assert!(tries <= times, "a charge fails although nothing does");
                }
                assert_eq!(paid(&cashier).await, (0, vec!["o".to_owned()]));
            }
        }
    }
}

#[tokio::test]
async fn a_refund_returns_the_money_and_no_late_charge_takes_it_again() {
    let till = Till::new().await;
    let cashier = till.steady();
    let request = wish(&cashier, GOOD, "o").await;
    cashier.charge(&request).await.unwrap();
    for _ in 0..2 {
        cashier.refund("o").await.unwrap();
    }
    assert!(matches!(cashier.charge(&request).await, Err(PaymentError::Refunded)));
    // The refund came first: the charge was still on its way.
    cashier.refund("late").await.unwrap();
    let late = ChargeRequest { order_id: "late".into(), ..request };
    assert!(matches!(cashier.charge(&late).await, Err(PaymentError::Refunded)));
    assert_eq!(paid(&cashier).await, (0, vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn charges_and_refunds_at_the_same_moment_end_with_the_money_returned() {
    let till = Till::new().await;
    let cashiers = [till.steady(), till.steady()];
    for round in 0..20 {
        let request = wish(&cashiers[0], GOOD, &format!("o{round}")).await;
        let (first, second, refund) = tokio::join!(
            cashiers[0].charge(&request),
            cashiers[1].charge(&request),
            cashiers[1].refund(&request.order_id),
        );
        refund.unwrap();
        drop((first, second));
    }
    assert_eq!(paid(&cashiers[0]).await, (0, vec![]));
}

#[tokio::test]
async fn no_card_number_and_no_cvc_reach_the_disk() {
    let till = Till::new().await;
    let cashier = till.steady();
    let card = Card { number: GOOD.into(), expiry: "12/30".into(), cvc: "9173".into() };
    let card_token = cashier.tokenise(&card).await.unwrap().token;
    cashier
        .charge(&ChargeRequest { order_id: "o".into(), amount_cents: 1, card_token: card_token.clone() })
        .await
        .unwrap();
    till.pool.close().await;
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(till._folder.path()).unwrap() {
        bytes.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    let holds = |needle: &str| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
    assert!(holds(&card_token), "the test reads the right files");
    assert!(!holds(GOOD) && !holds("9173"));
}

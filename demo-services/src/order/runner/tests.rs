//! Sagas with the real stores of order, inventory and payment on real files, while calls fail before or after their effect
//! and runs are dropped wherever they stand, as a killed process drops them.

use std::time::Duration;

use async_trait::async_trait;
use lifecycle::{CancellationToken, ManualClock};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::chassis::{Bound, Config, store};
use crate::contract::{Card, ChargeRequest, Line};
use crate::inventory::{self, Committed, Reserved, StockBook};
use crate::order::saga::Refusal;
use crate::order::store::{LEASE_MS, NewOrder};
use crate::payment::cashier::{Cashier, PaymentError};
use crate::payment::processor::FakeProcessor;
use crate::payment::{self, Charges};

const NOV_2026: i64 = 1_795_400_000_000;
const DECLINED: &str = "4000000000000002";
const GOOD: &str = "4242424242424242";

/// What happens to a call.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Works,
    LostBefore,
    LostAfter,
    /// The process dies while it waits for the answer.
    DiesBefore,
    DiesAfter,
}

/// Inventory and payment without HTTP between, but with its troubles.
struct Troubled {
    book: StockBook,
    cashier: Cashier,
    clock: ManualClock,
    dice: parking_lot::Mutex<StdRng>,
    trouble: parking_lot::Mutex<f64>,
    dies: tokio::sync::Notify,
}

impl Troubled {
    fn fate(&self) -> Fate {
        let mut dice = self.dice.lock();
        if !dice.random_bool(*self.trouble.lock()) {
            return Fate::Works;
        }
        [Fate::LostBefore, Fate::LostAfter, Fate::DiesBefore, Fate::DiesAfter][dice.random_range(0..4)]
    }

    async fn really(&self, stored: &StoredOrder) -> Outcome {
        let id = &stored.order.id;
        let refused = |code: &str| Outcome::Refused(Refusal { code: code.into(), reason: code.into() });
        match stored.step {
            Step::Reserve => match self.book.reserve(id, &stored.order.lines, self.clock.now_ms()).await.unwrap() {
                Reserved::Held => Outcome::Done,
                Reserved::OutOfStock { .. } => refused("out_of_stock"),
                Reserved::Released => refused("released"),
            },
            Step::Charge => {
                let charge = ChargeRequest {
                    order_id: id.clone(),
                    amount_cents: stored.order.total_cents,
                    card_token: stored.card_token.clone(),
                };
                match self.cashier.charge(&charge).await {
                    Ok(_) => Outcome::Done,
                    Err(PaymentError::Declined) => refused("card_declined"),
                    Err(error) => Outcome::Unknown(error.to_string()),
                }
            }
            Step::Commit => match self.book.commit(id).await.unwrap() {
                Committed::Sold => Outcome::Done,
                Committed::NotHeld => refused("released"),
            },
            Step::Refund => {
                self.cashier.refund(id).await.map_or_else(|e| Outcome::Unknown(e.to_string()), |()| Outcome::Done)
            }
            _ => {
                self.book.release(id, self.clock.now_ms()).await.unwrap();
                Outcome::Done
            }
        }
    }
}

#[async_trait]
impl Participants for Troubled {
    async fn perform(&self, order: &StoredOrder, _: &RequestContext) -> Outcome {
        let fate = self.fate();
        if matches!(fate, Fate::Works | Fate::LostAfter | Fate::DiesAfter) {
            let outcome = self.really(order).await;
            if fate == Fate::Works {
                return outcome;
            }
        }
        if matches!(fate, Fate::DiesBefore | Fate::DiesAfter) {
            self.dies.notify_one();
            std::future::pending::<()>().await;
        }
        Outcome::Unknown("no answer".into())
    }
}

struct Shop {
    _folder: tempfile::TempDir,
    context: crate::chassis::Context,
    troubled: Arc<Troubled>,
    runner: Runner,
}

impl Shop {
    async fn open(seed: u64, stock: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = |name: &str| format!("sqlite://{}/{name}.db", folder.path().display());
        let bound = Bound::bind(Config::on_loopback("order"), CancellationToken::new()).await.unwrap();
        let clock = ManualClock::at(NOV_2026);
        let pool = store::open(&url("inventory"), &[inventory::SCHEMA]).await.unwrap();
        let book = StockBook::seeded(pool, &[("p".into(), stock)]).await.unwrap();
        let pool = store::open(&url("payment"), &payment::MIGRATIONS).await.unwrap();
        let processor = Arc::new(FakeProcessor::new(pool.clone()));
        let cashier = Cashier::new(Charges::new(pool), processor, Arc::new(clock.clone()));
        let troubled = Arc::new(Troubled {
            book,
            cashier,
            clock: clock.clone(),
            dice: parking_lot::Mutex::new(StdRng::seed_from_u64(seed)),
            trouble: parking_lot::Mutex::new(0.5),
            dies: tokio::sync::Notify::new(),
        });
        let pool = store::open(&url("order"), &crate::order::MIGRATIONS).await.unwrap();
        let runner = Runner {
            orders: Orders::new(pool),
            participants: Arc::clone(&troubled) as Arc<dyn Participants>,
            clock: Arc::new(clock),
            meters: OrderMeters::default(),
            nudges: Nudges::default(),
        };
        Self { _folder: folder, context: bound.context, troubled, runner }
    }

    async fn place(&self, id: &str, number: &str) -> StoredOrder {
        let card = Card { number: number.into(), expiry: "12/30".into(), cvc: "123".into() };
        let new = NewOrder {
            id: id.into(),
            user_id: "ann".into(),
            idempotency_key: id.into(),
            lines: vec![Line { product_id: "p".into(), quantity: 1 }],
            card_token: self.troubled.cashier.tokenise(&card).await.unwrap().token,
            total_cents: 500,
        };
        self.runner.orders.place(new, "first", self.troubled.clock.now_ms()).await.unwrap().unwrap()
    }

    /// Runs an order until it halts or its process dies.
    async fn run(&self, mut stored: StoredOrder) {
        let request = RequestContext::background(&self.context, "test", Duration::from_secs(5));
        tokio::select! {
            _ = self.runner.run(&mut stored, &request) => {}
            () = self.troubled.dies.notified() => {}
        }
    }

    /// Lets time pass and runs what is due, as the worker does.
    async fn work(&self) {
        self.troubled.clock.advance_ms(LEASE_MS);
        for stored in self.runner.orders.claim("worker", 50, self.troubled.clock.now_ms()).await.unwrap() {
            self.run(stored).await;
        }
    }
}

#[tokio::test]
async fn every_order_ends_and_the_books_agree_whatever_fails_and_whoever_dies() {
    for seed in 0..12 {
        let shop = Shop::open(seed, 5).await;
        for index in 0..8 {
            let stored = shop.place(&format!("o{index}"), if index % 4 == 3 { DECLINED } else { GOOD }).await;
            shop.run(stored).await;
        }
        for _ in 0..6 {
            shop.work().await;
        }
        *shop.troubled.trouble.lock() = 0.0;
        for _ in 0..3 {
            shop.work().await;
        }
        let orders = shop.runner.orders.audit(&[]).await.unwrap();
        let (money, stock) = (shop.troubled.cashier.audit().await.unwrap(), shop.troubled.book.audit().await.unwrap());
        assert_eq!((orders.placed, orders.pending), (8, 0), "seed {seed}");
        let sorted = |mut ids: Vec<String>| {
            ids.sort();
            ids
        };
        assert_eq!(sorted(money.paid_orders), sorted(orders.confirmed_ids), "seed {seed}");
        assert_eq!((money.charged_twice, stock.oversold, stock.reserved, stock.sold), (0, 0, 0, orders.confirmed));
        assert!((1..=5).contains(&orders.confirmed), "seed {seed}: {}", orders.confirmed);
    }
}

#[tokio::test]
async fn an_order_that_cannot_be_paid_for_too_long_is_given_up() {
    let shop = Shop::open(1, 5).await;
    *shop.troubled.trouble.lock() = 0.0;
    let mut stored = shop.place("o", GOOD).await;
    // Reserved, and charged without anybody knowing.
    assert!(matches!(shop.troubled.really(&stored).await, Outcome::Done));
    assert!(shop.runner.orders.advance(&mut stored, Step::Charge, &["stock_reserved"], None, NOV_2026).await.unwrap());
    assert!(matches!(shop.troubled.really(&stored).await, Outcome::Done));
    shop.troubled.clock.advance_ms(millis(PENDING_MAX) + 1);
    shop.work().await;
    let ended = shop.runner.orders.get("o").await.unwrap().unwrap();
    assert_eq!((ended.step, ended.refusal.as_str()), (Step::Cancelled, "expired"));
    assert_eq!(shop.troubled.cashier.audit().await.unwrap().paid_orders, Vec::<String>::new());
    assert_eq!(shop.troubled.book.audit().await.unwrap().reserved, 0);
    let what: Vec<_> = shop.runner.orders.tracking("o").await.unwrap().into_iter().map(|event| event.what).collect();
    assert_eq!(what, ["placed", "stock_reserved", "refunded", "stock_released", "cancelled"]);
}

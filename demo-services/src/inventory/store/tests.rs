//! Claims about the stock book, on a real file that several pools share as replicas do.

use proptest::prelude::*;

use super::*;
use crate::chassis::store;

async fn book(folder: &tempfile::TempDir, start: u64) -> StockBook {
    let url = format!("sqlite://{}/inventory.db", folder.path().display());
    let pool = store::open(&url, &[SCHEMA]).await.unwrap();
    StockBook::seeded(pool, &[("a".into(), start), ("b".into(), start)]).await.unwrap()
}

fn lines(wanted: &[(&str, u32)]) -> Vec<Line> {
    wanted.iter().map(|(id, quantity)| Line { product_id: (*id).to_owned(), quantity: *quantity }).collect()
}

async fn available(book: &StockBook, id: &str) -> u64 {
    book.available(id).await.unwrap().unwrap().available
}

#[tokio::test]
async fn a_reservation_is_all_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let book = book(&folder, 5).await;
    let wish = lines(&[("a", 2), ("b", 6)]);
    assert_eq!(book.reserve("o1", &wish, 0).await.unwrap(), Reserved::OutOfStock { product_id: "b".into() });
    assert_eq!((available(&book, "a").await, available(&book, "b").await), (5, 5));
    let unknown = book.reserve("o2", &lines(&[("zeppelin", 1)]), 0).await.unwrap();
    assert_eq!(unknown, Reserved::OutOfStock { product_id: "zeppelin".into() });
    assert_eq!(
        book.reserve("o3", &lines(&[("a", 3), ("a", 3)]), 0).await.unwrap(),
        Reserved::OutOfStock { product_id: "a".into() }
    );
    assert_eq!(book.audit().await.unwrap(), InventoryAudit::default());
}

#[tokio::test]
async fn repeating_a_call_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let book = book(&folder, 5).await;
    for _ in 0..3 {
        assert_eq!(book.reserve("o", &lines(&[("a", 2)]), 0).await.unwrap(), Reserved::Held);
    }
    assert_eq!(available(&book, "a").await, 3);
    for _ in 0..3 {
        assert_eq!(book.commit("o").await.unwrap(), Committed::Sold);
    }
    assert_eq!(book.audit().await.unwrap(), InventoryAudit { oversold: 0, reserved: 0, sold: 2 });
    for _ in 0..3 {
        book.release("o", 0).await.unwrap();
    }
    assert_eq!(available(&book, "a").await, 5);
    assert_eq!(book.audit().await.unwrap(), InventoryAudit::default());
}

#[tokio::test]
async fn a_released_order_gets_nothing_even_when_the_release_came_first() {
    let folder = tempfile::tempdir().unwrap();
    let book = book(&folder, 5).await;
    book.release("late", 0).await.unwrap();
    assert_eq!(book.reserve("late", &lines(&[("a", 1)]), 0).await.unwrap(), Reserved::Released);
    assert_eq!(book.commit("late").await.unwrap(), Committed::NotHeld);
    assert_eq!(available(&book, "a").await, 5);
}

#[tokio::test]
async fn forgotten_reservations_are_listed_and_not_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let book = book(&folder, 5).await;
    book.reserve("old", &lines(&[("a", 1)]), 10).await.unwrap();
    book.reserve("new", &lines(&[("a", 1)]), 1_000).await.unwrap();
    let stale = book.stale(500, 10).await.unwrap();
    assert_eq!(stale, [StaleReservation { order_id: "old".into(), created_at_ms: 10 }]);
    assert_eq!(available(&book, "a").await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_sell_at_once_sell_no_more_than_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let replicas = [book(&folder, 20).await, book(&folder, 20).await];
    let buyers = (0..60).map(|buyer| {
        let book = replicas[buyer % 2].clone();
        async move {
            let id = format!("o{buyer}");
            let held = book.reserve(&id, &lines(&[("a", 1), ("b", 1)]), 0).await.unwrap() == Reserved::Held;
            if held {
                assert_eq!(book.commit(&id).await.unwrap(), Committed::Sold);
            }
            usize::from(held)
        }
    });
    let sold: usize = futures::future::join_all(buyers).await.into_iter().sum();
    assert_eq!(sold, 20);
    assert_eq!(replicas[0].audit().await.unwrap(), InventoryAudit { oversold: 0, reserved: 0, sold: 40 });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_book_adds_up_whatever_is_called(calls in prop::collection::vec((0u8..3, 0u8..6, 1u32..4), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let book = book(&folder, 5).await;
            for (call, order, quantity) in calls {
                let id = format!("o{order}");
                match call {
                    0 => drop(book.reserve(&id, &lines(&[("a", quantity), ("b", 1)]), 0).await.unwrap()),
                    1 => drop(book.commit(&id).await.unwrap()),
                    _ => book.release(&id, 0).await.unwrap(),
                }
                prop_assert_eq!(book.audit().await.unwrap().oversold, 0);
            }
            Ok(())
        })?;
    }
}

//! Claims about orders in their store, which replicas share.

use super::*;
use crate::chassis::store;
use crate::order::outbox::Outbox;

async fn orders() -> (Orders, Outbox) {
    let pool = store::open("sqlite::memory:", &[SCHEMA, outbox::SCHEMA]).await.unwrap();
    (Orders::new(pool.clone()), Outbox::new(pool))
}

fn new_order(id: &str, key: &str) -> NewOrder {
    NewOrder {
        id: id.into(),
        user_id: "ann".into(),
        idempotency_key: key.into(),
        lines: vec![Line { product_id: "p".into(), quantity: 2 }],
        card_token: "tok".into(),
        total_cents: 500,
    }
}

#[tokio::test]
async fn a_key_places_one_order_a_user() {
    let (orders, _) = orders().await;
    assert!(orders.place(new_order("o1", "k"), "me", 0).await.unwrap().is_some());
    assert!(orders.place(new_order("o2", "k"), "me", 0).await.unwrap().is_none());
    assert_eq!(orders.placed_with("ann", "k").await.unwrap().unwrap().order.id, "o1");
    let bob = NewOrder { user_id: "bob".into(), ..new_order("o3", "k") };
    assert!(orders.place(bob, "me", 0).await.unwrap().is_some());
    assert_eq!(orders.audit(&["o1".into(), "o2".into()]).await.unwrap().unknown, 1);
}

#[tokio::test]
async fn an_order_belongs_to_one_holder_until_the_lease_ends() {
    let (orders, _) = orders().await;
    let mut mine = orders.place(new_order("o", "k"), "me", 0).await.unwrap().unwrap();
    assert!(orders.claim("you", 5, LEASE_MS - 1).await.unwrap().is_empty());
    let mut yours = orders.claim("you", 5, LEASE_MS).await.unwrap().remove(0);
    assert!(!orders.advance(&mut mine, Step::Charge, &[], None, LEASE_MS).await.unwrap());
    assert!(orders.advance(&mut yours, Step::Charge, &["stock_reserved"], None, LEASE_MS).await.unwrap());
    assert_eq!(yours.step, Step::Charge);
    // A step taken is not taken again by somebody who remembers the one before.
    let mut stale = StoredOrder { step: Step::Reserve, ..yours.clone() };
    assert!(!orders.advance(&mut stale, Step::Release, &[], None, LEASE_MS).await.unwrap());
}

#[tokio::test]
async fn a_waiting_order_says_what_it_waits_for_and_a_cancelled_one_why() {
    let (orders, _) = orders().await;
    let mut order = orders.place(new_order("o", "k"), "me", 0).await.unwrap().unwrap();
    orders.defer(&mut order, "payment is down", 700).await.unwrap();
    assert!(orders.claim("me", 5, 699).await.unwrap().is_empty());
    let mut order = orders.claim("me", 5, 700).await.unwrap().remove(0);
    assert_eq!((order.order.reason.as_str(), order.attempts), ("payment is down", 1));
    let refusal = Refusal { code: "card_declined".into(), reason: "the card was declined".into() };
    orders.advance(&mut order, Step::Release, &[], Some(refusal), 800).await.unwrap();
    orders.advance(&mut order, Step::Cancelled, &["stock_released", "cancelled"], None, 900).await.unwrap();
    assert_eq!((order.order.reason.as_str(), order.refusal.as_str()), ("the card was declined", "card_declined"));
    let what: Vec<_> = orders.tracking("o").await.unwrap().into_iter().map(|event| event.what).collect();
    assert_eq!(what, ["placed", "stock_released", "cancelled"]);
    assert_eq!(orders.pending().await.unwrap(), 0);
}

#[tokio::test]
async fn events_are_written_with_the_change_and_each_destination_has_its_own() {
    let (orders, outbox) = orders().await;
    let mut order = orders.place(new_order("o", "k"), "me", 0).await.unwrap().unwrap();
    for (to, what) in [(Step::Charge, "stock_reserved"), (Step::Commit, "paid"), (Step::Confirmed, "confirmed")] {
        assert!(orders.advance(&mut order, to, &[what], None, 1).await.unwrap());
    }
    let ids = |pending: Vec<outbox::Pending>| {
        let mut ids: Vec<_> = pending.into_iter().map(|event| event.event_id).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(outbox.claim("recommendation", 9, 1).await.unwrap()), ["o:confirmed"]);
    assert_eq!(ids(outbox.claim("notification", 9, 1).await.unwrap()), ["o:confirmed", "o:placed"]);
    assert!(outbox.claim("notification", 9, 2).await.unwrap().is_empty(), "the lease holds");
    outbox.delivered("notification", &["o:placed", "o:confirmed"]).await.unwrap();
    outbox.postpone("recommendation", &[("o:confirmed", 50)]).await.unwrap();
    assert_eq!(orders.audit(&[]).await.unwrap().undelivered_events, 1);
    let again = outbox.claim("recommendation", 9, 50).await.unwrap();
    assert_eq!((again[0].attempts, again[0].event.order.state), (1, OrderState::Confirmed));
}

#[tokio::test]
async fn the_history_is_the_users_own_and_newest_first() {
    let (orders, _) = orders().await;
    for (index, id) in ["o1", "o2", "o3"].into_iter().enumerate() {
        orders.place(new_order(id, id), "me", i64::try_from(index).unwrap()).await.unwrap();
    }
    orders.place(NewOrder { user_id: "bob".into(), ..new_order("b", "b") }, "me", 9).await.unwrap();
    let ids: Vec<_> = orders.of_user("ann", 2).await.unwrap().into_iter().map(|order| order.id).collect();
    assert_eq!(ids, ["o3", "o2"]);
}

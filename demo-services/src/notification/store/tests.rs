//! Claims about messages.

use super::*;
use crate::chassis::store;
use crate::contract::{Line, Order, OrderEventKind, OrderState};

fn event(id: &str, kind: OrderEventKind) -> OrderEvent {
    let order = Order {
        id: "order-12345678".into(),
        user_id: "ann".into(),
        state: OrderState::Pending,
        lines: vec![Line { product_id: "p".into(), quantity: 2 }],
        total_cents: 1_905,
        reason: "the card was declined".into(),
        created_at_ms: 0,
    };
    OrderEvent { id: id.into(), kind, order }
}

async fn messages() -> Messages {
    Messages::new(store::open("sqlite::memory:", &[SCHEMA]).await.unwrap())
}

#[tokio::test]
async fn an_event_delivered_twice_notifies_once() {
    let messages = messages().await;
    assert!(messages.take_in(&event("e", OrderEventKind::Confirmed), 1).await.unwrap());
    assert!(!messages.take_in(&event("e", OrderEventKind::Confirmed), 2).await.unwrap());
    let shown = messages.of_user("ann", 10).await.unwrap();
    assert_eq!(shown.len(), 1);
    assert_eq!((shown[0].channel.as_str(), shown[0].subject.as_str()), ("email", "Your order 12345678 is confirmed"));
}

#[tokio::test]
async fn customers_get_the_channels_they_want() {
    let messages = messages().await;
    assert_eq!(messages.preferences("ann").await.unwrap(), Preferences::default());
    messages.prefer("ann", &Preferences { sms: true, push: false }).await.unwrap();
    messages.take_in(&event("e", OrderEventKind::Cancelled), 1).await.unwrap();
    let mut channels: Vec<_> = messages.of_user("ann", 10).await.unwrap().into_iter().map(|n| n.channel).collect();
    channels.sort();
    assert_eq!(channels, ["email", "sms"]);
}

#[tokio::test]
async fn a_message_is_sent_by_one_sender_and_again_only_if_that_one_died() {
    let messages = messages().await;
    messages.take_in(&event("e", OrderEventKind::Placed), 0).await.unwrap();
    let claimed = messages.claim(10, 0).await.unwrap();
    assert_eq!(
        (claimed.len(), claimed[0].body.as_str()),
        (1, "Thank you. Your order of 2 items for 19.05 is being prepared.")
    );
    assert!(messages.claim(10, LEASE_MS - 1).await.unwrap().is_empty());
    assert_eq!(messages.claim(10, LEASE_MS).await.unwrap().len(), 1);
    messages.sent(&[&claimed[0].id], 5).await.unwrap();
    assert!(messages.claim(10, 10 * LEASE_MS).await.unwrap().is_empty());
    let expected = NotificationAudit { orders: 1, events: 1, messages: 1, unsent: 0 };
    assert_eq!(messages.audit().await.unwrap(), expected);
}

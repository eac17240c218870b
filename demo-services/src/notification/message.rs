//! What customers read about their orders, by event and channel. Pure.

use crate::contract::{OrderEvent, OrderEventKind, Preferences};

/// A way to reach a customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    Email,
    Sms,
    Push,
}

impl Channel {
    /// As in the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Sms => "sms",
            Self::Push => "push",
        }
    }

    /// The channel of this name; e-mail, which everybody has, where there is none.
    pub fn parse(name: &str) -> Self {
        [Self::Sms, Self::Push].into_iter().find(|channel| channel.as_str() == name).unwrap_or(Self::Email)
    }
}

/// A message to one customer over one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Follows from event and channel, so that the same event never makes two.
    pub id: String,
    pub order_id: String,
    pub user_id: String,
    /// `placed`, `confirmed` or `cancelled`.
    pub kind: String,
    pub channel: Channel,
    pub subject: String,
    pub body: String,
    pub at_ms: i64,
}

/// The messages that an event calls for: an e-mail always, the other channels for those who want them.
pub fn render(event: &OrderEvent, wishes: &Preferences, now_ms: i64) -> Vec<Message> {
    let (kind, subject, body) = words(event);
    let wanted = [(Channel::Email, true), (Channel::Sms, wishes.sms), (Channel::Push, wishes.push)];
    wanted
        .into_iter()
        .filter(|(_, wanted)| *wanted)
        .map(|(channel, _)| Message {
            id: format!("{}:{}", event.id, channel.as_str()),
            order_id: event.order.id.clone(),
            user_id: event.order.user_id.clone(),
            kind: kind.to_owned(),
            channel,
            subject: subject.clone(),
            body: if channel == Channel::Email { body.clone() } else { subject.clone() },
            at_ms: now_ms,
        })
        .collect()
}

fn words(event: &OrderEvent) -> (&'static str, String, String) {
    let order = &event.order;
    let number = short(&order.id);
    let total = format!("{}.{:02}", order.total_cents / 100, order.total_cents % 100);
    let items: u64 = order.lines.iter().map(|line| u64::from(line.quantity)).sum();
    match event.kind {
        OrderEventKind::Placed => (
            "placed",
            format!("We have your order {number}"),
            format!("Thank you. Your order of {items} items for {total} is being prepared."),
        ),
        OrderEventKind::Confirmed => (
            "confirmed",
            format!("Your order {number} is confirmed"),
            format!("We have received {total} and set your {items} items aside. They will be on their way soon."),
        ),
        OrderEventKind::Cancelled => (
            "cancelled",
            format!("Your order {number} was cancelled"),
            format!("We are sorry: {}. You have not been charged, or have your {total} back.", order.reason),
        ),
    }
}

/// The end of an id, enough to recognise an order by.
fn short(id: &str) -> &str {
    let from = id.char_indices().rev().nth(7).map_or(0, |(index, _)| index);
    &id[from..]
}

//! Counts after a run what no order may suffer: lost, charged twice, oversold. Asks the services that know, and waits for
//! orders that are still under way. Changes nothing.

use std::collections::HashSet;
use std::time::Duration;

use protocol::http_client::{CallError, HttpClient};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use url::Url;

use crate::contract::{InventoryAudit, OrderAudit, PaymentAudit};

/// Ids asked for at once, some 400 KB.
const IDS_MAX: usize = 10_000;

/// Between looks at orders that are still pending.
const POLL: Duration = Duration::from_millis(500);

/// Where the services are that know.
#[derive(Debug, Clone)]
pub struct AuditUrls {
    pub order: Url,
    pub payment: Url,
    pub inventory: Url,
}

/// What became of all orders.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrdersReport {
    pub placed: u64,
    pub confirmed: u64,
    pub pending: u64,
    pub cancelled: u64,
    /// Orders that customers know of and the shop does not, and confirmed ones that nobody has paid.
    pub lost: u64,
    /// Orders whose money was taken more than once.
    pub charged_twice: u64,
    /// Products of which more was sold than there was.
    pub oversold: u64,
    /// Money kept for orders that are not confirmed, once none is pending any more. No part of the report.
    #[serde(skip)]
    pub paid_not_confirmed: u64,
    /// Events that no service has taken yet. No part of the report.
    #[serde(skip)]
    pub undelivered_events: u64,
}

/// Asks until no order is pending, or until `deadline`; then counts.
///
/// # Errors
/// A service that gives no answer until the deadline.
pub async fn audit(urls: &AuditUrls, acknowledged: &[String], deadline: Instant) -> Result<OrdersReport, CallError> {
    let order = HttpClient::new(urls.order.clone());
    loop {
        let orders = ask_orders(&order, acknowledged).await;
        let patient = Instant::now() + POLL < deadline;
        match orders {
            Ok(orders) if orders.pending == 0 || !patient => {
                let report = count(urls, &orders).await;
                if report.is_ok() || !patient {
                    return report;
                }
            }
            Err(error) if !patient => return Err(error),
            Ok(_) | Err(_) => {}
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Asks in portions; `unknown` is their sum, the rest is as the last answer says.
async fn ask_orders(order: &HttpClient, acknowledged: &[String]) -> Result<OrderAudit, CallError> {
    let mut portions = acknowledged.chunks(IDS_MAX);
    let mut audit: OrderAudit = order.post_json("/audit", &portions.next().unwrap_or_default()).await?;
    for portion in portions {
        let next: OrderAudit = order.post_json("/audit", &portion).await?;
        audit = OrderAudit { unknown: audit.unknown + next.unknown, ..next };
    }
    Ok(audit)
}

async fn count(urls: &AuditUrls, orders: &OrderAudit) -> Result<OrdersReport, CallError> {
    let payment: PaymentAudit = HttpClient::new(urls.payment.clone()).get("/audit", &[]).await?;
    let inventory: InventoryAudit = HttpClient::new(urls.inventory.clone()).get("/audit", &[]).await?;
    Ok(compare(orders, &payment, &inventory))
}

/// Compares the three books. Pure.
fn compare(orders: &OrderAudit, payment: &PaymentAudit, inventory: &InventoryAudit) -> OrdersReport {
    let paid: HashSet<&str> = payment.paid_orders.iter().map(String::as_str).collect();
    let confirmed: HashSet<&str> = orders.confirmed_ids.iter().map(String::as_str).collect();
    let unpaid = confirmed.difference(&paid).count() as u64;
    let paid_not_confirmed = paid.difference(&confirmed).count() as u64;
    if orders.pending == 0 && paid_not_confirmed > 0 {
        tracing::warn!(paid_not_confirmed, "money was kept for orders that are not confirmed");
    }
    OrdersReport {
        placed: orders.placed,
        confirmed: orders.confirmed,
        pending: orders.pending,
        cancelled: orders.cancelled,
        lost: orders.unknown + unpaid,
        charged_twice: payment.charged_twice,
        oversold: inventory.oversold,
        paid_not_confirmed,
        undelivered_events: orders.undelivered_events,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_books_are_compared_and_every_fault_shows() {
        let ids = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let orders = OrderAudit {
            placed: 5,
            confirmed: 3,
            cancelled: 2,
            unknown: 2,
            confirmed_ids: ids(&["a", "b", "c"]),
            ..OrderAudit::default()
        };
        let payment = PaymentAudit { charged_twice: 1, paid_orders: ids(&["a", "b", "x"]) };
        let inventory = InventoryAudit { oversold: 4, reserved: 0, sold: 9 };
        let report = compare(&orders, &payment, &inventory);
        assert_eq!((report.lost, report.charged_twice, report.oversold, report.paid_not_confirmed), (3, 1, 4, 1));
    }

    #[test]
    fn the_report_has_the_names_that_readers_expect() {
        let json = serde_json::to_value(OrdersReport::default()).unwrap();
        let names: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let mut expected = ["placed", "confirmed", "pending", "cancelled", "lost", "charged_twice", "oversold"];
        expected.sort_unstable();
        assert_eq!(
            {
                let mut names = names;
                names.sort_unstable();
                names
            },
            expected
        );
    }
}

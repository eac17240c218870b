//! Recording and alerting rules: Prometheus' rule files, read strictly and evaluated as Prometheus does. Fetches nothing from
//! targets. Start at `file` for what a rule is, at `alert` for what becomes of an alert, at `outcome` for what an evaluation
//! stores, at `run` for when it happens, at `delivery` for who is told.

pub mod alert;
pub mod delivery;
pub mod file;
mod glob;
mod group;
mod manager;
pub mod metrics;
pub mod notice;
pub mod outcome;
pub mod report;
pub mod schedule;
pub mod template;

use std::sync::Arc;
use std::time::Duration;

use lifecycle::Clock;
use url::Url;

use self::delivery::Delivery;
pub use self::manager::{RulesEnded, run};
use self::notice::AlertSink;
use self::report::{GroupReport, RulesReport};
use crate::api::views::{Alertmanagers, RulesView};
use crate::promql::Engine;
use crate::series::{Ingest, Queryable};

/// The label with an alert's name.
pub const ALERT_NAME: &str = "alertname";

/// How alerts live through restarts, and how often they are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleOptions {
    /// The longest that nobody may have looked for an alert to go on where it was.
    pub for_outage_tolerance: Duration,
    /// The least that an alert is pending after a restart, unless its `for` is shorter.
    pub for_grace_period: Duration,
    /// How soon a receiver is told about an alert again.
    pub resend_delay: Duration,
}

impl Default for RuleOptions {
    /// Prometheus' defaults: `--rules.alert.for-outage-tolerance`, `--rules.alert.for-grace-period`,
    /// `--rules.alert.resend-delay`.
    fn default() -> Self {
        Self {
            for_outage_tolerance: Duration::from_secs(3600),
            for_grace_period: Duration::from_secs(600),
            resend_delay: Duration::from_secs(60),
        }
    }
}

/// What rules are evaluated with.
pub struct Ruling {
    /// Where samples are read.
    pub queryable: Arc<dyn Queryable>,
    /// Where samples go.
    pub store: Arc<dyn Ingest>,
    /// Evaluates queries, within its limits.
    pub engine: Engine,
    /// Tells when it is.
    pub clock: Arc<dyn Clock>,
    /// Who is told how it goes.
    pub report: Arc<RulesReport>,
    /// Who is told about alerts.
    pub sink: Arc<dyn AlertSink>,
    /// Where this collector is reached from outside, for links.
    pub external_url: Arc<Url>,
    /// How alerts live through restarts.
    pub options: RuleOptions,
}

/// Where Linux tells a machine's name, in a container too.
const HOSTNAME: &str = "/proc/sys/kernel/hostname";

/// Where the collector is reached if nobody says: this machine's name, or its own address if that cannot be found out.
pub fn default_external_url(port: u16) -> Url {
    let name = std::fs::read_to_string(HOSTNAME).ok();
    let name = name.as_deref().map(str::trim).filter(|name| !name.is_empty());
    let named = name.and_then(|name| Url::parse(&format!("http://{name}:{port}/")).ok());
    let local = || Url::parse(&format!("http://127.0.0.1:{port}/")).expect("an address and a number are a URL");
    named.unwrap_or_else(local)
}

/// What the API is told of rules and receivers.
pub struct Overview {
    /// How rules go.
    pub report: Arc<RulesReport>,
    /// Who is told.
    pub delivery: Arc<Delivery>,
}

impl RulesView for Overview {
    fn groups(&self) -> Arc<Vec<Arc<GroupReport>>> {
        self.report.groups()
    }

    fn alertmanagers(&self) -> Alertmanagers {
        self.delivery.alertmanagers()
    }
}

/// `/graph?g0.expr=..`, where links in alerts lead: to the query's result, as there are no graphs here.
pub async fn graph_link(axum::extract::RawQuery(query): axum::extract::RawQuery) -> axum::response::Redirect {
    let query = query.unwrap_or_default();
    let expr = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "g0.expr");
    let expr = expr.map(|(_, expr)| expr.into_owned()).unwrap_or_default();
    let query: String = url::form_urlencoded::byte_serialize(expr.as_bytes()).collect();
    // Relative, because a proxy may serve this below another path.
    axum::response::Redirect::temporary(&format!("api/v1/query?query={query}"))
}

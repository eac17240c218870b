//! Fills the demo's report from the programs themselves: the collector by PromQL, the cluster, the autoscaler, the
//! shoppers and the shop's own books.

use std::collections::BTreeMap;
use std::time::Duration;

use demo_services::audit::{self, AuditUrls};
use lifecycle::{Clock, SystemClock};
use protocol::prometheus::{PrometheusClient, QueryData};

use tokio::time::Instant;
use tui::feed::backends::Backends;
use tui::feed::fetch_once;
use tui::picture::Wants;
use url::Url;

use super::conductor::Tally;
use super::report::{
    CollectorReport, DecisionsReport, EndpointsReport, JourneyReport, ReplicasReport, Report, ServiceReport,
    SuspectReport,
};
use super::stack::View;

/// How the services did under load, at its end.
pub struct Served {
    seconds: f64,
    health: BTreeMap<String, String>,
    totals: Totals,
}

/// Asks the collector as soon as the load has ended, which lasted for `seconds`.
pub async fn served(view: &View, seconds: f64) -> Result<Served, String> {
    Ok(Served { seconds, health: health(view).await, totals: Totals::query(view, seconds).await? })
}

/// Asks the other programs; `settle` is how long orders may still take to end.
pub async fn report(
    view: &View,
    tally: &Tally,
    served: Served,
    suspects: Vec<SuspectReport>,
    settle: Duration,
) -> Result<Report, String> {
    let shoppers = view.shoppers.stats();
    let books = AuditUrls {
        order: service_url(view, "order")?,
        payment: service_url(view, "payment")?,
        inventory: service_url(view, "inventory")?,
    };
    let orders = audit::audit(&books, &shoppers.acknowledged_orders, Instant::now() + settle)
        .await
        .map_err(|error| format!("the shop's books could not be read: {error}"))?;
    let Served { seconds, health, totals } = served;
    let service =
        |(name, replicas): (&String, &ReplicasReport)| totals.service(name, *replicas, &health, tally.restarts(name));
    let services = tally.replicas.iter().map(service).collect();
    let journeys = shoppers
        .journeys
        .iter()
        .map(|journey| JourneyReport {
            name: journey.name.clone(),
            requests: journey.requests,
            errors: journey.errors,
            p50_ms: journey.p50_ms,
            p99_ms: journey.p99_ms,
        })
        .collect();
    let counts = view.autoscaler.counts();
    let collector = view.collector.stats();
    Ok(Report {
        seconds,
        services,
        journeys,
        decisions: DecisionsReport {
            total: counts.total,
            scale_up: counts.scale_up,
            scale_down: counts.scale_down,
            hold: counts.hold,
        },
        collector: CollectorReport {
            targets: collector.targets,
            targets_up: collector.targets_up,
            samples: collector.samples,
            series: collector.series,
            spans: collector.spans,
            traces: collector.traces,
        },
        orders,
        faults: view.faults.truth(),
        suspects,
        endpoints: EndpointsReport {
            collector: view.collector_url.to_string(),
            autoscaler: view.autoscaler_url.to_string(),
            gateway: view.gateway_url.to_string(),
        },
    })
}

/// By service; what a query does not know is absent.
type ByService = BTreeMap<String, f64>;

async fn by_service(client: &PrometheusClient, query: &str) -> Result<ByService, String> {
    let data = client.query(query, None).await.map_err(|error| error.to_string())?;
    let QueryData::Vector(series) = data else {
        return Err(format!("the collector answered something else than a vector to {query}"));
    };
    let named = series.into_iter().filter_map(|mut s| {
        let value = s.value.value();
        s.metric.remove("service").filter(|_| value.is_finite()).map(|service| (service, value))
    });
    Ok(named.collect())
}

/// What the services served during the run. A counter starts at nothing with its replica, so its largest value is
/// all that the replica served; `increase` would leave out what came before the first scrape.
struct Totals {
    requests: ByService,
    errors: ByService,
    p50: ByService,
    p99: ByService,
}

impl Totals {
    async fn query(view: &View, seconds: f64) -> Result<Self, String> {
        let client = PrometheusClient::new(view.collector_url.clone());
        let window = format!("{}s", seconds.ceil());
        let count = "http_server_request_duration_seconds_count";
        let buckets =
            format!("sum by (service, le) (max_over_time(http_server_request_duration_seconds_bucket[{window}]))");
        Ok(Self {
            requests: by_service(&client, &format!("sum by (service) (max_over_time({count}[{window}]))")).await?,
            errors: by_service(
                &client,
                &format!("sum by (service) (max_over_time({count}{{http_response_status_code=~\"5..\"}}[{window}]))"),
            )
            .await?,
            p50: by_service(&client, &format!("1000 * histogram_quantile(0.5, {buckets})")).await?,
            p99: by_service(&client, &format!("1000 * histogram_quantile(0.99, {buckets})")).await?,
        })
    }

    fn service(
        &self,
        name: &str,
        replicas: ReplicasReport,
        health: &BTreeMap<String, String>,
        restarts: u64,
    ) -> ServiceReport {
        let whole = |values: &ByService| values.get(name).map_or(0, |v| v.max(0.0).round() as u64);
        ServiceReport {
            name: name.to_owned(),
            health: health.get(name).cloned().unwrap_or_else(|| "Unknown".to_owned()),
            replicas,
            requests: whole(&self.requests),
            errors: whole(&self.errors),
            p50_ms: self.p50.get(name).copied(),
            p99_ms: self.p99.get(name).copied(),
            restarts,
        }
    }
}

/// Each service's health in the word that the screen shows for it at this moment.
async fn health(view: &View) -> BTreeMap<String, String> {
    let clock = SystemClock;
    let backends = Backends::new(&view.collector_url, Some(&view.autoscaler_url));
    let picture = fetch_once(&backends, &Wants::default(), &clock).await;
    let rows = tui::triage::rows(&picture, clock.now_ms());
    rows.into_iter().map(|row| (row.name, row.assessment.health.word().to_owned())).collect()
}

fn service_url(view: &View, service: &str) -> Result<Url, String> {
    let url = view.cluster.service_url(service).ok_or_else(|| format!("the manifests have no Service {service}"))?;
    Url::parse(&url).map_err(|error| format!("{url}: {error}"))
}

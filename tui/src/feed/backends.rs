//! The calls behind each source, one function a source. Keeps no state beyond the clients; the loop is in `feed`.

mod incident;
mod steering;

use std::path::PathBuf;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use protocol::faults::FaultsClient;
use protocol::graph::{Graph, GraphClient};
use protocol::http_client::CallError;
use protocol::jaeger::{JaegerClient, TraceSearch};
use protocol::prometheus::{PrometheusClient, QueryData};
use protocol::scaling::{EventRecord, ScalingClient, WorkloadStatus};
use tokio::sync::{Semaphore, watch};
use url::Url;

pub use incident::NO_FAULTS;

use crate::feed::decision_log::DecisionLog;
use crate::feed::queries::{self, HISTORY_STEP_SECONDS, HISTORY_STEPS};
use crate::feed::reading::{self, Answers};
use crate::picture::{Detail, History, Metrics, Scaling, ServiceKey, TraceList, TraceWish, Trouble};

/// Decisions asked for at once.
const DECISIONS_PER_CALL: usize = 300;
/// Events asked for at once: what a service page can show of all services.
const EVENTS_PER_CALL: usize = 200;
/// Traces asked for at once: two screens full.
const TRACES_PER_CALL: usize = 60;

/// Traces asked for of each service when all are searched.
const TRACES_PER_SERVICE_MIN: usize = 5;
/// PromQL asked at once, as many calls as a browser makes to one server: on a cluster each is a connection through the API server.
const QUERIES_AT_ONCE: usize = 6;
/// Services' traces searched at once, for the same reason.
const SEARCHES_AT_ONCE: usize = 4;

/// Services searched for one list of traces: more calls every two seconds would be a load of their own.
const SERVICES_SEARCHED_MAX: usize = 20;

/// What is said where there are no traces.
const NO_TRACES: &str = "this server keeps no traces (/api/traces): point --collector at a Plimsoll collector";

/// What is said where no autoscaler was named.
pub const NO_AUTOSCALER: &str = "no autoscaler is connected: start the screen with --autoscaler URL";

/// Where a program is that the screen reads, and what is known of the way there.
#[derive(Debug, Clone)]
pub struct Backend {
    /// Its URL.
    pub url: Url,
    /// What the screen calls the place.
    pub place: String,
    /// Why the way there is closed, in words with their remedy; empty while it is open. `None` where nothing stands between.
    pub way: Option<watch::Receiver<String>>,
}

impl From<Url> for Backend {
    fn from(url: Url) -> Self {
        let host = url.host_str().unwrap_or("?");
        let place = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        Self { url, place, way: None }
    }
}

impl Backend {
    /// What went wrong with a call. 404 and 501 mean that the server does not have it; everything else may pass.
    fn trouble(&self, error: &CallError, missing: &str) -> Trouble {
        let way = self.way.as_ref().map(|way| way.borrow().clone()).unwrap_or_default();
        match error {
            CallError::Refused { status: 404 | 501, .. } if !missing.is_empty() => Trouble::Missing(missing.to_owned()),
            CallError::Unreachable { .. } if !way.is_empty() => Trouble::Down(way),
            CallError::Unreachable { reason, .. } => Trouble::Down(reason.clone()),
            other => Trouble::Down(other.to_string()),
        }
    }
}

/// Typed clients of everything that the screen reads.
#[derive(Debug, Clone)]
pub struct Backends {
    collector: Backend,
    prometheus: PrometheusClient,
    graph: GraphClient,
    faults: FaultsClient,
    jaeger: JaegerClient,
    scaling: Option<(Backend, ScalingClient)>,
    api_token: Option<PathBuf>,
    queries: Arc<Semaphore>,
}

impl Backends {
    /// Clients of a collector and, if there is one, an autoscaler.
    pub fn new(collector: &Url, autoscaler: Option<&Url>) -> Self {
        Self::of(collector.clone().into(), autoscaler.map(|url| url.clone().into()))
    }

    /// The same, of backends that may be behind a way of their own.
    pub fn of(collector: Backend, autoscaler: Option<Backend>) -> Self {
        let url = || collector.url.clone();
        Self {
            prometheus: PrometheusClient::new(url()),
            graph: GraphClient::new(url()),
            faults: FaultsClient::new(url()),
            jaeger: JaegerClient::new(url()),
            collector,
            scaling: autoscaler.map(|backend| (backend.clone(), ScalingClient::new(backend.url))),
            api_token: None,
            queries: Arc::new(Semaphore::new(QUERIES_AT_ONCE)),
        }
    }

    /// Whether an autoscaler was named.
    pub fn has_autoscaler(&self) -> bool {
        self.scaling.is_some()
    }

    /// How things are now, over `window` seconds or what the server's scraping makes better: one that scrapes seldom answers
    /// nothing for a short one.
    pub async fn metrics(&self, window: u64) -> Result<Metrics, Trouble> {
        let metrics = Box::pin(self.round(window)).await?;
        let better = match metrics.scrape_seconds {
            Some(seconds) => queries::window_for(seconds),
            None if metrics.services.values().any(|s| s.red.rate > 0.0) => window,
            None => window.max(queries::WINDOW_SECONDS_SLOW),
        };
        if better == window {
            return Ok(metrics);
        }
        let other = Box::pin(self.round(better)).await?;
        let busy = |metrics: &Metrics| metrics.services.values().filter(|s| s.red.rate > 0.0).count();
        let is_known = metrics.scrape_seconds.is_some();
        Ok(if is_known || busy(&other) > busy(&metrics) { other } else { metrics })
    }

    /// One round of PromQL. Only the requests by service must answer; the rest may be missing.
    async fn round(&self, window: u64) -> Result<Metrics, Trouble> {
        if window != queries::WINDOW_SECONDS {
            return self.metrics_over(window).await;
        }
        let recent = async { Ok::<_, Trouble>(self.recent().await) };
        let (mut metrics, recent) = futures::try_join!(Box::pin(self.metrics_over(window)), Box::pin(recent))?;
        reading::sharpen(&mut metrics, &recent, queries::WINDOW_SECONDS_RECENT as f64);
        Ok(metrics)
    }

    /// Services and journeys in the last seconds; what is not answered is missing.
    async fn recent(&self) -> Answers {
        let window = queries::WINDOW_SECONDS_RECENT;
        let (rate_by_code, buckets) = (queries::rate_by_code(window), queries::buckets(window));
        let (journeys, journey_buckets) = (queries::journeys(window), queries::journey_buckets(window));
        let ask = |query| async move { self.query(query).await.ok() };
        let breakers = queries::breakers_of_late();
        let (rate_by_code, buckets, journeys, journey_buckets, breakers) =
            futures::join!(ask(&rate_by_code), ask(&buckets), ask(&journeys), ask(&journey_buckets), ask(&breakers));
        Answers { rate_by_code, buckets, journeys, journey_buckets, breakers, ..Answers::default() }
    }

    async fn metrics_over(&self, window: u64) -> Result<Metrics, Trouble> {
        let (rate_by_code, buckets) = (queries::rate_by_code(window), queries::buckets(window));
        let (journeys, journey_buckets) = (queries::journeys(window), queries::journey_buckets(window));
        let cpu_used = queries::cpu_used(window);
        let required = async { self.query(&rate_by_code).await.map_err(|e| self.collector.trouble(&e, "")) };
        let optional = |query| async move { Ok::<_, Trouble>(self.query(query).await.ok()) };
        let latency = async {
            futures::try_join!(optional(&buckets), optional(&journeys), optional(&journey_buckets), optional(&cpu_used))
        };
        let state = async {
            futures::try_join!(
                optional(queries::BREAKERS),
                optional(queries::CPU_LIMIT),
                optional(queries::DESIRED),
                optional(queries::READY),
                optional(queries::SERVING),
                optional(queries::SCRAPES_A_MINUTE)
            )
        };
        let (red, latency, state) = futures::try_join!(required, latency, state)?;
        let (buckets, journeys, journey_buckets, cpu_used) = latency;
        let (breakers, cpu_limit, desired, ready, serving, scrapes_a_minute) = state;
        let rate_by_code = Some(red);
        #[rustfmt::skip]
        let answers = Answers {
            rate_by_code, buckets, breakers, journeys, journey_buckets, cpu_used, cpu_limit, desired, ready, serving,
            scrapes_a_minute,
        };
        Ok(reading::metrics(&answers, window as f64))
    }

    /// Rate and errors of every service over the last minutes.
    pub async fn history(&self, now_ms: i64, window: u64) -> Result<History, Trouble> {
        let (start, answer) = self.range(&queries::rate_by_code(window), now_ms).await?;
        Ok(reading::history(&answer, start, HISTORY_STEP_SECONDS as f64, HISTORY_STEPS))
    }

    /// The p99 of one service over the last minutes.
    pub async fn detail(&self, service: ServiceKey, now_ms: i64, window: u64) -> Result<Detail, Trouble> {
        let (start, answer) = self.range(&queries::buckets_of(&service, window), now_ms).await?;
        let p99_ms = reading::quantile_history(&answer, start, HISTORY_STEP_SECONDS as f64, HISTORY_STEPS);
        Ok(Detail { service, p99_ms })
    }

    async fn query(&self, query: &str) -> Result<QueryData, CallError> {
        let _turn = self.queries.acquire().await;
        self.prometheus.query(query, None).await
    }

    /// Steps lie on whole multiples, so that two rounds show the same points.
    async fn range(&self, query: &str, now_ms: i64) -> Result<(f64, QueryData), Trouble> {
        let step = HISTORY_STEP_SECONDS as f64;
        let end = (now_ms as f64 / 1_000.0 / step).floor() * step;
        let start = end - step * (HISTORY_STEPS - 1) as f64;
        let answer = self.prometheus.query_range(query, start, end, step).await;
        let answer = answer.map_err(|e| self.collector.trouble(&e, ""))?;
        Ok((start, answer))
    }

    /// Who calls whom.
    pub async fn graph(&self, window: u64) -> Result<Graph, Trouble> {
        let missing = "this server has no service graph (/api/v1/graph): point --collector at a Plimsoll collector";
        self.graph.graph(window).await.map_err(|e| self.collector.trouble(&e, missing))
    }

    /// Replicas of every workload.
    pub async fn workloads(&self) -> Result<Vec<WorkloadStatus>, Trouble> {
        let (backend, scaling) = self.scaling()?;
        let missing = "this autoscaler does not tell replicas (/api/v1/workloads)";
        scaling.workloads().await.map_err(|e| backend.trouble(&e, missing))
    }

    /// Policies, and the decisions since the last call.
    pub async fn scaling_news(&self, mut log: DecisionLog) -> Result<(DecisionLog, Scaling), Trouble> {
        let (backend, scaling) = self.scaling()?;
        let missing = "this autoscaler does not tell its decisions (/api/v1/decisions)";
        let policies = scaling.policies().await.map_err(|e| backend.trouble(&e, missing))?;
        let since = log.since(&policies);
        let records = scaling.decisions(None, since, DECISIONS_PER_CALL).await;
        let records = records.map_err(|e| backend.trouble(&e, missing))?;
        let all = log.absorb(records, policies);
        Ok((log, all))
    }

    /// What the cluster tells.
    pub async fn events(&self) -> Result<Vec<EventRecord>, Trouble> {
        let (backend, scaling) = self.scaling()?;
        let missing = "this autoscaler does not tell events (/api/v1/events)";
        scaling.events(EVENTS_PER_CALL).await.map_err(|e| backend.trouble(&e, missing))
    }

    /// Traces that match a wish, newest first.
    pub async fn traces(&self, wish: TraceWish) -> Result<TraceList, Trouble> {
        let services =
            if wish.service.is_empty() { self.front_services(&wish).await? } else { vec![wish.service.clone()] };
        let limit = (TRACES_PER_CALL / services.len().max(1)).max(TRACES_PER_SERVICE_MIN);
        let search = |service: String| {
            let (start_us, end_us) = wish.between_us;
            let mut search = TraceSearch { service, limit, start_us, end_us, ..Default::default() };
            if wish.errors_only {
                search.tags.insert("error".to_owned(), "true".to_owned());
            }
            async move { self.jaeger.search(&search).await.map_err(|e| self.collector.trouble(&e, NO_TRACES)) }
        };
        let searches: Vec<_> = services.into_iter().map(search).collect();
        let found = futures::stream::iter(searches).buffered(SEARCHES_AT_ONCE).try_collect().await?;
        Ok(TraceList { traces: reading::newest_traces(found, TRACES_PER_CALL), wish })
    }

    /// Jaeger's API wants a service. For traces of all: those that nobody calls, as nearly every trace begins there; for
    /// errors, every service that sends spans, as the errors of background work begin anywhere.
    async fn front_services(&self, wish: &TraceWish) -> Result<Vec<String>, Trouble> {
        let mut services = self.jaeger.services().await.map_err(|e| self.collector.trouble(&e, NO_TRACES))?;
        if !wish.errors_only
            && let Ok(graph) = self.graph.graph(queries::WINDOW_SECONDS_SLOW).await
        {
            let is_called = |name: &String| graph.edges.iter().any(|e| &e.server == name && e.client != e.server);
            let front: Vec<String> = services.iter().filter(|name| !is_called(name)).cloned().collect();
            services = if front.is_empty() { services } else { front };
        }
        services.truncate(SERVICES_SEARCHED_MAX);
        Ok(services)
    }

    fn scaling(&self) -> Result<(&Backend, &ScalingClient), Trouble> {
        let known = self.scaling.as_ref().map(|(backend, client)| (backend, client));
        known.ok_or_else(|| Trouble::Missing(NO_AUTOSCALER.to_owned()))
    }
}

//! The routes of the collector's port, and what they tell of how it was started. Serves nothing.

use std::sync::Arc;

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use lifecycle::health;
use lifecycle::metrics::Metrics;
use lifecycle::{Liveness, Readiness};

use super::options::retention;
use super::own_metrics::OwnMetrics;
use super::{Collector, Pushed};
use crate::api::prometheus::{self, PrometheusApi, ServerFacts};
use crate::remote::receiver;
use crate::{otlp, rules};

impl Collector {
    pub(super) fn http_routes(&self, readiness: &Readiness, liveness: &Liveness, pushed: &Pushed) -> Router {
        let metrics = Metrics::default();
        metrics.register(|registry| {
            let own = OwnMetrics {
                store: self.store.clone(),
                report: self.report.clone(),
                remote_write: pushed.remote_write.clone(),
                otlp: pushed.metrics.clone(),
            };
            registry.register_collector(Box::new(own));
            registry.register_collector(Box::new(self.senders.metrics()));
            rules::metrics::register(registry, &self.rules, &self.delivery);
        });
        self.traces.register(&metrics);
        let api = PrometheusApi {
            store: self.store.clone(),
            engine: self.engine.clone(),
            targets: self.report.clone(),
            rules: Arc::new(rules::Overview { report: self.rules.clone(), delivery: self.delivery.clone() }),
            exemplars: Some(self.store.clone()),
            clock: self.clock.clone(),
            server: self.facts(),
        };
        let receiving = self.options.receive_metrics.then(|| pushed.remote_write.clone());
        // Without targets it still answers queries and takes in traces: that is no reason to keep questions from it.
        let (readiness, watches) = (readiness.clone(), self.report.watch_counts.clone());
        let report = move || readiness.report(watches.troubles());
        let storage = prometheus::storage_routes(self.store.clone(), self.options.enable_admin_api);
        prometheus::routes(api)
            .merge(storage)
            .merge(receiver::routes(receiving))
            .merge(otlp::prometheus_routes(pushed.metrics.clone()))
            .merge(self.traces.routes())
            .merge(health::routes(liveness, report.clone()))
            // Where Prometheus has them, and promtool asks.
            .merge(health::routes_at(["/-/healthy", "/-/ready"], liveness, report))
            .merge(metrics.routes())
            .route("/", get(|| async { Html(PAGE) }))
            .route("/graph", get(rules::graph_link))
    }

    fn facts(&self) -> ServerFacts {
        let options = &self.options;
        let shown = |duration| protocol::duration::Display(duration).to_string();
        let (retention, retention_bytes) = retention(options, &self.config);
        let retention = shown(retention);
        let flags = [
            ("listen", self.endpoints.http.to_string()),
            ("otlp-grpc", self.endpoints.otlp_grpc.to_string()),
            ("otlp-http", self.endpoints.otlp_http.to_string()),
            ("config", options.config.display().to_string()),
            ("data", options.data.display().to_string()),
            ("retention", retention.clone()),
            ("retention-size", retention_bytes.unwrap_or(0).to_string()),
            ("span-retention", shown(options.span_retention.time)),
            ("span-retention-size", options.span_retention.bytes.unwrap_or(0).to_string()),
            ("span-sample", options.spans.ordinary_per_second.to_string()),
            ("enable-admin-api", options.enable_admin_api.to_string()),
            ("receive-metrics", options.receive_metrics.to_string()),
            ("query-timeout", shown(options.queries.timeout)),
            ("query-max-concurrency", options.queries.queries_max.to_string()),
            ("query-max-samples", options.queries.samples_max.to_string()),
            ("query-max-series", options.queries.series_max.to_string()),
            ("query-lookback-delta", shown(options.queries.lookback)),
            ("external-url", self.external_url.to_string()),
            ("alert-for-outage-tolerance", shown(options.rules.for_outage_tolerance)),
            ("alert-for-grace-period", shown(options.rules.for_grace_period)),
            ("alert-resend-delay", shown(options.rules.resend_delay)),
            ("shard", options.shard.map(|shard| shard.to_string()).unwrap_or_default()),
        ];
        let flags = flags.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        ServerFacts { started_ms: self.clock.now_ms(), retention, flags }
    }
}

/// What a person who opens the address sees.
const PAGE: &str = "<!doctype html><title>Plimsoll collector</title><h1>Plimsoll collector</h1><ul>\
<li><a href=/api/v1/targets>/api/v1/targets</a>: what is scraped, and how it goes\
<li><a href='/api/v1/query?query=up'>/api/v1/query</a>, /api/v1/query_range: PromQL, as Prometheus answers it\
<li><a href=/api/v1/rules>/api/v1/rules</a>, <a href=/api/v1/alerts>/api/v1/alerts</a>: what is evaluated, and what fires\
<li><a href=/api/v1/faults>/api/v1/faults</a>: what is broken, by what evidence, and whom it hurts; \
<a href=/api/v1/faults/timeline>/api/v1/faults/timeline</a>, /api/v1/faults/stream\
<li><a href=/api/v1/graph>/api/v1/graph</a>: who calls whom\
<li><a href=/api/services>/api/services</a>, /api/traces: traces, as Jaeger answers\
<li><a href=/metrics>/metrics</a>, <a href=/healthz>/healthz</a>, <a href=/readyz>/readyz</a>: about the collector itself\
</ul>";

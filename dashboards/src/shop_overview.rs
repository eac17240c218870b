//! "Shop overview": journeys and services by rate, errors and duration, then saturation, then what the autoscaler did.

use std::path::Path;

use slo::windows::RULES;
use slo::{Indicator, Subject};

use crate::model::{COLUMNS, Dashboard, Grid, Panel, PanelKind, Target, Unit};

/// What the shop promises: thresholds are its objectives'.
const OBJECTIVES: &str = include_str!("../../k8s/shop/objectives/shop.yaml");

/// Rows of a panel of lines.
const HEIGHT: u32 = 8;

/// Rows of a panel of numbers.
const STAT_HEIGHT: u32 = 4;

/// The labels by which every panel about services is narrowed.
const SELECTED: &str = "namespace=\"$namespace\", service=~\"$service\"";

/// Places panels from left to right and top to bottom, and numbers them.
#[derive(Default)]
struct Layout {
    panels: Vec<Panel>,
    x: u32,
    y: u32,
    row_height: u32,
}

/// What a panel says; its place is the layout's business.
struct Content {
    title: &'static str,
    description: &'static str,
    kind: PanelKind,
    width: u32,
    unit: Unit,
    threshold: Option<f64>,
    targets: Vec<Target>,
}

impl Layout {
    fn heading(&mut self, title: &'static str) {
        self.break_line();
        self.place(
            Content {
                title,
                description: "",
                kind: PanelKind::Row,
                width: COLUMNS,
                unit: Unit::Count,
                threshold: None,
                targets: Vec::new(),
            },
            1,
        );
        self.break_line();
    }

    fn add(&mut self, content: Content) {
        let height = if content.kind == PanelKind::Stat { STAT_HEIGHT } else { HEIGHT };
        self.place(content, height);
    }

    fn place(&mut self, content: Content, height: u32) {
        if self.x + content.width > COLUMNS {
            self.break_line();
        }
        let grid = Grid { x: self.x, y: self.y, width: content.width, height };
        self.x += content.width;
        self.row_height = self.row_height.max(height);
        self.panels.push(Panel {
            id: u32::try_from(self.panels.len()).unwrap_or(u32::MAX).saturating_add(1),
            title: content.title.to_owned(),
            description: content.description.to_owned(),
            kind: content.kind,
            grid,
            unit: content.unit,
            threshold: content.threshold,
            targets: content.targets,
        });
    }

    fn break_line(&mut self) {
        self.y += self.row_height;
        self.x = 0;
        self.row_height = 0;
    }
}

fn query(expr: impl Into<String>, legend: &'static str) -> Target {
    Target { expr: expr.into(), legend, exemplars: false }
}

/// A part of a whole, and zero where there is a whole and no such part: nothing failed, which is not "no data".
fn share(part: &str, whole: &str) -> String {
    format!("({part} or 0 * {whole}) / {whole}")
}

fn lines(title: &'static str, description: &'static str, unit: Unit, targets: Vec<Target>) -> Content {
    Content { title, description, kind: PanelKind::TimeSeries, width: 8, unit, threshold: None, targets }
}

fn number(title: &'static str, description: &'static str, unit: Unit, expr: &str) -> Content {
    let targets = vec![query(expr, "")];
    Content { title, description, kind: PanelKind::Stat, width: 6, unit, threshold: None, targets }
}

impl Content {
    fn red_above(self, threshold: f64) -> Self {
        Self { threshold: Some(threshold), ..self }
    }
}

/// The dashboard.
pub fn shop_overview() -> Dashboard {
    let mut layout = Layout::default();
    journeys(&mut layout);
    objectives(&mut layout);
    services(&mut layout);
    saturation(&mut layout);
    scaling(&mut layout);
    calls(&mut layout);
    Dashboard {
        uid: "plimsoll-shop-overview",
        title: "Shop overview",
        description: "Is the shop well, which service is not, is it full, and what did the autoscaler do about it",
        panels: layout.panels,
    }
}

fn journeys(layout: &mut Layout) {
    layout.heading("Journeys");
    layout.add(number(
        "How many journeys a second?",
        "Journeys that customers begin each second. A sudden fall with services well means that customers cannot reach the shop.",
        Unit::RequestsPerSecond,
        "sum(rate(journeys_total[$__rate_interval]))",
    ));
    layout.add(
        number(
            "What share of journeys fails?",
            "Share of journeys that end in an error. Above 0.1 % customers notice: look below for the journey and its services.",
            Unit::Ratio,
            "(sum(rate(journeys_total{outcome=\"error\"}[$__rate_interval])) or vector(0)) / sum(rate(journeys_total[$__rate_interval]))",
        )
        .red_above(journey_budget()),
    );
    layout.add(number(
        "How many replicas are ready?",
        "Replicas that receive traffic, all services together. Fewer than asked for over minutes means that replicas do not start.",
        Unit::Count,
        "sum(kube_deployment_status_replicas_ready{namespace=\"$namespace\"})",
    ));
    layout.add(number(
        "How many targets are up?",
        "Targets whose last scrape succeeded. A target that is down is blind: its service may be well or not, and is not scaled down.",
        Unit::Count,
        "sum(up)",
    ));
    let description = "Time from the moment a customer meant to begin until the journey's end, 99th percentile. Waiting in line counts.";
    let p99 =
        "histogram_quantile(0.99, sum by (journey, le) (rate(journey_duration_seconds_bucket[$__rate_interval])))";
    layout.add(Content {
        width: 12,
        ..lines("How long do journeys take? (p99)", description, Unit::Seconds, vec![query(p99, "{{journey}}")])
    });
    let description = "Journeys that end in an error, by journey. Checkout alone failing points at order or payment; all failing, at the gateway.";
    let failing = share(
        "sum by (journey) (rate(journeys_total{outcome=\"error\"}[$__rate_interval]))",
        "sum by (journey) (rate(journeys_total[$__rate_interval]))",
    );
    layout.add(Content {
        width: 12,
        ..lines("Which journeys fail?", description, Unit::Ratio, vec![query(failing, "{{journey}}")])
            .red_above(journey_budget())
    });
}

fn objectives(layout: &mut Layout) {
    layout.heading("Objectives");
    let legend = "{{service}}{{journey}} {{slo}}";
    let page = RULES[0].rate;
    let burning = "max by (service, journey, slo) (plimsoll_autoscaler_slo_burn_rate{window=\"1h\"})";
    let description = "Times too fast that error budgets burned in the last hour: 1 lasts just its window. In the red somebody is paged, and the service is not scaled in.";
    layout.add(Content {
        width: 12,
        ..lines("How fast do error budgets burn?", description, Unit::Count, vec![query(burning, legend)])
            .red_above(page)
    });
    let left = "min by (service, journey, slo) (plimsoll_autoscaler_slo_budget_remaining)";
    let description = "Share of each error budget that is left. Below zero the objective is missed; a line that falls steadily needs a ticket, not a page.";
    layout.add(Content {
        width: 12,
        ..lines("How much of the error budgets is left?", description, Unit::Ratio, vec![query(left, legend)])
    });
}

/// The share of journeys that may fail: of the shop's objectives the strictest.
fn journey_budget() -> f64 {
    let documents = protocol::yaml::split(Path::new("shop.yaml"), OBJECTIVES);
    let objectives =
        slo::from_documents(&documents).expect("the shop's objectives are right, as every test of this file sees");
    let of_journeys = objectives
        .iter()
        .filter(|o| matches!(o.subject, Subject::Journey { .. }) && o.indicator == Indicator::Availability);
    of_journeys.map(|objective| objective.target.budget()).fold(1.0, f64::min)
}

fn services(layout: &mut Layout) {
    layout.heading("Services: rate, errors, duration");
    layout.add(lines(
        "How many requests does each service serve?",
        "Requests served each second. Compare shapes: a service that does not follow the front door's shape is cut off or retried against.",
        Unit::RequestsPerSecond,
        vec![query(
            format!("sum by (service) (rate(http_server_request_duration_seconds_count{{{SELECTED}}}[$__rate_interval]))"),
            "{{service}}",
        )],
    ));
    let errors = share(
        &format!(
            "sum by (service) (rate(http_server_request_duration_seconds_count{{{SELECTED}, http_response_status_code=~\"5..\"}}[$__rate_interval]))"
        ),
        &format!("sum by (service) (rate(http_server_request_duration_seconds_count{{{SELECTED}}}[$__rate_interval]))"),
    );
    layout.add(
        lines(
            "What share of requests fails?",
            "Share of requests answered with 5xx. The service deepest in the call graph with errors of its own is the one to look at.",
            Unit::Ratio,
            vec![query(errors, "{{service}}")],
        )
        .red_above(0.01),
    );
    let duration = format!(
        "histogram_quantile(0.99, sum by (service, le) (rate(http_server_request_duration_seconds_bucket{{{SELECTED}}}[$__rate_interval])))"
    );
    layout.add(lines(
        "How long do requests take? (p99)",
        "99th percentile of the time to answer. The dots are exemplars: a click opens the trace. A caller waits as long as the slowest callee.",
        Unit::Seconds,
        vec![Target { exemplars: true, ..query(duration, "{{service}}") }],
    ));
    layout.add(lines(
        "How many requests are in flight?",
        "Requests being served at this moment. Growing while the rate stays the same means that the service, or one it calls, is getting slower.",
        Unit::Count,
        vec![query(format!("sum by (service) (http_server_active_requests{{{SELECTED}}})"), "{{service}}")],
    ));
    layout.add(
        lines(
            "Which circuit breakers are open?",
            "State of each service's breaker towards a peer: 0 closed, 1 probing, 2 open. An open breaker means that the peer fails, not the service.",
            Unit::Count,
            vec![query(
                format!("max by (service, peer) (circuit_breaker_state{{{SELECTED}}})"),
                "{{service}} → {{peer}}",
            )],
        )
        .red_above(2.0),
    );
}

fn saturation(layout: &mut Layout) {
    layout.heading("Saturation");
    let usage =
        "sum by (deployment) (rate(container_cpu_usage_seconds_total{namespace=\"$namespace\"}[$__rate_interval]))";
    layout.add(lines(
        "How much of its requested CPU does each service use?",
        "CPU used as a share of the CPU requested, the number that utilization policies steer by. Above its target the autoscaler adds replicas.",
        Unit::Ratio,
        vec![query(
            format!("{usage} / sum by (deployment) (kube_pod_container_resource_requests{{namespace=\"$namespace\", resource=\"cpu\"}})"),
            "{{deployment}}",
        )],
    ));
    layout.add(
        lines(
            "Who is throttled?",
            "Share of scheduling periods in which a container ran out of its CPU limit. Above a quarter, latency suffers although CPU looks free.",
            Unit::Ratio,
            vec![query(
                "sum by (deployment) (rate(container_cpu_cfs_throttled_periods_total{namespace=\"$namespace\"}[$__rate_interval])) \
                 / sum by (deployment) (rate(container_cpu_cfs_periods_total{namespace=\"$namespace\"}[$__rate_interval]))",
                "{{deployment}}",
            )],
        )
        .red_above(0.25),
    );
    layout.add(lines(
        "How much memory does each service use?",
        "Working set of all replicas together. Growth that never falls again at the same load is a leak; at the limit the container is killed.",
        Unit::Bytes,
        vec![query(
            "sum by (deployment) (container_memory_working_set_bytes{namespace=\"$namespace\"})",
            "{{deployment}}",
        )],
    ));
}

fn scaling(layout: &mut Layout) {
    layout.heading("Scaling");
    layout.add(lines(
        "How many replicas are asked for?",
        "Replicas in each workload's specification. Steps up and down are decisions; the annotations on every panel mark them.",
        Unit::Count,
        vec![query("sum by (deployment) (kube_deployment_spec_replicas{namespace=\"$namespace\"})", "{{deployment}}")],
    ));
    layout.add(
        lines(
            "How many replicas are missing?",
            "Replicas asked for and not ready. More than a few seconds of it means that replicas do not start: see the service page's last words.",
            Unit::Count,
            vec![query(
                "sum by (deployment) (kube_deployment_spec_replicas{namespace=\"$namespace\"} - kube_deployment_status_replicas_ready{namespace=\"$namespace\"})",
                "{{deployment}}",
            )],
        )
        .red_above(1.0),
    );
    layout.add(lines(
        "What did the autoscaler decide?",
        "Decisions each second by outcome. Holding is a decision too, with a reason: the screen and /api/v1/decisions have the whole record.",
        Unit::OperationsPerSecond,
        vec![query("sum by (outcome, reason) (rate(plimsoll_autoscaler_decisions_total[$__rate_interval]))", "{{outcome}}: {{reason}}")],
    ));
}

fn calls(layout: &mut Layout) {
    layout.heading("Calls between services, from traces");
    layout.add(Content {
        width: 12,
        ..lines(
            "Who calls whom, how often?",
            "Calls each second by caller and callee, learnt from traces. A caller that suddenly calls more often for the same load is retrying.",
            Unit::RequestsPerSecond,
            vec![query(
                "sum by (client, server) (rate(traces_service_graph_request_total[$__rate_interval]))",
                "{{client}} → {{server}}",
            )],
        )
    });
    layout.add(Content {
        width: 12,
        ..lines(
            "Which calls fail?",
            "Failed calls as a share of all calls of that pair. Follow the failing arrows to their end: what fails there is the cause.",
            Unit::Ratio,
            vec![query(
                share(
                    "sum by (client, server) (rate(traces_service_graph_request_failed_total[$__rate_interval]))",
                    "sum by (client, server) (rate(traces_service_graph_request_total[$__rate_interval]))",
                ),
                "{{client}} → {{server}}",
            )],
        )
        .red_above(0.01)
    });
}

//! Pictures for tests: a small shop that is well, overloaded, with a failing payment, or gone. Nothing of it is in the
//! program.

pub mod blame;
pub mod kubernetes;
pub mod steering;

use std::collections::BTreeMap;

use protocol::graph::{Edge, Graph, Node, NodeKind, Red};
use protocol::jaeger::{Process, Reference, Span, Tag, Trace};
use protocol::scaling::{
    DecisionRecord, EventKind, EventRecord, GuardRecord, Mode, ObjectName, Outcome, PolicyStatus, ReplicaStatus,
    SignalRecord, WorkloadStatus,
};

use crate::app::{App, Message, update};
use crate::feed::backends::NO_FAULTS;
use crate::picture::{
    Breaker, Cpu, Detail, History, JourneyMetrics, Metrics, Picture, Scaling, ServiceHistory, ServiceKey,
    ServiceMetrics, Source, TraceList, TraceWish, Trouble,
};
use crate::theme::Theme;

/// 14:02:40 UTC on some day.
pub const NOW_MS: i64 = 1_763_906_560_000;

const SERVICES: [&str; 10] = [
    "gateway",
    "inventory",
    "notification",
    "order",
    "payment",
    "product",
    "recommendation",
    "review",
    "search",
    "user",
];

/// A service of the shop.
pub fn key(name: &str) -> ServiceKey {
    ServiceKey::new("shop", name)
}

fn object(name: &str) -> ObjectName {
    ObjectName { namespace: "shop".to_owned(), name: name.to_owned() }
}

pub fn decision(sequence: u64, workload: &str, from: u32, wish: u32) -> DecisionRecord {
    let outcome = match wish.cmp(&from) {
        std::cmp::Ordering::Greater => Outcome::ScaleUp,
        std::cmp::Ordering::Less => Outcome::ScaleDown,
        std::cmp::Ordering::Equal => Outcome::Hold,
    };
    let (reason, message) = match outcome {
        Outcome::ScaleUp => ("SignalAboveTarget", format!("cpu utilization 91 % is above 65 %: {from} to {wish}")),
        Outcome::ScaleDown => ("SignalBelowTarget", format!("cpu utilization 21 % is below 65 %: {from} to {wish}")),
        Outcome::Hold => ("WithinTolerance", "cpu utilization 63 % is within 10 % of 65 %".to_owned()),
    };
    let signal = SignalRecord {
        signal: "cpu utilization".to_owned(),
        value: Some(91.0),
        target: 65.0,
        age_seconds: Some(1.0),
        wish: Some(wish),
        note: String::new(),
        sizing: None,
    };
    let missing = SignalRecord {
        signal: "queue".to_owned(),
        value: None,
        target: 10.0,
        age_seconds: None,
        wish: None,
        note: "the query answers no series".to_owned(),
        sizing: None,
    };
    let guard = |guard: &str, before, after, note: &str| GuardRecord {
        guard: guard.to_owned(),
        before,
        after,
        note: note.to_owned(),
        facts: None,
    };
    DecisionRecord {
        sequence,
        at_ms: NOW_MS - 60_000 + i64::try_from(sequence).unwrap() * 1_000,
        policy: object(workload),
        kind: "Deployment".to_owned(),
        workload: object(workload),
        mode: Mode::Auto,
        from,
        ready: from,
        to: wish,
        wish,
        outcome,
        applied: outcome != Outcome::Hold,
        reason: reason.to_owned(),
        message,
        signals: vec![signal, missing],
        winner: Some("cpu utilization".to_owned()),
        guards: vec![
            guard("freshness", wish, wish, ""),
            guard("bounds", wish + 1, wish, "the policy allows at most this many"),
        ],
        resources: Vec::new(),
    }
}

pub fn policy(workload: &str, last: DecisionRecord) -> PolicyStatus {
    PolicyStatus {
        policy: object(workload),
        kind: "Deployment".to_owned(),
        workload: object(workload),
        mode: Mode::Auto,
        paused: false,
        min: 1,
        max: 6,
        last: Some(last),
    }
}

pub fn span(id: &str, parent: Option<&str>, service: &str, start: u64, duration: u64) -> Span {
    let reference = |parent: &str| Reference {
        ref_type: "CHILD_OF".to_owned(),
        trace_id: "t".to_owned(),
        span_id: parent.to_owned(),
    };
    Span {
        trace_id: "t".to_owned(),
        span_id: id.to_owned(),
        operation_name: format!("POST /{service}"),
        references: parent.map(reference).into_iter().collect(),
        start_time: u64::try_from(NOW_MS).unwrap() * 1_000 + start,
        duration,
        tags: Vec::new(),
        logs: Vec::new(),
        process_id: service.to_owned(),
        warnings: None,
    }
}

pub fn failed(mut span: Span) -> Span {
    span.tags.push(Tag { key: "error".to_owned(), kind: "bool".to_owned(), value: serde_json::Value::Bool(true) });
    span
}

pub fn trace(id: &str, spans: Vec<Span>) -> Trace {
    let process = |s: &Span| (s.process_id.clone(), Process { service_name: s.process_id.clone(), tags: Vec::new() });
    let processes: BTreeMap<String, Process> = spans.iter().map(process).collect();
    Trace { trace_id: id.to_owned(), spans, processes, warnings: None }
}

fn red(rate: f64, error_ratio: f64, p50: f64) -> Red {
    Red { rate, retry_rate: 0.0, error_ratio, p50_ms: Some(p50), p95_ms: Some(p50 * 3.0), p99_ms: Some(p50 * 5.0) }
}

fn healthy_metrics() -> Metrics {
    let service = |(at, name): (usize, &&str)| {
        let rate = 4.0 + at as f64 * 3.3;
        let metrics = ServiceMetrics {
            serves: true,
            red: red(rate, 0.0, 4.0 + at as f64),
            cpu: Some(Cpu { used: 0.11, limit: 0.25 }),
            replicas: None,
        };
        (key(name), metrics)
    };
    let journey = |name: &str, rate| {
        (name.to_owned(), JourneyMetrics { rate, error_ratio: 0.0, p50_ms: Some(30.0), p99_ms: Some(62.0) })
    };
    Metrics {
        window_seconds: 30.0,
        scrape_seconds: Some(1.0),
        services: SERVICES.iter().enumerate().map(service).collect(),
        journeys: [
            journey("browse", 8.0),
            journey("search", 5.0),
            journey("sign-in", 2.0),
            journey("checkout", 1.5),
            journey("track", 1.0),
        ]
        .into(),
        breakers: Vec::new(),
        breakers_of_late: Vec::new(),
    }
}

fn healthy_history() -> History {
    let wave = |at: usize| ServiceHistory {
        rate: (0..60).map(|x| 10.0 + 8.0 * ((x + at * 5) as f64 / 9.0).sin()).collect(),
        error_ratio: vec![0.0; 60],
    };
    SERVICES.iter().enumerate().map(|(at, name)| (key(name), wave(at))).collect()
}

fn healthy_graph() -> Graph {
    let node = |name: &&str| Node {
        service: (*name).to_owned(),
        kind: NodeKind::Service,
        red: red(10.0, 0.0, 5.0),
        own_error_ratio: 0.0,
        own_time_ms: Some(3.1),
    };
    let edge = |(client, server): (&str, &str)| Edge {
        client: client.to_owned(),
        server: server.to_owned(),
        red: red(6.0, 0.0, 5.0),
    };
    let edges = [
        ("gateway", "order"),
        ("gateway", "product"),
        ("gateway", "recommendation"),
        ("gateway", "review"),
        ("gateway", "search"),
        ("gateway", "user"),
        ("order", "inventory"),
        ("order", "notification"),
        ("order", "payment"),
        ("recommendation", "product"),
    ];
    Graph {
        at_ms: NOW_MS,
        window_seconds: 30.0,
        nodes: SERVICES.iter().map(node).collect(),
        edges: edges.into_iter().map(edge).collect(),
    }
}

fn workload(name: &str, ready: u32, desired: u32) -> WorkloadStatus {
    let replica = |at: u32| ReplicaStatus {
        name: format!("{name}-7d9f{at}"),
        state: "Running".to_owned(),
        ready: at < ready,
        restarts: 0,
        age_seconds: 190.0,
        message: String::new(),
        node: String::new(),
        resize: String::new(),
        resources: Vec::new(),
    };
    WorkloadStatus {
        kind: "Deployment".to_owned(),
        workload: object(name),
        desired,
        ready,
        rollout: String::new(),
        policy: Some(name.to_owned()),
        replicas: (0..desired).map(replica).collect(),
        conflicts: Vec::new(),
    }
}

fn answered<T>(data: T) -> Source<T> {
    let mut source = Source::default();
    source.answered(data, NOW_MS - 1_000);
    source
}

fn traces(with_error: bool) -> Vec<Trace> {
    let payment = span("d", Some("c"), "payment", 9_000, 20_000);
    let payment = if with_error { failed(payment) } else { payment };
    let checkout = trace(
        "4bf92f3577b34da6a3ce929d0e0e4736",
        vec![
            span("a", None, "gateway", 0, 42_000),
            span("b", Some("a"), "user", 1_000, 4_000),
            span("c", Some("a"), "order", 6_000, 34_000),
            payment,
            span("e", Some("c"), "inventory", 7_000, 1_500),
        ],
    );
    let browse = trace("aaaa2f3577b34da6a3ce929d0e0e4736", vec![span("f", None, "gateway", 90_000, 3_000)]);
    vec![browse, checkout]
}

/// All is well.
pub fn healthy() -> Picture {
    let decisions = vec![
        decision(9, "order", 2, 2),
        decision(8, "user", 1, 1),
        decision(7, "order", 2, 2),
        decision(6, "user", 1, 1),
        decision(5, "order", 1, 2),
        decision(4, "search", 3, 2),
    ];
    let policies = vec![policy("order", decisions[0].clone()), policy("user", decisions[1].clone())];
    let event = EventRecord {
        at_ms: NOW_MS - 40_000,
        workload: object("order"),
        kind: EventKind::Normal,
        reason: "SuccessfulRescale".to_owned(),
        message: "1 to 2 replicas".to_owned(),
    };
    Picture {
        metrics: answered(healthy_metrics()),
        history: answered(healthy_history()),
        detail: Source::default(),
        graph: answered(healthy_graph()),
        workloads: answered(SERVICES.iter().map(|name| workload(name, 2, 2)).collect()),
        scaling: answered(Scaling { decisions, policies }),
        events: answered(vec![event]),
        traces: answered(TraceList { wish: TraceWish::default(), traces: traces(false) }),
        faults: answered(blame::nobody()),
        timeline: Source::default(),
        curves: Source::default(),
        heat: Source::default(),
        explanation: Source::default(),
    }
}

fn change<T: Clone>(source: &mut Source<T>, change: impl FnOnce(&mut T)) {
    let mut data = source.data.as_deref().cloned().unwrap();
    change(&mut data);
    source.answered(data, NOW_MS - 1_000);
}

/// Every payment fails; order answers "pending". Nobody but the screen judges it.
pub fn payment_failing() -> Picture {
    let mut picture = healthy();
    change(&mut picture.metrics, |metrics| {
        metrics.services.get_mut(&key("payment")).unwrap().red = red(0.4, 1.0, 1.0);
        metrics.breakers = vec![Breaker {
            namespace: "shop".to_owned(),
            service: "order".to_owned(),
            peer: "payment".to_owned(),
            half_open: false,
        }];
    });
    change(&mut picture.graph, |graph| {
        for node in graph.nodes.iter_mut().filter(|n| n.service == "payment") {
            (node.red, node.own_error_ratio) = (red(0.4, 1.0, 1.0), 1.0);
        }
        for edge in graph.edges.iter_mut().filter(|e| e.server == "payment") {
            edge.red = red(0.4, 1.0, 1.0);
        }
    });
    change(&mut picture.traces, |list| list.traces = traces(true));
    picture.faults = Source::missing(NO_FAULTS);
    picture
}

/// The gateway errs because order is slow and errs; replicas start and crash.
pub fn overloaded() -> Picture {
    let mut picture = healthy();
    change(&mut picture.metrics, |metrics| {
        metrics.services.get_mut(&key("order")).unwrap().red = red(210.0, 0.31, 420.0);
        metrics.services.get_mut(&key("gateway")).unwrap().red = red(1_640.0, 0.12, 300.0);
        metrics.services.get_mut(&key("search")).unwrap().red = red(900.0, 0.002, 260.0);
        metrics.services.get_mut(&key("search")).unwrap().cpu = Some(Cpu { used: 0.75, limit: 0.75 });
        metrics.journeys.get_mut("checkout").unwrap().error_ratio = 0.31;
        metrics.journeys.get_mut("browse").unwrap().error_ratio = 0.02;
    });
    change(&mut picture.graph, |graph| {
        for node in &mut graph.nodes {
            match node.service.as_str() {
                "order" => (node.red, node.own_error_ratio) = (red(210.0, 0.31, 420.0), 0.3),
                "gateway" => (node.red, node.own_error_ratio) = (red(1_640.0, 0.12, 300.0), 0.0),
                _ => {}
            }
        }
        for edge in graph.edges.iter_mut().filter(|e| e.server == "order") {
            edge.red = red(210.0, 0.31, 430.0);
        }
    });
    change(&mut picture.workloads, |workloads| {
        for workload in workloads.iter_mut().filter(|w| w.workload.name == "review") {
            workload.ready = 1;
            workload.replicas[1].ready = false;
            workload.replicas[1].state = "CrashLoopBackOff".to_owned();
            workload.replicas[1].restarts = 4;
            workload.replicas[1].message = "exited with code 1: cannot open the store".to_owned();
        }
    });
    picture
}

/// Nothing answers since a while.
pub fn disconnected() -> Picture {
    let mut picture = healthy();
    let down = || Trouble::Down("connection refused".to_owned());
    picture.metrics.failed(down());
    picture.metrics.at_ms = Some(NOW_MS - 12_000);
    picture.graph.failed(down());
    picture.graph.at_ms = Some(NOW_MS - 13_000);
    picture.scaling.failed(down());
    picture.scaling.at_ms = Some(NOW_MS - 90_000);
    picture.faults.failed(down());
    picture.faults.at_ms = Some(NOW_MS - 12_000);
    picture
}

/// Some other Prometheus: no graph, no traces, no autoscaler.
pub fn foreign() -> Picture {
    let mut picture = healthy();
    picture.graph =
        Source::missing("this server has no service graph (/api/v1/graph): point --collector at a Plimsoll collector");
    picture.traces =
        Source::missing("this server keeps no traces (/api/traces): point --collector at a Plimsoll collector");
    picture.faults = Source::missing(NO_FAULTS);
    let none = crate::feed::backends::NO_AUTOSCALER;
    picture.workloads = Source::missing(none);
    picture.scaling = Source::missing(none);
    picture.events = Source::missing(none);
    picture.explanation = Source::missing(none);
    picture
}

/// 500 services of 20 replicas, each calling four others; some fail.
pub fn crowd() -> Picture {
    let name = |at: usize| format!("service-{at:03}");
    let names: Vec<String> = (0..500).map(name).collect();
    let ratio = |at: usize| if at % 50 == 7 { 0.4 } else { 0.0 };
    let metrics = |(at, name): (usize, &String)| {
        let cpu = Some(Cpu { used: 0.1, limit: 0.25 });
        (key(name), ServiceMetrics { serves: true, red: red(10.0, ratio(at), 5.0), cpu, replicas: None })
    };
    let node = |(at, name): (usize, &String)| Node {
        service: name.clone(),
        kind: NodeKind::Service,
        red: red(10.0, ratio(at), 5.0),
        own_error_ratio: ratio(at),
        own_time_ms: Some(3.0),
    };
    let edges = (0..500).flat_map(|at| (1..=4).map(move |step| (at, (at * 3 + step * 11) % 500)));
    let edge = |(client, server): (usize, usize)| Edge {
        client: name(client),
        server: name(server),
        red: red(2.0, ratio(server), 5.0),
    };
    let history = ServiceHistory { rate: vec![3.0; 60], error_ratio: vec![0.0; 60] };
    let mut picture = healthy();
    change(&mut picture.metrics, |m| m.services = names.iter().enumerate().map(metrics).collect());
    picture.history = answered(names.iter().map(|name| (key(name), history.clone())).collect());
    picture.graph = answered(Graph {
        at_ms: NOW_MS,
        window_seconds: 30.0,
        nodes: names.iter().enumerate().map(node).collect(),
        edges: edges.map(edge).collect(),
    });
    picture.workloads = answered(names.iter().map(|name| workload(name, 20, 20)).collect());
    picture
}

/// The p99 of a service on its page.
pub fn with_detail(mut picture: Picture, service: &str) -> Picture {
    let p99_ms = (0..60).map(|x| 20.0 + f64::from(x)).collect();
    picture.detail = answered(Detail { service: key(service), p99_ms });
    let errors = TraceWish::errors_of(service);
    picture.traces = answered(TraceList { wish: errors, traces: traces(true) });
    picture
}

/// A screen of a size that shows a picture.
pub fn app(picture: Picture, size: (u16, u16)) -> App {
    let theme = Theme { color: true, ascii: false, many_colors: false };
    let mut app = App::new("plimsoll demo".to_owned(), "127.0.0.1:9090".to_owned(), theme, NOW_MS - 30_000, size);
    update(&mut app, Message::Picture(Box::new(picture)));
    app.since.watched();
    update(&mut app, Message::Tick(NOW_MS));
    app
}

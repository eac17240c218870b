//! The feed and the snapshot against backends that answer, fail, hang, or are some other Prometheus.

mod changes;
mod fake;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lifecycle::{CancellationToken, Supervisor, SystemClock};
use protocol::scaling::ObjectName;
use tokio::sync::watch;
use tui::feed::Feed;
use tui::feed::backends::Backends;
use tui::picture::{CurveWish, Picture, ServiceKey, TraceWish, Trouble, Wants};
use tui::{Options, View};
use url::Url;

/// Longer than any machine needs; shorter than anybody waits.
const DEADLINE: Duration = Duration::from_secs(15);

fn url(address: SocketAddr) -> Url {
    format!("http://{address}").parse().expect("an address makes a URL")
}

fn key(name: &str) -> ServiceKey {
    ServiceKey::new("shop", name)
}

/// The policy there is.
fn order() -> ObjectName {
    ObjectName { namespace: "shop".to_owned(), name: "order".to_owned() }
}

/// A service of which nothing tells the namespace.
fn bare(name: &str) -> ServiceKey {
    ServiceKey::new("", name)
}

/// A feed that runs until the test ends.
struct Running {
    pictures: watch::Receiver<Picture>,
    wants: watch::Sender<Wants>,
    shutdown: CancellationToken,
}

impl Running {
    fn start(collector: SocketAddr, autoscaler: Option<SocketAddr>) -> Self {
        let shutdown = CancellationToken::new();
        let backends = Backends::new(&url(collector), autoscaler.map(url).as_ref());
        let (wants, wanted) = watch::channel(Wants::default());
        let (feed, pictures) = Feed::new(backends, Arc::new(SystemClock), wanted, shutdown.clone());
        let mut supervisor = Supervisor::new(shutdown.clone());
        feed.spawn_into(&mut supervisor);
        tokio::spawn(supervisor.run());
        Self { pictures, wants, shutdown }
    }

    async fn until(&mut self, what: &str, holds: impl Fn(&Picture) -> bool) -> Picture {
        let waited = tokio::time::timeout(DEADLINE, self.pictures.wait_for(|picture| holds(picture))).await;
        waited.unwrap_or_else(|_| panic!("never: {what}")).expect("the feed runs").clone()
    }

    fn refresh(&self) {
        self.wants.send_modify(|wants| wants.refresh += 1);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn turn_on(switch: &AtomicBool) {
    switch.store(true, Ordering::SeqCst);
}

#[tokio::test]
async fn every_source_is_read() {
    let (address, switches) = fake::start().await;
    let mut feed = Running::start(address, Some(address));
    turn_on(&switches.judges_faults);
    let wish = TraceWish::errors_of("order");
    let query = "sum(rate(traces_spanmetrics_calls_total[1m]))".to_owned();
    let curves = Some(CurveWish { query, since_ms: 0 });
    let wants =
        Wants { service: Some(key("order")), traces: Some(wish.clone()), timeline: true, curves, ..Wants::default() };
    feed.wants.send(wants).unwrap();
    let picture = feed
        .until("all answered", |p| {
            p.metrics.data.is_some()
                && p.history.data.is_some()
                && p.detail.data.is_some()
                && p.graph.data.is_some()
                && p.workloads.data.is_some()
                && p.scaling.data.is_some()
                && p.events.data.is_some()
                && p.traces.data.is_some()
                && p.faults.data.is_some()
                && p.curves.data.is_some()
                && p.timeline.data.is_some()
        })
        .await;
    let metrics = picture.metrics.data.unwrap();
    let order = &metrics.services[&bare("order")];
    assert_eq!((order.red.rate, order.red.p50_ms), (8.0, Some(5.0)));
    assert_eq!(order.cpu.unwrap().limit, 0.25);
    assert_eq!(metrics.journeys.len(), 5);
    assert_eq!(picture.history.data.unwrap()[&bare("order")].rate.len(), 60);
    assert_eq!(picture.detail.data.unwrap().p99_ms.len(), 60);
    assert_eq!(picture.scaling.data.unwrap().decisions.len(), 3);
    assert_eq!(picture.events.data.unwrap()[0].workload.name, "order");
    let traces = picture.traces.data.unwrap();
    assert_eq!((&traces.wish, traces.traces.len()), (&wish, 1));
    assert_eq!(picture.faults.data.unwrap().services.len(), 10);
    assert_eq!(picture.curves.data.unwrap().series[0].1.len(), 60);
}

#[tokio::test]
async fn traces_of_all_services_are_those_of_the_front_door() {
    let (address, switches) = fake::start().await;
    let backends = Backends::new(&url(address), None);
    let before = switches.calls.load(Ordering::SeqCst);
    let list = backends.traces(TraceWish::default()).await.unwrap();
    assert_eq!(list.traces.len(), 1);
    // Services, graph, and one search each for the gateway and the two that are in no call.
    assert_eq!(switches.calls.load(Ordering::SeqCst) - before, 5);
}

#[tokio::test]
async fn a_source_that_hangs_holds_no_other_up() {
    let (address, switches) = fake::start().await;
    turn_on(&switches.graph_hangs);
    let mut feed = Running::start(address, Some(address));
    let picture = feed.until("the others", |p| p.metrics.data.is_some() && p.scaling.data.is_some()).await;
    assert!(picture.graph.data.is_none());
}

#[tokio::test]
async fn what_was_known_stays_while_a_source_is_down_and_is_replaced_when_it_is_back() {
    let (address, switches) = fake::start().await;
    let mut feed = Running::start(address, None);
    feed.until("answered", |p| p.metrics.data.is_some() && p.graph.data.is_some()).await;
    turn_on(&switches.fails);
    feed.refresh();
    let picture = feed.until("down", |p| p.metrics.trouble.is_some() && p.graph.trouble.is_some()).await;
    assert!(matches!(picture.metrics.trouble, Some(Trouble::Down(_))));
    assert!(picture.metrics.data.is_some() && picture.graph.data.is_some());
    switches.fails.store(false, Ordering::SeqCst);
    feed.refresh();
    feed.until("back", |p| p.metrics.trouble.is_none() && p.graph.trouble.is_none()).await;
}

#[tokio::test]
async fn a_collector_that_is_not_there_is_down_and_no_autoscaler_is_missing() {
    let unused = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut feed = Running::start(unused, None);
    let picture = feed.until("refused", |p| p.metrics.trouble.is_some()).await;
    assert!(picture.metrics.trouble_text().to_lowercase().contains("refused"), "{}", picture.metrics.trouble_text());
    assert!(matches!(picture.scaling.trouble, Some(Trouble::Missing(_))));
}

#[tokio::test]
async fn another_prometheus_lacks_graph_and_traces_and_nothing_else() {
    let (address, switches) = fake::start().await;
    turn_on(&switches.is_foreign);
    let mut feed = Running::start(address, None);
    feed.wants.send(Wants { traces: Some(TraceWish::default()), ..Wants::default() }).unwrap();
    let picture = feed.until("told", |p| p.graph.trouble.is_some() && p.traces.trouble.is_some()).await;
    assert!(matches!(&picture.graph.trouble, Some(Trouble::Missing(why)) if why.contains("--collector")));
    assert!(matches!(&picture.traces.trouble, Some(Trouble::Missing(_))));
    feed.until("metrics", |p| p.metrics.data.is_some()).await;
}

#[tokio::test]
async fn nothing_is_asked_after_shutdown() {
    let (address, switches) = fake::start().await;
    let shutdown = CancellationToken::new();
    let (_wants, wanted) = watch::channel(Wants::default());
    let backends = Backends::new(&url(address), None);
    let (feed, _pictures) = Feed::new(backends, Arc::new(SystemClock), wanted, shutdown.clone());
    let mut supervisor = Supervisor::new(shutdown.clone());
    feed.spawn_into(&mut supervisor);
    let tasks = tokio::spawn(supervisor.run());
    turn_on(&switches.hangs);
    shutdown.cancel();
    let ended = tokio::time::timeout(DEADLINE, tasks).await;
    ended.expect("a hanging backend does not hold the end up").unwrap().unwrap();
}

fn options(address: SocketAddr, with_autoscaler: bool) -> Options {
    Options {
        collector: url(address).into(),
        autoscaler: with_autoscaler.then(|| url(address).into()),
        api_token: None,
        no_color: false,
        title: "plimsoll".to_owned(),
    }
}

#[tokio::test]
async fn a_snapshot_names_payment_as_failing_and_browsing_as_well() {
    let (address, switches) = fake::start().await;
    turn_on(&switches.payment_fails);
    for size in [(80, 24), (140, 40)] {
        let screen = tui::snapshot(options(address, true), View::Services, size).await.unwrap();
        let flat = screen.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains("payment is failing: 100% of requests answer errors"), "{screen}");
        assert!(flat.contains("browse, search, sign-in and track are well"), "{screen}");
    }
}

#[tokio::test]
async fn a_snapshot_says_whom_the_collector_blames_and_without_it_who_judged() {
    let (address, switches) = fake::start().await;
    turn_on(&switches.payment_fails);
    let screen = tui::snapshot(options(address, true), View::Services, (80, 24)).await.unwrap();
    assert!(screen.contains("judged by this screen alone: this server has no /api/v1/faults"), "{screen}");
    turn_on(&switches.judges_faults);
    for view in [View::Services, View::Suspects] {
        let screen = tui::snapshot(options(address, true), view, (80, 24)).await.unwrap();
        assert!(screen.contains("payment is failing since"), "{screen}");
        assert!(screen.contains("culprit  98% sure"), "{screen}");
        assert!(screen.contains("› 100 % of its requests fail by themselves"), "{screen}");
    }
}

#[tokio::test]
async fn every_view_has_a_snapshot() {
    let (address, _) = fake::start().await;
    let errors = TraceWish::errors_of("payment");
    for (view, words) in [
        (View::Services, "all 10 services are well"),
        (View::Service(bare("order")), "Called by"),
        (View::Graph, "└─ user"),
        (View::Timeline, "replicas 1 -> 2: cpu utilization 91 %"),
        (View::Latencies(bare("order")), "all operations, the last 5 min"),
        (View::Radius(bare("payment")), "calls it"),
        (View::Suspects, "this server has no /api/v1/faults"),
        (View::Decisions, "cpu utilization 91 %"),
        (View::Policies, "↑ up 1 → 2"),
        (View::Policy(order()), "if cpu utilization rises to 72%"),
        (View::Traces(errors), "gateway POST /gateway"),
    ] {
        let screen = tui::snapshot(options(address, true), view.clone(), (80, 24)).await.unwrap();
        assert!(screen.contains(words), "{view:?}\n{screen}");
    }
}

#[tokio::test]
async fn without_a_terminal_the_screen_says_so() {
    use std::io::IsTerminal;
    if std::io::stdout().is_terminal() && std::io::stdin().is_terminal() {
        return;
    }
    let (address, _) = fake::start().await;
    let error = tui::run(options(address, false), CancellationToken::new()).await.unwrap_err();
    assert_eq!(error.to_string(), "the screen needs a terminal, and standard input or output is none");
}

//! The unit tests of the loop, in paused time: what hangs is given up on, what is paused writes nothing, what is refused is
//! recorded, and nothing is remembered that did not happen.

use std::path::Path;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use lifecycle::ManualClock;
use lifecycle::metrics::Metrics;
use parking_lot::Mutex;

use self::fake::{FakeCluster, order};
use super::*;
use crate::policy::{PolicySet, from_documents};
use crate::signal::{ContainerUsage, Usage};

#[path = "../../tests/it/fake.rs"]
mod fake;

const START_MS: i64 = 1_700_000_000_000;

/// Answers with so many cores for each of ten replicas, or never.
struct FakeSource {
    cores: Mutex<Option<f64>>,
    clock: ManualClock,
}

#[async_trait]
impl Source for FakeSource {
    async fn read(&self, _: &PolicySet) -> Readings {
        let cores = *self.cores.lock();
        let Some(value) = cores else { return std::future::pending().await };
        let mut cpu = Usage::default();
        for index in 0..10 {
            let usage = ContainerUsage { container: "order".to_owned(), value, at_ms: self.clock.now_ms() };
            cpu.insert("shop", &format!("order-{index}"), usage);
        }
        Readings { cpu: Ok(cpu), memory: Ok(Usage::default()), queries: HashMap::new() }
    }
}

struct Bench {
    cluster: Arc<FakeCluster>,
    source: Arc<FakeSource>,
    state: Arc<State>,
    reconciler: Reconciler,
    clock: ManualClock,
}

impl Bench {
    fn new(replicas: u32, cores: Option<f64>) -> Self {
        let text = "apiVersion: plimsoll.dev/v1alpha1\nkind: ScalingPolicy\nmetadata: {name: order, namespace: shop}\n\
                    spec:\n  target: {kind: Deployment, name: order}\n  replicas: {max: 8}\n  \
                    signals: [{utilization: {resource: cpu, target: 65%}}]\n";
        let policies = from_documents(protocol::yaml::split(Path::new("p.yaml"), text)).unwrap();
        let clock = ManualClock::at(START_MS);
        let cluster = Arc::new(FakeCluster::with(replicas));
        let source = Arc::new(FakeSource { cores: Mutex::new(cores), clock: clock.clone() });
        let state = Arc::new(State::new(policies, Arc::clone(&cluster) as Arc<dyn cluster::Cluster>));
        let pace = Pace {
            interval: Duration::from_secs(2),
            rate_window: Duration::from_secs(10),
            startup: Startup::default(),
        };
        let instruments = Instruments::new(&Metrics::default());
        let clock_for = Arc::new(clock.clone());
        let reconciler =
            Reconciler::new(Arc::clone(&state), Arc::clone(&source) as _, clock_for, instruments, None, pace);
        Self { cluster, source, state, reconciler, clock }
    }

    async fn tick(&mut self) -> DecisionRecord {
        self.clock.advance_ms(2_000);
        self.reconciler.tick().await;
        self.state.ring.newest(Some("order"), None, 1)[0].as_ref().clone()
    }
}

#[tokio::test(start_paused = true)]
async fn carries_out_a_plan_and_tells_the_cluster_why() {
    let mut bench = Bench::new(2, Some(0.12));
    let record = bench.tick().await;
    assert_eq!((record.from, record.to, record.wish, record.applied), (2, 4, 4, true));
    assert_eq!(record.message, "order 2 -> 4: cpu utilization 120% is above 65%");
    assert_eq!((bench.cluster.replicas(), record.ready), (4, 2));
    let events = bench.cluster.events.lock().unwrap().clone();
    assert_eq!((events[0].reason.as_str(), &events[0].workload), ("SuccessfulRescale", &order()));
    assert_eq!(bench.reconciler.instruments.counts().counts().scale_up, 1);
}

#[tokio::test(start_paused = true)]
async fn a_hung_source_holds_with_the_reason_and_costs_bounded_time() {
    let mut bench = Bench::new(2, None);
    let before = Instant::now();
    let record = bench.tick().await;
    assert!(before.elapsed() <= SOURCE_PATIENCE, "{:?}", before.elapsed());
    assert_eq!((record.to, record.reason.as_str(), record.applied), (2, "MetricsUnavailable", false));
    assert_eq!(record.message, "order held at 2: metrics source did not answer: no answer within 5 s");
    *bench.source.cores.lock() = Some(0.12);
    assert_eq!(bench.tick().await.to, 4, "the next tick is as good as any");
}

#[tokio::test(start_paused = true)]
async fn a_hung_cluster_holds_at_the_last_known_number() {
    let mut bench = Bench::new(2, Some(0.065));
    bench.tick().await;
    bench.cluster.hangs.store(true, Ordering::SeqCst);
    let record = bench.tick().await;
    assert_eq!((record.from, record.to, record.reason.as_str()), (2, 2, "ClusterUnavailable"));
    assert_eq!(record.message, "order held at 2: the cluster did not answer: no answer within 5 s");
}

#[tokio::test(start_paused = true)]
async fn a_paused_policy_goes_on_wishing_and_writes_nothing() {
    let mut bench = Bench::new(2, Some(0.12));
    bench.state.pause(0, true);
    let record = bench.tick().await;
    assert_eq!((record.to, record.wish, record.applied, record.outcome), (2, 4, false, Outcome::ScaleUp));
    assert!(bench.cluster.writes.lock().unwrap().is_empty());
    assert_eq!(bench.reconciler.instruments.counts().counts().scale_up, 0, "only what was carried out counts");
    bench.state.pause(0, false);
    assert_eq!(bench.tick().await.to, 4);
}

#[tokio::test(start_paused = true)]
async fn a_refused_write_is_recorded_and_not_remembered() {
    let mut bench = Bench::new(2, Some(0.12));
    bench.cluster.refuses.store(true, Ordering::SeqCst);
    let record = bench.tick().await;
    assert_eq!((record.to, record.wish, record.applied, record.reason.as_str()), (2, 4, false, "WriteFailed"));
    assert!(
        record.message.ends_with("(not carried out: Deployment shop/order: refused: an HPA owns it)"),
        "{record:?}"
    );
    assert_eq!(bench.cluster.events.lock().unwrap()[0].reason, "FailedRescale");
    bench.cluster.refuses.store(false, Ordering::SeqCst);
    assert_eq!(bench.tick().await.to, 4);
}

#[tokio::test(start_paused = true)]
async fn ticks_at_its_interval_until_shutdown() {
    let bench = Bench::new(2, Some(0.065));
    let (state, shutdown, readiness) = (bench.state, CancellationToken::new(), Readiness::default());
    let stop = shutdown.clone();
    let stopper = async move {
        tokio::time::sleep(Duration::from_millis(9_500)).await;
        stop.cancel();
    };
    let (end, ()) = tokio::join!(bench.reconciler.run(readiness.clone(), shutdown), stopper);
    assert!(end.is_ok() && readiness.is_ready());
    assert_eq!(state.ring.newest(None, None, 100).len(), 5, "at 0, 2, 4, 6 and 8 s");
}

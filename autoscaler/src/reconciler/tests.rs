//! The unit tests of the loop, in paused time: what hangs is given up on, what is paused writes nothing, what is refused is
//! recorded, and nothing is remembered that did not happen.

use std::path::Path;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use cluster::kubernetes::lease::Standing;
use lifecycle::ManualClock;
use lifecycle::metrics::Metrics;
use parking_lot::Mutex;

use self::fake::{FakeCluster, order};
use super::*;
use crate::planner::Gap;
use crate::policy::from_documents;
use crate::signal::{ContainerUsage, Demands, Landscape, MeasuresOfContainers, Usage};

#[path = "../../tests/it/fake.rs"]
pub(crate) mod fake;

const START_MS: i64 = 1_700_000_000_000;

/// Answers with so many cores for each of ten replicas, or never; the last one is the idlest.
pub(crate) struct FakeSource {
    cores: Mutex<Option<f64>>,
    landscape: Mutex<Landscape>,
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
        Readings {
            cpu: Ok(cpu),
            memory: Ok(Usage::default()),
            queries: HashMap::new(),
            demands: Ok(Demands::default()),
            landscape: self.landscape.lock().clone(),
            measures: Ok(MeasuresOfContainers::default()),
        }
    }

    async fn past(&self, _: &WorkloadRef, _: i64) -> Result<Past, Gap> {
        Ok(Past::default())
    }

    async fn under_way(&self, namespaces: &BTreeSet<&str>) -> UnderWay {
        assert_eq!(*namespaces, BTreeSet::from(["shop"]));
        let mut under_way = UnderWay::default();
        (0..10).for_each(|index| under_way.insert("shop", &format!("order-{index}"), 9.0 - f64::from(index)));
        under_way
    }
}

pub(crate) fn name() -> ObjectName {
    ObjectName { namespace: "shop".to_owned(), name: "order".to_owned() }
}

/// One policy over ten replicas' worth of readings, in memory.
pub(crate) struct Bench {
    pub cluster: Arc<FakeCluster>,
    source: Arc<FakeSource>,
    pub state: Arc<State>,
    pub reconciler: Reconciler,
    pub clock: ManualClock,
}

pub(crate) const POLICY: &str = "apiVersion: plimsoll.dev/v1alpha1\nkind: ScalingPolicy\n\
    metadata: {name: order, namespace: shop}\nspec:\n  target: {kind: Deployment, name: order}\n  replicas: {max: 8}\n  \
    signals: [{utilization: {resource: cpu, target: 65%}}]\n";

pub(crate) fn set_of(text: &str) -> Arc<PolicySet> {
    Arc::new(from_documents(protocol::yaml::split(Path::new("p.yaml"), text)).unwrap())
}

impl Bench {
    fn new(replicas: u32, cores: Option<f64>) -> Self {
        let policies = set_of(POLICY).as_ref().clone().fixed();
        Self::over(replicas, cores, policies, Lead::default())
    }

    pub fn over(replicas: u32, cores: Option<f64>, policies: watch::Receiver<Arc<PolicySet>>, lead: Lead) -> Self {
        let clock = ManualClock::at(START_MS);
        let cluster = Arc::new(FakeCluster::with(replicas));
        let source =
            Arc::new(FakeSource { cores: Mutex::new(cores), landscape: Mutex::default(), clock: clock.clone() });
        let state = Arc::new(State::new(policies, Arc::clone(&cluster) as Arc<dyn cluster::Cluster>));
        let pace = Pace {
            interval: Duration::from_secs(2),
            rate_window: Duration::from_secs(10),
            startup: Startup::default(),
            dry_run: false,
        };
        let tools = Tools {
            source: Arc::clone(&source) as _,
            clock: Arc::new(clock.clone()),
            instruments: Instruments::new(&Metrics::default()),
            journal: None,
            lead,
            health: Health::default(),
        };
        let reconciler = Reconciler::new(Arc::clone(&state), tools, pace);
        Self { cluster, source, state, reconciler, clock }
    }

    pub fn read(&self, cores: Option<f64>) {
        *self.source.cores.lock() = cores;
    }

    pub async fn pass(&mut self) {
        self.clock.advance_ms(2_000);
        self.reconciler.tick().await;
    }

    async fn tick(&mut self) -> DecisionRecord {
        self.pass().await;
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
async fn the_cluster_is_told_to_end_the_idlest_replicas_first() {
    let now = "  behavior: {scaleDown: {stabilizationWindowSeconds: 0}}\n";
    let mut bench =
        Bench::over(4, Some(0.03), set_of(&format!("{POLICY}{now}")).as_ref().clone().fixed(), Lead::default());
    assert_eq!(bench.tick().await.to, 2);
    let costs = bench.cluster.costs.lock().unwrap().clone();
    let named: Vec<(String, i32)> =
        [90, 80, 70, 60].iter().enumerate().map(|(n, cost)| (format!("order-{n}"), *cost)).collect();
    assert_eq!(costs, named);
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
    bench.state.pause(&name(), true);
    let record = bench.tick().await;
    assert_eq!((record.to, record.wish, record.applied, record.outcome), (2, 4, false, Outcome::ScaleUp));
    assert!(bench.cluster.writes.lock().unwrap().is_empty());
    assert_eq!(bench.reconciler.instruments.counts().counts().scale_up, 0, "only what was carried out counts");
    bench.state.pause(&name(), false);
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
    let (state, shutdown) = (bench.state, CancellationToken::new());
    let health = bench.reconciler.health.clone();
    assert_eq!(health.missing(), ["the first tick has not gone through"]);
    let stop = shutdown.clone();
    let stopper = async move {
        tokio::time::sleep(Duration::from_millis(9_500)).await;
        stop.cancel();
    };
    let (end, ()) = tokio::join!(bench.reconciler.run(shutdown), stopper);
    assert!(end.is_ok() && health.missing().is_empty());
    assert_eq!(state.ring.newest(None, None, 100).len(), 5, "at 0, 2, 4, 6 and 8 s");
}

#[tokio::test(start_paused = true)]
async fn another_policy_makes_nobody_forget_and_a_changed_one_keeps_its_history() {
    let user = POLICY.replace("order", "user");
    let (sets, policies) = watch::channel(set_of(POLICY));
    let mut bench = Bench::over(4, Some(0.065), policies, Lead::default());
    bench.tick().await;
    bench.state.pause(&name(), true);
    // The load falls; five minutes of stabilisation hold, because four were wished before.
    bench.read(Some(0.01));
    assert_eq!(bench.tick().await.reason, "ScaleDownStabilized");
    sets.send_replace(set_of(&format!("{user}---\n{}", POLICY.replace("max: 8", "max: 9"))));
    let held = bench.tick().await;
    assert_eq!((held.reason.as_str(), held.from), ("ScaleDownStabilized", 4), "{held:?}");
    assert!(bench.state.is_paused(&name()));
    let missing = bench.state.ring.newest(Some("user"), None, 1)[0].clone();
    assert_eq!((missing.reason.as_str(), missing.applied), ("TargetMissing", false));
    sets.send_replace(set_of(&user));
    bench.pass().await;
    assert!(bench.state.last(&name()).is_none(), "who is gone has no record");
    sets.send_replace(set_of(POLICY));
    bench.pass().await;
    assert!(bench.state.is_paused(&name()), "a pause outlives a specification that is refused for a while");
}

#[tokio::test(start_paused = true)]
async fn a_follower_plans_and_writes_nothing_and_goes_on_from_there_when_it_leads() {
    let slow =
        format!("{POLICY}  behavior: {{scaleUp: {{policies: [{{type: Pods, value: 2, periodSeconds: 60}}]}}}}\n");
    let following = Standing::Following { leader: "a".to_owned(), address: None };
    let (election, standing) = watch::channel(following);
    let mut bench = Bench::over(2, Some(0.12), set_of(&slow).as_ref().clone().fixed(), Lead::elected(standing));
    bench.pass().await;
    assert!(bench.state.ring.newest(None, None, 10).is_empty() && bench.state.last(&name()).is_none());
    assert!(bench.cluster.writes.lock().unwrap().is_empty());
    assert!(bench.reconciler.health.missing().is_empty(), "a follower that has planned is ready");
    // The leader goes up by two, which is all that the policy allows within a minute, and dies.
    *bench.cluster.desired.lock().unwrap() = 4;
    bench.pass().await;
    election.send_replace(Standing::Leading);
    let first = bench.tick().await;
    assert_eq!((first.from, first.to, first.reason.as_str()), (4, 4, "ScaleUpLimit"), "{first:?}");
    assert!(first.sequence > u64::try_from(START_MS).unwrap(), "its records come after the other leader's");
    for _ in 0..30 {
        bench.pass().await;
    }
    assert_eq!(bench.cluster.replicas(), 6, "a minute later");
    election.send_replace(Standing::Nobody { reason: "the Lease could not be renewed".to_owned() });
    let known = bench.state.ring.newest(None, None, 1)[0].sequence;
    bench.pass().await;
    assert_eq!(bench.state.ring.newest(None, None, 1)[0].sequence, known, "who was deposed publishes nothing");
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_another_one_steers_is_left_alone() {
    let mut bench = Bench::new(2, Some(0.12));
    *bench.cluster.conflicts.lock().unwrap() = vec!["HorizontalPodAutoscaler shop/order".to_owned()];
    let record = bench.tick().await;
    assert_eq!((record.reason.as_str(), record.to, record.applied), ("Conflict", 2, false));
    assert_eq!(record.message, "order held at 2: HorizontalPodAutoscaler shop/order steers it too");
    assert!(bench.cluster.writes.lock().unwrap().is_empty());
    bench.cluster.conflicts.lock().unwrap().clear();
    assert_eq!(bench.tick().await.to, 4);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_says_what_it_would_do() {
    let mut bench = Bench::new(2, Some(0.12));
    bench.reconciler.pace.dry_run = true;
    let record = bench.tick().await;
    assert_eq!((record.wish, record.to, record.applied), (4, 2, false));
    assert!(record.message.ends_with("(not carried out: dry run)"), "{}", record.message);
}

#[tokio::test(start_paused = true)]
async fn changed_policies_and_a_won_lead_are_not_kept_waiting() {
    let (sets, policies) = watch::channel(set_of(POLICY));
    let (election, standing) = watch::channel(Standing::Nobody { reason: "nothing was read".to_owned() });
    let mut bench = Bench::over(2, Some(0.065), policies, Lead::elected(standing));
    bench.reconciler.pace.interval = Duration::from_secs(600);
    let (state, shutdown) = (bench.state, CancellationToken::new());
    let stop = shutdown.clone();
    let outside = async move {
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(state.last(&name()).is_none());
        election.send_replace(Standing::Leading);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(state.last(&name()).is_some(), "it decides as soon as it leads");
        sets.send_replace(set_of(&POLICY.replace("max: 8", "max: 1")));
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert_eq!(state.last(&name()).unwrap().reason, "AboveMaximum", "a changed policy holds within two seconds");
        stop.cancel();
    };
    let (end, ()) = tokio::join!(bench.reconciler.run(shutdown), outside);
    assert!(end.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_a_leader_recorded_when_it_led_before_is_not_told_again() {
    let bench = Bench::new(2, Some(0.065));
    let (state, mut ticked) = (Arc::clone(&bench.state), bench.state.watch_ticks());
    let mut bench = bench;
    bench.tick().await;
    assert!(state.last(&name()).is_some() && !state.evaluated().is_empty());
    ticked.mark_unchanged();
    state.forget_records();
    assert!(state.last(&name()).is_none() && state.evaluated().is_empty(), "nothing counts as evaluated");
    bench.tick().await;
    assert!(state.last(&name()).is_some() && !state.evaluated().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_loop_whose_cluster_and_source_are_away_lives_and_one_that_stands_still_does_not() {
    let bench = Bench::new(2, None);
    bench.cluster.hangs.store(true, Ordering::SeqCst);
    let (liveness, shutdown) = (bench.reconciler.health.liveness().clone(), CancellationToken::new());
    let running = tokio::spawn(bench.reconciler.run(shutdown.clone()));
    for _ in 0..600 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(liveness.trouble(), None);
    }
    shutdown.cancel();
    running.await.unwrap().unwrap();

    let bench = Bench::new(2, None);
    tokio::time::advance(bench.reconciler.pace.interval * INTERVALS_MISSED + STEP_LONGEST).await;
    let liveness = bench.reconciler.health.liveness().clone();
    assert_eq!(liveness.trouble(), None);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(liveness.trouble().is_some_and(|words| words.starts_with("the reconciler has not gone on for ")));
}

#[tokio::test(start_paused = true)]
async fn a_write_without_an_answer_that_was_carried_out_counts_for_the_rate_policies() {
    let behavior = "  behavior: {scaleUp: {policies: [{type: Pods, value: 1, periodSeconds: 60}]}}\n";
    let policies = set_of(&format!("{POLICY}{behavior}")).as_ref().clone().fixed();
    let mut bench = Bench::over(2, Some(0.5), policies, Lead::default());
    bench.cluster.loses_answers.store(true, Ordering::SeqCst);
    let first = bench.tick().await;
    assert_eq!((first.applied, first.reason.as_str(), bench.cluster.replicas()), (false, "WriteFailed", 3));
    assert!(first.message.contains("whether it was carried out is not known"), "{}", first.message);
    bench.cluster.loses_answers.store(false, Ordering::SeqCst);
    for _ in 0..5 {
        bench.tick().await;
    }
    assert_eq!(bench.cluster.replicas(), 3, "one in a minute");
}

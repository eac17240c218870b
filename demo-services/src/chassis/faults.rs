//! Faults for the demo, set on the admin port: `FaultKind` says which there are. Nothing is wrong with a replica without them;
//! they are the way to make something wrong on purpose. Each is the thing itself (memory is kept, a lock is held, connections
//! are taken), stays within its bound, and ends when it is switched off or the process ends. What is on is the ground truth for
//! who judges a guess: it is told on the admin port alone, where no collector looks.

mod admin;
mod events;
mod kind;
mod leak;
mod stampede;
mod store;
mod threads;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::StatusCode;
use lifecycle::metrics::Metrics;
use lifecycle::{Clock, Supervisor, SystemClock};
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use rand::RngExt;
use serde::Serialize;
use sqlx::SqlitePool;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

pub use self::kind::{FaultError, FaultKind, Setting};
use self::leak::Leak;
pub(super) use self::store::StoreFaults;
use super::error::AppError;

/// The share of requests that the tail is: enough for a 95th percentile to show it, few enough to leave the median alone.
const TAIL_SHARE: f64 = 0.1;
/// The share of requests that a bad version fails: its tests would have found one that fails them all.
const BAD_VERSION_SHARE: f64 = 1.0 / 3.0;

/// A fault that is on.
#[derive(Debug, Clone, PartialEq)]
struct On {
    setting: Setting,
    /// As it was given.
    text: Option<String>,
    since_ms: i64,
}

/// The faults that are on.
#[derive(Debug, Clone, Default, PartialEq)]
struct Active(BTreeMap<FaultKind, On>);

impl Active {
    fn setting(&self, kind: FaultKind) -> Option<&Setting> {
        self.0.get(&kind).map(|on| &on.setting)
    }

    fn is_on(&self, kind: FaultKind) -> bool {
        self.0.contains_key(&kind)
    }

    fn time(&self, kind: FaultKind) -> Option<Duration> {
        match self.setting(kind)? {
            Setting::Time(time) => Some(*time),
            _ => None,
        }
    }

    /// Whether nothing is answered.
    fn hangs(&self) -> bool {
        self.is_on(FaultKind::Hang) || self.is_on(FaultKind::Zone)
    }

    /// The version that runs, as it says.
    fn version(&self) -> &str {
        match self.setting(FaultKind::BadDeploy) {
            Some(Setting::Version(version)) => version,
            _ => env!("CARGO_PKG_VERSION"),
        }
    }

    fn share(&self, kind: FaultKind) -> f64 {
        match self.setting(kind) {
            Some(Setting::Share(share)) => *share,
            _ => 0.0,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VersionLabel {
    version: String,
}

/// The faults of one replica. Clones see the same ones.
#[derive(Clone)]
pub struct Faults(Arc<Inner>);

struct Inner {
    service: String,
    active: watch::Sender<Active>,
    /// The one lock that the fault `lock` has requests hold.
    lock: Semaphore,
    /// The one place at which `queue-lag` takes events in.
    consumer: Semaphore,
    leak: Leak,
    /// Until when the cached answer of a route is good, under `stampede`.
    fresh: Mutex<HashMap<String, Instant>>,
    store: OnceLock<SqlitePool>,
    told: Family<KindLabel, Gauge>,
    truth: Metrics,
    build: Family<VersionLabel, Gauge>,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Faults").field(&*self.0.active.borrow()).finish()
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::of("")
    }
}

/// One fault as `GET /faults` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    pub kind: &'static str,
    /// As it was given; none where the kind takes none.
    pub value: Option<String>,
    /// Milliseconds since the epoch.
    pub since_ms: i64,
}

/// What strikes one request.
#[derive(Debug, Default)]
struct Blow {
    latency: Duration,
    tail: Duration,
    lock: Option<Duration>,
    error: f64,
    bad_version: bool,
}

impl Faults {
    /// None yet, for a replica of this service.
    pub(super) fn of(service: &str) -> Self {
        let (truth, told, build) = (Metrics::default(), Family::<KindLabel, Gauge>::default(), Family::default());
        truth.register(|registry| registry.register("shop_fault_active", "1 while a fault is on", told.clone()));
        let faults = Self(Arc::new(Inner {
            service: service.to_owned(),
            active: watch::Sender::new(Active::default()),
            lock: Semaphore::new(1),
            consumer: Semaphore::new(1),
            leak: Leak::default(),
            fresh: Mutex::default(),
            store: OnceLock::new(),
            told,
            truth,
            build,
        }));
        faults.tell(&Active::default());
        faults
    }

    /// Says in the replica's own metrics which version it is, which is for everybody to see.
    pub(super) fn register(&self, metrics: &Metrics) {
        let build = self.0.build.clone();
        metrics.register(|registry| registry.register("shop_build_info", "1, with the version that runs", build));
    }

    /// Turns a fault on. `crash` ends the process here and now.
    /// Whether that changed anything.
    pub fn set(&self, kind: &str, value: Option<&str>) -> Result<bool, FaultError> {
        let kind = FaultKind::parse(kind)?;
        let setting = kind.read(&self.0.service, value)?;
        if kind == FaultKind::Crash {
            tracing::error!("crashing as the admin API asked");
            // The one exit outside `main`: a crash takes no leave, or it would not be one.
            std::process::exit(1);
        }
        let is_nothing = match &setting {
            Setting::Share(number) | Setting::Cores(number) => *number == 0.0,
            Setting::Time(time) => time.is_zero(),
            Setting::SkewMs(skew) => *skew == 0,
            _ => false,
        };
        if is_nothing {
            return Ok(self.change(|active| active.0.remove(&kind).is_some()));
        }
        Ok(self.change(|active| {
            if active.setting(kind) == Some(&setting) {
                return false;
            }
            let on = On { setting, text: value.map(str::to_owned), since_ms: SystemClock.now_ms() };
            active.0.insert(kind, on);
            true
        }))
    }

    /// Turns a fault off; well if it was not on.
    pub fn clear(&self, kind: &str) -> Result<(), FaultError> {
        let kind = FaultKind::parse(kind)?;
        self.change(|active| active.0.remove(&kind).is_some());
        Ok(())
    }

    /// Turns all faults off.
    pub fn clear_all(&self) {
        self.change(|active| !std::mem::take(&mut active.0).is_empty());
    }

    /// Ends what would keep a replica from stopping.
    pub(super) fn let_go(&self) {
        self.change(|active| {
            let before = active.0.len();
            active.0.retain(|kind, _| !matches!(kind, FaultKind::Hang | FaultKind::Zone));
            active.0.len() != before
        });
    }

    fn change(&self, change: impl FnOnce(&mut Active) -> bool) -> bool {
        // Told while nobody else can change them: of two changes the metrics must not keep the older.
        self.0.active.send_if_modified(|active| {
            let changed = change(active);
            if changed {
                self.tell(active);
            }
            changed
        })
    }

    /// Keeps the metrics as the faults are.
    fn tell(&self, active: &Active) {
        for kind in FaultKind::all() {
            self.0.told.get_or_create(&KindLabel { kind: kind.name() }).set(i64::from(active.is_on(kind)));
        }
        self.0.build.clear();
        self.0.build.get_or_create(&VersionLabel { version: active.version().to_owned() }).set(1);
    }

    /// The faults that are on.
    pub fn list(&self) -> Vec<Fault> {
        let active = self.0.active.borrow();
        let fault =
            |(kind, on): (&FaultKind, &On)| Fault { kind: kind.name(), value: on.text.clone(), since_ms: on.since_ms };
        active.0.iter().map(fault).collect()
    }

    /// The version that this replica says it is.
    pub fn version(&self) -> String {
        self.0.active.borrow().version().to_owned()
    }

    /// Milliseconds that the clock is ahead.
    pub(super) fn skew_ms(&self) -> i64 {
        match self.0.active.borrow().setting(FaultKind::ClockSkew) {
            Some(Setting::SkewMs(skew)) => *skew,
            _ => 0,
        }
    }

    /// Whether calls to this peer find nobody.
    pub(super) fn cannot_reach(&self, peer: &str) -> bool {
        matches!(self.0.active.borrow().setting(FaultKind::Unreachable), Some(Setting::Peer(lost)) if lost == peer)
    }

    /// How long calls to peers are waited for in a storm of retries.
    pub(super) fn storm_patience(&self) -> Option<Duration> {
        self.0.active.borrow().time(FaultKind::RetryStorm)
    }

    fn blow(&self) -> Blow {
        let active = self.0.active.borrow();
        if active.0.is_empty() {
            return Blow::default();
        }
        let time = |kind| active.time(kind).unwrap_or_default();
        Blow {
            latency: time(FaultKind::Latency),
            tail: time(FaultKind::TailLatency),
            lock: active.time(FaultKind::Lock),
            error: active.share(FaultKind::Error),
            bad_version: active.is_on(FaultKind::BadDeploy),
        }
    }

    /// Makes a request wait for what is in its way; fails it if it is one of the unlucky share.
    pub(super) async fn strike(&self) -> Result<(), AppError> {
        let Blow { mut latency, tail, lock, error, bad_version } = self.blow();
        let chance = |share: f64| share > 0.0 && rand::rng().random::<f64>() < share;
        if !tail.is_zero() && chance(TAIL_SHARE) {
            latency += tail;
        }
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        if let Some(held) = lock
            && let Ok(_the_lock) = self.0.lock.acquire().await
        {
            tokio::time::sleep(held).await;
        }
        self.0.leak.walk().await;
        if chance(error) {
            return Err(AppError::new(StatusCode::INTERNAL_SERVER_ERROR, "injected_fault", "an injected fault"));
        }
        if bad_version && chance(BAD_VERSION_SHARE) {
            return Err(AppError::new(StatusCode::INTERNAL_SERVER_ERROR, "bug", "this version has a bug"));
        }
        Ok(())
    }

    /// Returns at once, or when the replica no longer hangs.
    pub(super) async fn hang(&self) {
        if self.0.active.borrow().hangs() {
            // The sender lives in `self`, so the wait can only end because the fault was lifted.
            let _ = self.0.active.subscribe().wait_for(|active| !active.hangs()).await;
        }
    }

    /// What the store's own faults look at: not `self`, which knows the store.
    pub(super) fn of_store(&self) -> StoreFaults {
        StoreFaults::new(self.0.active.subscribe())
    }

    /// The store that `pool` and `store-down` are for.
    pub(super) fn attach(&self, store: &SqlitePool) {
        // A service has one store; of more, the first is troubled.
        let _ = self.0.store.set(store.clone());
    }

    /// Runs the faults that need more than requests.
    pub(super) fn spawn_into(&self, supervisor: &mut Supervisor) {
        supervisor.spawn("cpu fault", self.clone().burn_cpu(supervisor.shutdown()));
        supervisor.spawn("pause fault", self.clone().pause_threads(supervisor.shutdown()));
        supervisor.spawn("leak fault", self.clone().grow_leak(supervisor.shutdown()));
        supervisor.spawn("store faults", self.clone().trouble_store(supervisor.shutdown()));
    }
}

/// The wall clock of a replica, which a fault may set wrong.
#[derive(Debug, Clone)]
pub(super) struct ReplicaClock(pub Faults);

impl Clock for ReplicaClock {
    fn now_ms(&self) -> i64 {
        SystemClock.now_ms().saturating_add(self.0.skew_ms())
    }
}

#[cfg(test)]
mod tests;

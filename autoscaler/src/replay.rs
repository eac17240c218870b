//! What scaling would have done: contenders steer a simulated cluster through a trace in virtual time, each at its own pace and
//! with what it would know by then, and are judged by what the front door promised, CPU and changes. Ours is the planner that
//! decides live; the baselines are Kubernetes' HPA, KEDA's prometheus scaler through it, and replicas that never change; with a
//! grid each baseline is tuned first. No clock, no I/O: the same setup gives the same bytes. Start at `run`.

mod contender;
mod course;
mod grid;
mod meters;
pub mod picture;
mod question;
mod report;
mod score;
mod seat;
mod spans;
pub mod trace;

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cluster::simulated::Graph;
use parking_lot::Mutex;

pub use self::contender::{Cadence, Settings};
use self::course::{Course, Span};
pub use self::report::{ContenderReport, Report};
pub use self::score::{Estimate, Moment, Objective, Score};
pub use self::trace::{PROFILES, Trace, TraceError};
use crate::policy::PolicySet;

/// Most runs of each contender: more say nothing new, and their confidence intervals are a third of those of ten.
pub const SEEDS_MAX: u32 = 100;

/// When a trace begins where nobody says otherwise: the first Monday of 2024 at midnight in Greenwich.
pub const BEGINS_MS_DEFAULT: i64 = 1_704_067_200_000;

/// Shortest trace: three minutes, so that there is a minute to tune on and one to judge.
const SECONDS_MIN: f64 = 180.0;

/// Load at which static replicas carry the peak, where no grid finds it: the usual headroom of a third.
const STATIC_LOAD: f64 = 0.7;

/// KEDA's target where no grid finds it: its documentation has none that fits all.
const KEDA_LOAD: f64 = 0.6;

/// Who is compared with our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Baseline {
    /// Replicas that never change.
    Static,
    /// Kubernetes' HorizontalPodAutoscaler v2 on CPU.
    Hpa,
    /// KEDA's prometheus scaler on requests.
    Keda,
}

impl Baseline {
    /// All there are, with their names.
    pub const ALL: [(&'static str, Self); 3] = [("static", Self::Static), ("hpa", Self::Hpa), ("keda", Self::Keda)];

    /// As it comes: HPA with Kubernetes' defaults.
    fn settings(self) -> Settings {
        let down = crate::policy::DOWN_WINDOW_DEFAULT;
        match self {
            Self::Static => Settings::Static { load: STATIC_LOAD },
            Self::Hpa => Settings::Hpa { percent: crate::policy::CPU_PERCENT_DEFAULT, down },
            Self::Keda => Settings::Keda { load: KEDA_LOAD, down },
        }
    }
}

/// What is replayed.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The services and who calls whom.
    pub graph: Arc<Graph>,
    /// What is steered: by our own as they say, by the baselines within their bounds.
    pub policies: PolicySet,
    /// The load.
    pub trace: Trace,
    /// When the trace begins, in milliseconds since the epoch, to the minute: schedules go by the calendar.
    pub begins_ms: i64,
    /// What the front door promises.
    pub objective: Objective,
    /// How the live loop is set up.
    pub cadence: Cadence,
    /// Whom to compare with.
    pub against: Vec<Baseline>,
    /// Runs of each contender, each with other randomness.
    pub seeds: u32,
    /// Tunes each baseline on the first half of the trace, and judges everybody on the second.
    pub grid: bool,
    /// Milliseconds of a step of the simulation.
    pub step_ms: i64,
}

/// Why nothing was replayed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ReplayError {
    /// A policy steers what is not simulated.
    #[error("policy {policy}: {workload} is not in the graph")]
    NoSuchWorkload {
        /// The policy.
        policy: String,
        /// Its target.
        workload: String,
    },
    /// A signal asks what the simulated cluster does not know.
    #[error("policy {policy}: {signal}: {why}")]
    Unanswerable {
        /// The policy.
        policy: String,
        /// The signal.
        signal: String,
        /// Why not.
        why: String,
    },
    /// There is nothing to steer.
    #[error("there is no policy, so nothing would be steered")]
    NoPolicies,
    /// A number of runs that makes no sense.
    #[error("{seeds} seeds, expected 1 to {SEEDS_MAX}")]
    Seeds {
        /// How many were asked for.
        seeds: u32,
    },
    /// Too short to judge.
    #[error("the trace is {seconds:.0} s long, expected at least {SECONDS_MIN:.0} s; compress it less")]
    Short {
        /// Its length.
        seconds: f64,
    },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// In figures.
    pub report: Report,
    /// Each contender's settings, in the report's order.
    pub settings: Vec<Settings>,
    /// Virtual minutes judged in each run.
    pub minutes: f64,
    /// Each contender's first run, minute by minute.
    pub moments: Vec<Vec<Moment>>,
}

/// Reads a time of the calendar as milliseconds since the epoch.
///
/// # Errors
/// What was expected.
pub fn time(text: &str) -> Result<i64, String> {
    let time: Result<jiff::Timestamp, _> = text.parse();
    time.map(jiff::Timestamp::as_millisecond)
        .map_err(|_| format!("{text:?} is no time, expected one with its zone, such as 2024-01-01T08:00:00Z"))
}

/// Replays a trace. `progress` is told how many runs are done, and of how many, as they end.
///
/// # Errors
/// What cannot be replayed.
pub fn run(setup: &Setup, progress: &(dyn Fn(usize, usize) + Sync)) -> Result<Outcome, ReplayError> {
    if setup.policies.is_empty() {
        return Err(ReplayError::NoPolicies);
    }
    if !(1..=SEEDS_MAX).contains(&setup.seeds) {
        return Err(ReplayError::Seeds { seeds: setup.seeds });
    }
    let seconds = setup.trace.seconds();
    if seconds < SECONDS_MIN {
        return Err(ReplayError::Short { seconds });
    }
    let judged =
        if setup.grid { Span { from: seconds * grid::SHARE, to: seconds } } else { Span { from: 0.0, to: seconds } };
    let candidates: Vec<Vec<Settings>> = setup.against.iter().map(|baseline| grid::candidates(*baseline)).collect();
    let trials = if setup.grid { candidates.iter().map(Vec::len).sum() } else { 0 };
    let runs = (1 + setup.against.len()) * setup.seeds as usize;
    let (done, all) = (AtomicUsize::new(0), trials + runs);
    let finished = || progress(done.fetch_add(1, Ordering::Relaxed) + 1, all);

    let mut settings = vec![Settings::Plimsoll];
    for (baseline, candidates) in setup.against.iter().zip(candidates) {
        settings.push(if setup.grid {
            let span = Span { from: 0.0, to: seconds * grid::SHARE };
            let courses = candidates.iter().map(|settings| Course { settings: *settings, seed: grid::SEED, span });
            grid::best(&candidates, &drive(setup, &courses.collect::<Vec<_>>(), &finished)?)
        } else {
            baseline.settings()
        });
    }
    let courses: Vec<Course> = settings
        .iter()
        .flat_map(|settings| {
            (0..setup.seeds).map(|seed| Course { settings: *settings, seed: seed.into(), span: judged })
        })
        .collect();
    let runs = drive(setup, &courses, &finished)?;
    let contenders = settings.iter().zip(runs.chunks(setup.seeds as usize)).map(|(settings, runs)| {
        let scores: Vec<Score> = runs.iter().map(|run| run.score).collect();
        ContenderReport::of(settings.name(), &scores)
    });
    let report = Report { trace: setup.trace.name().to_owned(), seeds: setup.seeds, contenders: contenders.collect() };
    let minutes = runs.first().map_or(0.0, |run| run.score.minutes);
    let moments = runs.chunks(setup.seeds as usize).filter_map(|runs| runs.first()).map(|run| run.moments.clone());
    Ok(Outcome { moments: moments.collect(), report, settings, minutes })
}

/// Runs courses on all cores; what comes out is in their order, whichever ended first.
fn drive(setup: &Setup, courses: &[Course], finished: &(dyn Fn() + Sync)) -> Result<Vec<course::Run>, ReplayError> {
    let (next, runs) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(courses.len())));
    let work = || {
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(course) = courses.get(place) else { return };
            let run = course.run(setup);
            runs.lock().push((place, run));
            finished();
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get).min(courses.len());
    std::thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
    let mut runs = runs.into_inner();
    runs.sort_by_key(|(place, _)| *place);
    runs.into_iter().map(|(_, run)| run).collect()
}

#[cfg(test)]
mod tests;

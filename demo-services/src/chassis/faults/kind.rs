//! The kinds of fault: what each does, what its value means, and which services it fits. Pure; switches nothing.

use std::fmt;
use std::fmt::Write;
use std::time::Duration;

use protocol::quantity::Quantity;

use crate::chassis::store;
use crate::service;

/// More cores than any demo machine has; a typing error must not start a thousand threads.
const CPU_MAX: f64 = 64.0;
/// A latency longer than the longest deadline is a `hang`.
const LATENCY_MAX: Duration = Duration::from_secs(60);
/// Half of what a liveness probe waits for: a pause is not to end the replica, which is what `hang` is for.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Patience longer than a call's whole time makes no storm.
const PATIENCE_MAX: Duration = Duration::from_secs(2);
/// Ten years: no certificate, card or session outlives that.
const SKEW_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);
/// Faster than this the leak is full before anybody has looked.
const LEAK_MAX_PER_SECOND: i64 = 64 << 20;
/// A version is a word for people and a label of series.
const VERSION_CHARS_MAX: usize = 64;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    Error,
    Latency,
    TailLatency,
    Cpu,
    Leak,
    Pause,
    Lock,
    Pool,
    SlowStore,
    StoreDown,
    QueueLag,
    Poison,
    Stampede,
    RetryStorm,
    Unreachable,
    ClockSkew,
    BadDeploy,
    Zone,
    Crash,
    Hang,
}

/// What a service must have for a fault to have a hold on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    Store,
    Events,
    Peers,
}

/// A fault's value, read.
#[derive(Debug, Clone, PartialEq)]
pub enum Setting {
    /// The kind takes no value.
    On,
    /// A share of requests, events or replicas, 0 to 1.
    Share(f64),
    Cores(f64),
    Time(Duration),
    /// Milliseconds that a clock is ahead.
    SkewMs(i64),
    /// Bytes a second.
    BytesPerSecond(usize),
    Connections(usize),
    Peer(String),
    Version(String),
}

/// A fault that cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    #[error("there is no fault {0:?}; expected {names}", names = FaultKind::names())]
    UnknownKind(String),
    #[error("the fault {kind} was given {value:?}; expected {expected}")]
    WrongValue { kind: FaultKind, value: String, expected: String },
    #[error("the fault {kind} has no hold on {service}, which {lacks}; choose {fitting}")]
    DoesNotFit { kind: FaultKind, service: String, lacks: &'static str, fitting: String },
}

/// What there is to say about a kind.
struct Row {
    kind: FaultKind,
    name: &'static str,
    /// The value's name in a usage line; empty where there is none.
    value: &'static str,
    needs: Needs,
    expected: &'static str,
    does: &'static str,
}

const fn row(
    kind: FaultKind,
    name: &'static str,
    value: &'static str,
    needs: Needs,
    expected: &'static str,
    does: &'static str,
) -> Row {
    Row { kind, name, value, needs, expected, does }
}

const RATIO: &str = "a ratio from 0 to 1";
const LATENCY: &str = "a duration up to 1m, such as 250ms";

/// In the order of people's interest.
static ROWS: [Row; 20] = [
    row(FaultKind::Error, "error", "RATIO", Needs::Nothing, RATIO, "that share of requests is answered 500"),
    row(FaultKind::Latency, "latency", "DURATION", Needs::Nothing, LATENCY, "each request takes so much longer"),
    row(
        FaultKind::TailLatency,
        "tail-latency",
        "DURATION",
        Needs::Nothing,
        LATENCY,
        "one request in ten takes so much longer",
    ),
    row(
        FaultKind::Cpu,
        "cpu",
        "CORES",
        Needs::Nothing,
        "a number of cores from 0 to 64",
        "so many cores are burnt beside the work",
    ),
    row(
        FaultKind::Leak,
        "leak",
        "BYTES",
        Needs::Nothing,
        "bytes a second up to 64Mi, such as 8Mi",
        "so much memory a second is kept and looked through by each request, up to 256 MiB or the memory limit",
    ),
    row(
        FaultKind::Pause,
        "pause",
        "DURATION",
        Needs::Nothing,
        "a duration up to 5s, such as 700ms",
        "each second all threads stand still for so long, as for a collection of garbage",
    ),
    row(
        FaultKind::Lock,
        "lock",
        "DURATION",
        Needs::Nothing,
        LATENCY,
        "each request holds the one lock of the replica for so long",
    ),
    row(
        FaultKind::Pool,
        "pool",
        "CONNECTIONS",
        Needs::Store,
        "a number of connections from 1 to 4",
        "so many of a replica's four connections to its store are taken and not given back",
    ),
    row(
        FaultKind::SlowStore,
        "slow-store",
        "DURATION",
        Needs::Store,
        LATENCY,
        "each use of the store holds its connection for so much longer",
    ),
    row(
        FaultKind::StoreDown,
        "store-down",
        "",
        Needs::Store,
        "no value",
        "the store's connections end, none can be made",
    ),
    row(
        FaultKind::QueueLag,
        "queue-lag",
        "DURATION",
        Needs::Events,
        LATENCY,
        "events are taken in one at a time, so long each, and queue up",
    ),
    row(
        FaultKind::Poison,
        "poison",
        "RATIO",
        Needs::Events,
        RATIO,
        "that share of events fails however often it is delivered, and holds up those behind it",
    ),
    row(
        FaultKind::Stampede,
        "stampede",
        "DURATION",
        Needs::Nothing,
        LATENCY,
        "each second a cache expires, and whoever comes before it is filled computes for so long, on the CPU",
    ),
    row(
        FaultKind::RetryStorm,
        "retry-storm",
        "DURATION",
        Needs::Peers,
        "a duration up to 2s, such as 5ms",
        "calls to peers are given up after so long and repeated up to ten times, without budget, pause or breaker",
    ),
    row(
        FaultKind::Unreachable,
        "unreachable",
        "SERVICE",
        Needs::Peers,
        "a service that it calls",
        "calls to that service find nobody listening, as with a wrong name or address",
    ),
    row(
        FaultKind::ClockSkew,
        "clock-skew",
        "DURATION",
        Needs::Nothing,
        "a duration up to 10y, such as 2h or -90s",
        "the clock is so far ahead, or behind: in what is decided by it, and in spans",
    ),
    row(
        FaultKind::BadDeploy,
        "bad-deploy",
        "VERSION",
        Needs::Nothing,
        "a version of 1 to 64 letters, digits, dots and dashes",
        "says that it is this version, of which a third of requests is answered 500",
    ),
    row(
        FaultKind::Zone,
        "zone",
        "RATIO",
        Needs::Nothing,
        RATIO,
        "that share of the replicas is cut off: requests and probes get no answer; set on one replica, that one",
    ),
    row(FaultKind::Crash, "crash", "", Needs::Nothing, "no value", "the process exits, again after each restart"),
    row(FaultKind::Hang, "hang", "", Needs::Nothing, "no value", "requests and probes get no answer"),
];

impl FaultKind {
    /// All kinds.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.kind)
    }

    fn row(self) -> &'static Row {
        ROWS.iter().find(|row| row.kind == self).expect("each kind has a row, which a test looks up for all of them")
    }

    /// As people write it: `slow-store`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Its form: `latency=DURATION`.
    pub fn usage(self) -> String {
        let row = self.row();
        if row.value.is_empty() { row.name.to_owned() } else { format!("{}={}", row.name, row.value) }
    }

    /// What it does, in words.
    pub fn does(self) -> &'static str {
        self.row().does
    }

    /// The kind of this name.
    pub fn parse(name: &str) -> Result<Self, FaultError> {
        let row = ROWS.iter().find(|row| row.name == name);
        row.map(|row| row.kind).ok_or_else(|| FaultError::UnknownKind(name.to_owned()))
    }

    /// All names, for an error.
    pub fn names() -> String {
        let (last, others) = ROWS.split_last().expect("there are kinds");
        format!("{} or {}", others.iter().map(|row| row.name).collect::<Vec<_>>().join(", "), last.name)
    }

    /// A line a kind, for a help text.
    pub fn table() -> String {
        let usages: Vec<String> = Self::all().map(Self::usage).collect();
        let width = usages.iter().map(String::len).max().unwrap_or(0);
        let mut text = String::new();
        for (kind, usage) in Self::all().zip(usages) {
            write!(text, "\n  {usage:width$}  {}", kind.does()).expect("a text takes everything");
            if let Some(services) = kind.services() {
                write!(text, " ({services})").expect("a text takes everything");
            }
        }
        text
    }

    /// The services that have what it needs, if not all do.
    fn services(self) -> Option<String> {
        let fitting: Vec<&str> =
            service::NAMES.iter().copied().filter(|service| self.lacks(service).is_none()).collect();
        (fitting.len() < service::NAMES.len()).then(|| fitting.join(", "))
    }

    fn lacks(self, service: &str) -> Option<&'static str> {
        match self.row().needs {
            Needs::Store if !service::has_store(service) => Some("has no store"),
            Needs::Events if !service::takes_events(service) => Some("takes no events"),
            Needs::Peers if service::peers(service).is_empty() => Some("calls nobody"),
            Needs::Nothing | Needs::Store | Needs::Events | Needs::Peers => None,
        }
    }

    /// Reads the value that it is given for a service.
    pub fn read(self, service: &str, value: Option<&str>) -> Result<Setting, FaultError> {
        if let Some(lacks) = self.lacks(service) {
            let fitting = self.services().unwrap_or_default();
            return Err(FaultError::DoesNotFit { kind: self, service: service.to_owned(), lacks, fitting });
        }
        self.setting(service, value).ok_or_else(|| FaultError::WrongValue {
            kind: self,
            value: value.unwrap_or("nothing").to_owned(),
            expected: match self {
                Self::Unreachable => format!("{}: {}", self.row().expected, service::peers(service).join(", ")),
                _ => self.row().expected.to_owned(),
            },
        })
    }

    fn setting(self, service: &str, value: Option<&str>) -> Option<Setting> {
        let number = |max: f64| value?.parse::<f64>().ok().filter(|number| (0.0..=max).contains(number));
        let time = |max: Duration| protocol::duration::parse(value?).ok().filter(|time| *time <= max);
        let some_time = |max: Duration| time(max).filter(|time| !time.is_zero()).map(Setting::Time);
        match self {
            Self::Error | Self::Poison | Self::Zone => number(1.0).map(Setting::Share),
            Self::Cpu => number(CPU_MAX).map(Setting::Cores),
            Self::Latency | Self::TailLatency => time(LATENCY_MAX).map(Setting::Time),
            Self::Lock | Self::SlowStore | Self::QueueLag | Self::Stampede => some_time(LATENCY_MAX),
            Self::Pause => some_time(PAUSE_MAX),
            Self::RetryStorm => some_time(PATIENCE_MAX),
            Self::Leak => {
                let bytes = Quantity::parse(value?).ok()?.units();
                let fits = (1..=LEAK_MAX_PER_SECOND).contains(&bytes);
                usize::try_from(bytes).ok().filter(|_| fits).map(Setting::BytesPerSecond)
            }
            Self::Pool => {
                let count: u32 = value?.parse().ok()?;
                let fits = (1..=store::CONNECTIONS_MAX).contains(&count);
                usize::try_from(count).ok().filter(|_| fits).map(Setting::Connections)
            }
            Self::ClockSkew => {
                let (sign, text) = value?.strip_prefix('-').map_or((1, value?), |text| (-1, text));
                let skew = protocol::duration::parse(text).ok().filter(|skew| *skew <= SKEW_MAX)?;
                Some(Setting::SkewMs(sign * i64::try_from(skew.as_millis()).ok()?))
            }
            Self::Unreachable => {
                let peer = value?;
                service::peers(service).contains(&peer).then(|| Setting::Peer(peer.to_owned()))
            }
            Self::BadDeploy => {
                let version = value?;
                let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
                let fits = (1..=VERSION_CHARS_MAX).contains(&version.len()) && version.chars().all(plain);
                fits.then(|| Setting::Version(version.to_owned()))
            }
            Self::StoreDown | Self::Crash | Self::Hang => value.is_none().then_some(Setting::On),
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_one_row_one_name_and_a_line_in_the_readme() {
        let readme = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md"));
        assert!(FaultKind::all().count() >= 16);
        for kind in FaultKind::all() {
            assert_eq!(ROWS.iter().filter(|row| row.kind == kind || row.name == kind.name()).count(), 1, "{kind}");
            assert_eq!(FaultKind::parse(kind.name()), Ok(kind));
            assert!(readme.contains(&format!("`{}`", kind.usage())), "README.md lacks `{}`", kind.usage());
        }
    }

    #[test]
    fn values_are_read_or_refused_with_what_was_expected() {
        let good: [(FaultKind, Option<&str>, Setting); 12] = [
            (FaultKind::Error, Some("0.5"), Setting::Share(0.5)),
            (FaultKind::TailLatency, Some("1s"), Setting::Time(Duration::from_secs(1))),
            (FaultKind::Cpu, Some("1.5"), Setting::Cores(1.5)),
            (FaultKind::Leak, Some("8Mi"), Setting::BytesPerSecond(8 << 20)),
            (FaultKind::Pause, Some("700ms"), Setting::Time(Duration::from_millis(700))),
            (FaultKind::Pool, Some("4"), Setting::Connections(4)),
            (FaultKind::StoreDown, None, Setting::On),
            (FaultKind::Unreachable, Some("payment"), Setting::Peer("payment".to_owned())),
            (FaultKind::ClockSkew, Some("2h"), Setting::SkewMs(7_200_000)),
            (FaultKind::ClockSkew, Some("-90s"), Setting::SkewMs(-90_000)),
            (FaultKind::BadDeploy, Some("2.0.0-rc1"), Setting::Version("2.0.0-rc1".to_owned())),
            (FaultKind::Crash, None, Setting::On),
        ];
        for (kind, value, expected) in good {
            assert_eq!(kind.read("order", value), Ok(expected), "{kind}={value:?}");
        }
        let bad = [
            ("order", FaultKind::Error, Some("2"), "the fault error was given \"2\"; expected a ratio from 0 to 1"),
            ("order", FaultKind::Error, Some("NaN"), "the fault error was given \"NaN\"; expected a ratio from 0 to 1"),
            ("order", FaultKind::Error, None, "the fault error was given \"nothing\"; expected a ratio from 0 to 1"),
            (
                "order",
                FaultKind::Latency,
                Some("5"),
                "the fault latency was given \"5\"; expected a duration up to 1m, such as 250ms",
            ),
            ("order", FaultKind::Hang, Some("1"), "the fault hang was given \"1\"; expected no value"),
            (
                "order",
                FaultKind::Cpu,
                Some("-1"),
                "the fault cpu was given \"-1\"; expected a number of cores from 0 to 64",
            ),
            (
                "order",
                FaultKind::Leak,
                Some("1Gi"),
                "the fault leak was given \"1Gi\"; expected bytes a second up to 64Mi, such as 8Mi",
            ),
            (
                "order",
                FaultKind::Pause,
                Some("0"),
                "the fault pause was given \"0\"; expected a duration up to 5s, such as 700ms",
            ),
            (
                "order",
                FaultKind::Pool,
                Some("9"),
                "the fault pool was given \"9\"; expected a number of connections from 1 to 4",
            ),
            (
                "search",
                FaultKind::Unreachable,
                Some("order"),
                "the fault unreachable was given \"order\"; expected a service that it calls: product",
            ),
            (
                "order",
                FaultKind::BadDeploy,
                Some("a b"),
                "the fault bad-deploy was given \"a b\"; expected a version of 1 to 64 letters, digits, dots and dashes",
            ),
            (
                "order",
                FaultKind::Poison,
                Some("1"),
                "the fault poison has no hold on order, which takes no events; choose notification, recommendation",
            ),
            (
                "review",
                FaultKind::RetryStorm,
                Some("5ms"),
                "the fault retry-storm has no hold on review, which calls nobody; choose gateway, search, order, recommendation",
            ),
        ];
        for (service, kind, value, expected) in bad {
            assert_eq!(kind.read(service, value).unwrap_err().to_string(), expected);
        }
        let unknown = FaultKind::parse("fire").unwrap_err().to_string();
        assert!(
            unknown.starts_with("there is no fault \"fire\"; expected error, latency, ")
                && unknown.ends_with(" or hang")
        );
    }

    proptest::proptest! {
        #[test]
        fn any_value_is_read_or_refused(value in "[-0-9a-zA-Z.]{0,12}") {
            for kind in FaultKind::all() {
                let _ = kind.read("order", Some(&value));
            }
        }
    }
}

//! The scrape configuration: Prometheus' file format, read strictly and checked. What Prometheus knows and this collector
//! does not is refused by name, so that no setting is silently without effect. Reads one file and the rule files that it names;
//! starts nothing.

pub mod alerting;
pub mod http;
pub mod kubernetes;
pub mod limits;
pub mod otlp;
pub mod protocols;
mod raw;
pub mod remote_write;
pub mod secret;
mod shown;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::yaml::{self, Document, DocumentError};
use url::Url;

use self::alerting::Alerting;
use self::http::HttpOptions;
use self::kubernetes::KubernetesDiscovery;
use self::limits::Limits;
use self::otlp::OtlpOptions;
use self::protocols::{HistogramOptions, Negotiation};
use self::remote_write::RemoteWrite;
use crate::discovery::TargetGroup;
use crate::discovery::relabel::{Action, LabelSet, RelabelRule};
use crate::rules::file::{self, Defaults, LoadError, RuleGroup};
use crate::series::Labels;

/// Prometheus' default for `scrape_interval` and `evaluation_interval`.
const INTERVAL_DEFAULT: Duration = Duration::from_secs(60);

/// Prometheus' default for `scrape_timeout`.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// Prometheus' default for `refresh_interval` of `http_sd_configs`.
const HTTP_REFRESH_DEFAULT: Duration = Duration::from_secs(60);

/// Prometheus' default for `refresh_interval` of `file_sd_configs`.
const FILE_REFRESH_DEFAULT: Duration = Duration::from_secs(300);

/// A checked configuration.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Told to other servers, not put on stored series.
    pub external_labels: Labels,
    /// What to scrape.
    pub jobs: Vec<ScrapeJob>,
    /// Where samples are sent.
    pub remote_write: Vec<RemoteWrite>,
    /// How metrics of OpenTelemetry are translated.
    pub otlp: OtlpOptions,
    /// What to evaluate, of all rule files.
    pub rule_groups: Vec<RuleGroup>,
    /// Who is told about alerts.
    pub alerting: Alerting,
    /// How late samples may be that are out of order (`storage.tsdb.out_of_order_time_window`); zero refuses them.
    pub late_window: Duration,
    /// How long samples are kept (`storage.tsdb.retention`); `None` if the file does not say.
    pub retention: Option<Retention>,
    /// The file without comments and secrets, as served by `/api/v1/status/config`.
    pub text: String,
}

/// How long samples are kept, and in how much room: what either says is too much goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Samples that are older go; `None` keeps them whatever their age.
    pub time: Option<Duration>,
    /// Bytes on disk; with more, the oldest go.
    pub bytes: Option<u64>,
}

/// One of the `scrape_configs`.
#[derive(Debug, Clone, PartialEq)]
pub struct ScrapeJob {
    /// `job_name`, unique.
    pub name: String,
    /// How often.
    pub scrape_interval: Duration,
    /// Never longer than the interval.
    pub scrape_timeout: Duration,
    /// Such as `/metrics`.
    pub metrics_path: String,
    /// `http` or `https`.
    pub scheme: String,
    /// Credentials, and whom to believe.
    pub http: HttpOptions,
    /// Query parameters.
    pub params: BTreeMap<String, Vec<String>>,
    /// Whether a scraped label wins over the target's.
    pub honor_labels: bool,
    /// Whether times in the text are used.
    pub honor_timestamps: bool,
    /// Whether series with times in the text get stale markers.
    pub track_timestamps_staleness: bool,
    /// Whether to accept gzip.
    pub enable_compression: bool,
    /// Whether to follow redirects.
    pub follow_redirects: bool,
    /// In which formats targets are asked for their metrics.
    pub negotiation: Negotiation,
    /// What becomes of histograms.
    pub histograms: HistogramOptions,
    /// What fails a scrape, and what it sheds.
    pub limits: Limits,
    /// Whether each target says its timeout, its `sample_limit` and the bytes of its text in series of their own.
    pub extra_scrape_metrics: bool,
    /// Where targets come from.
    pub discovery: Vec<Discovery>,
    /// Applied to targets.
    pub relabel: Vec<RelabelRule>,
    /// Applied to series.
    pub metric_relabel: Vec<RelabelRule>,
}

/// Where targets come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Discovery {
    /// `static_configs`
    Static(Vec<TargetGroup>),
    /// One of the `file_sd_configs`.
    Files {
        /// Paths; the file name may hold `*`.
        patterns: Vec<PathBuf>,
        /// How often to read the files even if they look unchanged.
        refresh: Duration,
    },
    /// One of the `http_sd_configs`.
    Http {
        /// What to ask.
        url: Url,
        /// How often.
        refresh: Duration,
    },
    /// One of the `kubernetes_sd_configs`.
    Kubernetes(Box<KubernetesDiscovery>),
}

/// Whether a configuration file could be started with.
///
/// # Errors
/// The first thing wrong, with file, place and what was expected.
pub fn check(path: &Path) -> Result<(), DocumentError> {
    load(path).map(|_| ())
}

/// Reads a size such as `512MB`, in powers of 1024 as Prometheus does; zero means none.
///
/// # Errors
/// What may be written instead.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    raw::parse_size(text).map(|bytes| bytes.unwrap_or(0) as u64)
}

/// Reads and checks a configuration file.
///
/// # Errors
/// The first thing wrong, with file, place and what was expected.
pub fn load(path: &Path) -> Result<Config, DocumentError> {
    let documents = yaml::read_file(path)?;
    match documents.as_slice() {
        [] => Ok(Config::default()),
        [document] => {
            let config = document.parse::<raw::Config>()?;
            let folder = path.parent().unwrap_or(Path::new(""));
            Checker { document, folder }.config(config, shown::shown(document)?)
        }
        [_, second, ..] => Err(second.error("", "a scrape configuration is one document; remove the second")),
    }
}

struct Checker<'a> {
    document: &'a Document,
    folder: &'a Path,
}

/// What scrape configurations have from `global` where they say nothing.
struct Inherited {
    interval: Duration,
    timeout: Duration,
    limits: Limits,
    extra_scrape_metrics: bool,
    protocols: protocols::Inherited,
}

impl Checker<'_> {
    fn config(&self, raw: raw::Config, text: String) -> Result<Config, DocumentError> {
        let mut global = raw.global.unwrap_or_default();
        let inherited = self.inherited(&mut global)?;
        let defaults = Defaults {
            interval: self.interval("global.evaluation_interval", global.evaluation_interval, INTERVAL_DEFAULT)?,
            query_offset: global.rule_query_offset.unwrap_or_default(),
        };
        let mut jobs: Vec<ScrapeJob> = Vec::new();
        for (i, job) in raw.scrape_configs.into_iter().enumerate() {
            let place = format!("scrape_configs[{i}]");
            let job = self.job(&place, job, &inherited)?;
            if jobs.iter().any(|known| known.name == job.name) {
                return Err(self.wrong(&place, "job_name", &format!("the name {:?} is used twice", job.name)));
            }
            jobs.push(job);
        }
        let rule_groups = self.rule_groups(&raw.rule_files.unwrap_or_default(), defaults)?;
        let alerting = raw.alerting.map(|alerting| self.alerting(alerting)).transpose()?.unwrap_or_default();
        let remote_write = self.remote_write(raw.remote_write)?;
        let otlp = otlp::check(raw.otlp.unwrap_or_default());
        let otlp = otlp.map_err(|(field, message)| self.wrong("otlp", field, &message))?;
        let external_labels = Labels::new(global.external_labels);
        let tsdb = raw.storage.and_then(|storage| storage.tsdb).unwrap_or_default();
        let late_window = tsdb.out_of_order_time_window.unwrap_or_default();
        let retention = tsdb.retention.map(|retention| self.retention(&retention)).transpose()?.flatten();
        Ok(Config { external_labels, jobs, remote_write, otlp, rule_groups, alerting, late_window, retention, text })
    }

    /// As in Prometheus, a file that says one of both means no more than that.
    fn retention(&self, raw: &raw::Retention) -> Result<Option<Retention>, DocumentError> {
        let bytes = raw.size.as_deref().map(raw::parse_size).transpose();
        let bytes = bytes.map_err(|message| self.wrong("storage.tsdb.retention", "size", &message))?.flatten();
        let is_said = raw.time.is_some() || raw.size.is_some();
        let time = raw.time.filter(|time| !time.is_zero());
        Ok(is_said.then_some(Retention { time, bytes: bytes.map(|bytes| bytes as u64) }))
    }

    fn inherited(&self, global: &mut raw::Global) -> Result<Inherited, DocumentError> {
        let interval = self.interval("global.scrape_interval", global.scrape_interval, INTERVAL_DEFAULT)?;
        let limits = Limits::check(&global.take_limits(), Limits::default());
        let protocols = protocols::Inherited::check(&global.take_protocols());
        Ok(Inherited {
            interval,
            timeout: self.timeout("global.scrape_timeout", global.scrape_timeout, TIMEOUT_DEFAULT, interval)?,
            limits: limits.map_err(|(field, message)| self.wrong("global", field, &message))?,
            extra_scrape_metrics: global.extra_scrape_metrics.unwrap_or(false),
            protocols: protocols.map_err(|(field, message)| self.wrong("global", field, &message))?,
        })
    }

    fn remote_write(&self, raw: Vec<raw::remote_write::RemoteWriteConfig>) -> Result<Vec<RemoteWrite>, DocumentError> {
        let mut checked: Vec<RemoteWrite> = Vec::new();
        for (i, mut raw) in raw.into_iter().enumerate() {
            let place = format!("remote_write[{i}]");
            let rules = std::mem::take(&mut raw.write_relabel_configs);
            let rules = self.relabelling(&format!("{place}.write_relabel_configs"), rules)?;
            let one = remote_write::check(raw, rules, self.folder);
            let one = one.map_err(|(field, message)| self.wrong(&place, field, &message))?;
            if checked.iter().any(|known| known.name == one.name) {
                return Err(self.wrong(&place, "name", &format!("the name {:?} is used twice", one.name)));
            }
            checked.push(one);
        }
        Ok(checked)
    }

    fn rule_groups(&self, patterns: &[String], defaults: Defaults) -> Result<Vec<RuleGroup>, DocumentError> {
        file::load(patterns, self.folder, defaults).map_err(|error| match error {
            LoadError::Pattern(i, message) => self.document.error(&format!("rule_files[{i}]"), &message),
            LoadError::File(error) => error,
        })
    }

    fn job(&self, place: &str, mut raw: raw::ScrapeConfig, inherited: &Inherited) -> Result<ScrapeJob, DocumentError> {
        if raw.job_name.is_empty() {
            return Err(self.wrong(place, "job_name", "is empty; a scrape configuration needs a name of its own"));
        }
        let scheme = raw.scheme.take().unwrap_or_else(|| "http".to_owned()).to_lowercase();
        if !["http", "https"].contains(&&*scheme) {
            return Err(self.wrong(place, "scheme", &format!("{scheme:?} is not a scheme; there are http and https")));
        }
        let http = http::check(raw.take_http(), self.folder);
        let http = http.map_err(|(field, message)| self.wrong(place, field, &message))?;
        let scrape_interval =
            self.interval(&format!("{place}.scrape_interval"), raw.scrape_interval, inherited.interval)?;
        let scrape_timeout =
            self.timeout(&format!("{place}.scrape_timeout"), raw.scrape_timeout, inherited.timeout, scrape_interval)?;
        let limits = Limits::check(&raw.take_limits(), inherited.limits);
        let limits = limits.map_err(|(field, message)| self.wrong(place, field, &message))?;
        let protocols = protocols::check(&raw.take_protocols(), &inherited.protocols);
        let (negotiation, histograms) = protocols.map_err(|(field, message)| self.wrong(place, field, &message))?;
        Ok(ScrapeJob {
            name: std::mem::take(&mut raw.job_name),
            scrape_interval,
            scrape_timeout,
            metrics_path: raw.metrics_path.take().unwrap_or_else(|| "/metrics".to_owned()),
            scheme,
            http,
            params: std::mem::take(&mut raw.params),
            honor_labels: raw.honor_labels.unwrap_or(false),
            honor_timestamps: raw.honor_timestamps.unwrap_or(true),
            track_timestamps_staleness: raw.track_timestamps_staleness.unwrap_or(false),
            enable_compression: raw.enable_compression.unwrap_or(true),
            follow_redirects: raw.follow_redirects.unwrap_or(true),
            negotiation,
            histograms,
            limits,
            extra_scrape_metrics: raw.extra_scrape_metrics.unwrap_or(inherited.extra_scrape_metrics),
            relabel: self.relabelling(&format!("{place}.relabel_configs"), std::mem::take(&mut raw.relabel_configs))?,
            metric_relabel: self.relabelling(
                &format!("{place}.metric_relabel_configs"),
                std::mem::take(&mut raw.metric_relabel_configs),
            )?,
            discovery: self.discovery(place, raw.take_sources())?,
        })
    }

    fn discovery(&self, place: &str, raw: raw::Sources) -> Result<Vec<Discovery>, DocumentError> {
        let mut found = Vec::new();
        if !raw.static_configs.is_empty() {
            let group = |raw: raw::StaticConfig| TargetGroup { targets: raw.targets, labels: raw.labels };
            found.push(Discovery::Static(raw.static_configs.into_iter().map(group).collect()));
        }
        for (i, kubernetes) in raw.kubernetes_sd_configs.into_iter().enumerate() {
            let place = format!("{place}.kubernetes_sd_configs[{i}]");
            let checked = kubernetes::check(kubernetes, self.folder);
            let checked = checked.map_err(|(field, message)| self.wrong(&place, field, &message))?;
            found.push(Discovery::Kubernetes(Box::new(checked)));
        }
        for (i, file) in raw.file_sd_configs.into_iter().enumerate() {
            let place = format!("{place}.file_sd_configs[{i}]");
            let good = |name: &String| [".json", ".yml", ".yaml"].iter().any(|end| name.ends_with(end));
            if let Some(bad) = file.files.iter().find(|name| !good(name)) {
                return Err(self.wrong(&place, "files", &format!("{bad:?} does not end in .json, .yml or .yaml")));
            }
            let refresh =
                self.interval(&format!("{place}.refresh_interval"), file.refresh_interval, FILE_REFRESH_DEFAULT)?;
            let patterns = file.files.iter().map(|name| self.folder.join(name)).collect();
            found.push(Discovery::Files { patterns, refresh });
        }
        for (i, http) in raw.http_sd_configs.into_iter().enumerate() {
            let place = format!("{place}.http_sd_configs[{i}]");
            let url = Url::parse(&http.url)
                .map_err(|error| self.wrong(&place, "url", &format!("{:?} is not a URL: {error}", http.url)))?;
            if url.scheme() != "http" {
                return Err(self.wrong(&place, "url", "this collector asks such sources by http only"));
            }
            let refresh =
                self.interval(&format!("{place}.refresh_interval"), http.refresh_interval, HTTP_REFRESH_DEFAULT)?;
            found.push(Discovery::Http { url, refresh });
        }
        Ok(found)
    }

    fn relabelling(&self, place: &str, raw: Vec<raw::RelabelConfig>) -> Result<Vec<RelabelRule>, DocumentError> {
        let rule = |(i, raw): (usize, raw::RelabelConfig)| {
            let place = format!("{place}[{i}]");
            let action = raw.action.as_deref().unwrap_or("replace");
            let action: Action = action.parse().map_err(|message: String| self.wrong(&place, "action", &message))?;
            let mut rule = RelabelRule::new(action, raw.regex.as_deref().unwrap_or("(.*)"))
                .map_err(|message| self.wrong(&place, "regex", &message))?;
            rule.source_labels = raw.source_labels;
            rule.separator = raw.separator.unwrap_or_else(|| ";".to_owned());
            rule.target_label = raw.target_label.unwrap_or_default();
            rule.replacement = raw.replacement.unwrap_or_else(|| "$1".to_owned());
            rule.modulus = raw.modulus.unwrap_or(0);
            rule.check().map_err(|(field, message)| self.wrong(&place, field, message))?;
            Ok(rule)
        };
        raw.into_iter().enumerate().map(rule).collect()
    }

    fn interval(&self, field: &str, raw: Option<Duration>, default: Duration) -> Result<Duration, DocumentError> {
        let interval = raw.unwrap_or(default);
        if interval.is_zero() { Err(self.document.error(field, "must be longer than 0")) } else { Ok(interval) }
    }

    /// An inherited timeout is cut to the interval; one that was asked for must fit.
    fn timeout(
        &self,
        field: &str,
        raw: Option<Duration>,
        inherited: Duration,
        interval: Duration,
    ) -> Result<Duration, DocumentError> {
        match raw {
            Some(timeout) if timeout > interval => {
                let message = format!(
                    "{} is longer than the scrape_interval of {}",
                    protocol::duration::Display(timeout),
                    protocol::duration::Display(interval)
                );
                Err(self.document.error(field, &message))
            }
            Some(timeout) if !timeout.is_zero() => Ok(timeout),
            _ => Ok(inherited.min(interval)),
        }
    }

    fn wrong(&self, place: &str, field: &str, message: &str) -> DocumentError {
        self.document.error(&format!("{place}.{field}"), message)
    }
}

/// Labels as the file has them.
pub(crate) type RawLabels = LabelSet;

#[cfg(test)]
mod tests;

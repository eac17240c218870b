//! From what a source lists to what is scraped: default labels, relabelling, URL. Pure.

use std::sync::Arc;
use std::time::Duration;

use url::{Position, Url};

use super::Group;
use super::relabel::{LabelSet, relabel};
use crate::config::ScrapeJob;
use crate::config::limits::series_max;
use crate::series::Labels;

/// What relabelling may set to give a target a `series_limit` of its own: vmagent's name.
const SERIES_LIMIT: &str = "__series_limit__";

/// Where a target was listed. Its labels before relabelling are put together when they are asked for: they are many, and few
/// ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    group: Arc<Group>,
    index: usize,
}

impl Origin {
    /// The target of a group at an index.
    pub fn new(group: Arc<Group>, index: usize) -> Self {
        Self { group, index }
    }

    /// Labels before relabelling.
    pub fn labels(&self, job: &ScrapeJob) -> LabelSet {
        let own = self.group.targets.get(self.index).into_iter().flat_map(Labels::iter);
        let all = self.group.labels.iter().chain(own);
        let mut labels: LabelSet = all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        for (name, value) in defaults(job) {
            labels.entry(name).or_insert(value);
        }
        labels
    }
}

/// One scrape endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where it was listed.
    pub origin: Origin,
    /// On each of its series.
    pub labels: Labels,
    /// What is fetched.
    pub url: Url,
    /// How often.
    pub interval: Duration,
    /// How long a scrape may take.
    pub timeout: Duration,
    /// How many series it may hold at once; `None` is no limit.
    pub series_max: Option<usize>,
}

impl Target {
    /// What is connected to: `host:port`.
    pub fn address(&self) -> &str {
        &self.url[Position::BeforeHost..Position::AfterPort]
    }
}

/// What became of a listed address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placed {
    /// It is scraped.
    Active(Box<Target>),
    /// Relabelling dropped it.
    Dropped(Origin),
    /// It cannot be scraped, and why.
    Invalid(Origin, String),
}

/// Places every target of a group.
pub fn place(job: &ScrapeJob, group: &Arc<Group>) -> Vec<Placed> {
    (0..group.targets.len()).map(|index| place_one(job, Origin::new(group.clone(), index))).collect()
}

fn place_one(job: &ScrapeJob, origin: Origin) -> Placed {
    let mut labels = origin.labels(job);
    if !relabel(&job.relabel, &mut labels) {
        return Placed::Dropped(origin);
    }
    match finish(job, &origin, labels) {
        Ok(target) => Placed::Active(Box::new(target)),
        Err(reason) => Placed::Invalid(origin, reason),
    }
}

/// Labels that each target begins with, unless its source set them.
fn defaults(job: &ScrapeJob) -> Vec<(String, String)> {
    let mut defaults = vec![
        ("job".to_owned(), job.name.clone()),
        ("__scheme__".to_owned(), job.scheme.clone()),
        ("__metrics_path__".to_owned(), job.metrics_path.clone()),
        ("__scrape_interval__".to_owned(), protocol::duration::Display(job.scrape_interval).to_string()),
        ("__scrape_timeout__".to_owned(), protocol::duration::Display(job.scrape_timeout).to_string()),
    ];
    let first = |(name, values): (&String, &Vec<String>)| Some((format!("__param_{name}"), values.first()?.clone()));
    defaults.extend(job.params.iter().filter_map(first));
    defaults
}

fn finish(job: &ScrapeJob, origin: &Origin, mut labels: LabelSet) -> Result<Target, String> {
    let address = labels.get("__address__").filter(|a| !a.is_empty()).ok_or("it has no address")?.clone();
    if address.contains('/') {
        return Err(format!("{address:?} is not an address of the form host:port"));
    }
    let duration = |name: &str| {
        let text = labels.get(name).map_or("", String::as_str);
        let parsed = protocol::duration::parse(text).map_err(|error| format!("{name}: {error}"))?;
        if parsed.is_zero() { Err(format!("{name} is 0")) } else { Ok(parsed) }
    };
    let (interval, timeout) = (duration("__scrape_interval__")?, duration("__scrape_timeout__")?);
    if timeout > interval {
        return Err("its scrape timeout is longer than its interval".to_owned());
    }
    let series_max = match labels.get(SERIES_LIMIT).filter(|text| !text.is_empty()) {
        Some(text) => series_max(text.parse().map_err(|_| format!("{SERIES_LIMIT} is {text:?}, which is no number"))?),
        None => job.limits.series,
    };
    let url = url(job, &labels, &address)?;
    labels.entry("instance".to_owned()).or_insert(address);
    labels.retain(|name, _| !name.starts_with("__"));
    Ok(Target { origin: origin.clone(), labels: Labels::new(labels), url, interval, timeout, series_max })
}

fn url(job: &ScrapeJob, labels: &LabelSet, address: &str) -> Result<Url, String> {
    let label = |name: &str| labels.get(name).map_or("", String::as_str);
    let scheme = label("__scheme__");
    if !["http", "https"].contains(&scheme) {
        return Err(format!("the scheme {scheme:?} is not supported, only http and https are"));
    }
    let path = label("__metrics_path__");
    let slash = if path.starts_with('/') { "" } else { "/" };
    let text = format!("{scheme}://{address}{slash}{path}");
    let mut url = Url::parse(&text).map_err(|error| format!("{text:?} is not a URL: {error}"))?;
    if url.host_str().is_none() || !url.username().is_empty() || url.password().is_some() {
        return Err(format!("{address:?} is not an address of the form host:port"));
    }
    let mut params = job.params.clone();
    for (name, value) in labels.iter().filter_map(|(n, v)| Some((n.strip_prefix("__param_")?, v))) {
        let values = params.entry(name.to_owned()).or_default();
        match values.first_mut() {
            Some(first) => first.clone_from(value),
            None => values.push(value.clone()),
        }
    }
    for (name, values) in &params {
        for value in values {
            url.query_pairs_mut().append_pair(name, value);
        }
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::discovery::TargetGroup;

    fn job(yaml: &str) -> ScrapeJob {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scrape.yml");
        let indented: String = yaml.lines().map(|line| format!("  {line}\n")).collect();
        std::fs::write(&path, format!("scrape_configs:\n- job_name: shop\n{indented}")).unwrap();
        config::load(&path).unwrap().jobs.remove(0)
    }

    fn placed(yaml: &str, address: &str, labels: &[(&str, &str)]) -> Placed {
        let labels = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let group = Group::from(TargetGroup { targets: vec![address.to_owned()], labels });
        place(&job(yaml), &Arc::new(group)).remove(0)
    }

    #[test]
    fn a_target_gets_job_instance_and_url() {
        let yaml = "metrics_path: /m\nparams: { a: [x y, z] }";
        let Placed::Active(target) = placed(yaml, "h:1", &[("zone", "b"), ("__meta_x", "y")]) else { panic!() };
        assert_eq!(target.url.as_str(), "http://h:1/m?a=x+y&a=z");
        assert_eq!(target.labels, Labels::new([("job", "shop"), ("instance", "h:1"), ("zone", "b")]));
        assert_eq!(target.origin.labels(&job(yaml))["__meta_x"], "y");
    }

    #[test]
    fn relabelling_may_change_everything() {
        let yaml = "relabel_configs:\n\
            - { source_labels: [__meta_port], target_label: __address__, replacement: 'other:$1' }\n\
            - { target_label: __metrics_path__, replacement: metrics2 }\n\
            - { target_label: __param_a, replacement: b }\n\
            - { target_label: __scrape_interval__, replacement: 5s }\n\
            - { target_label: __scrape_timeout__, replacement: 1s }\n\
            - { target_label: instance, replacement: me }";
        let Placed::Active(target) = placed(yaml, "h:1", &[("__meta_port", "7")]) else { panic!() };
        assert_eq!(target.url.as_str(), "http://other:7/metrics2?a=b");
        assert_eq!((target.interval, target.timeout), (Duration::from_secs(5), Duration::from_secs(1)));
        assert_eq!(target.labels.get("instance"), Some("me"));
    }

    #[test]
    fn relabelling_may_give_a_target_a_series_limit_of_its_own() {
        let rule = "relabel_configs: [{ source_labels: [__meta_limit], target_label: __series_limit__ }]";
        for (own, job, wanted) in [
            ("", "0", None),
            ("", "9", Some(9)),
            ("7", "0", Some(7)),
            ("7", "9", Some(7)),
            ("0", "9", None),
            ("-1", "9", None),
        ] {
            let yaml = format!("series_limit: {job}\n{rule}");
            let Placed::Active(target) = placed(&yaml, "h:1", &[("__meta_limit", own)]) else { panic!("{own:?}") };
            assert_eq!(target.series_max, wanted, "{own:?} {job}");
            assert_eq!(target.labels.len(), 2, "it is no label of series");
        }
        let Placed::Invalid(_, reason) = placed(rule, "h:1", &[("__meta_limit", "many")]) else { panic!() };
        assert_eq!(reason, "__series_limit__ is \"many\", which is no number");
    }

    #[test]
    fn dropped_and_impossible_targets_are_told_apart() {
        let drop = "relabel_configs: [{ source_labels: [__meta_ready], regex: 'true', action: keep }]";
        assert!(matches!(placed(drop, "h:1", &[("__meta_ready", "false")]), Placed::Dropped(_)));
        for address in ["", "h/x"] {
            assert!(matches!(placed("honor_labels: true", address, &[]), Placed::Invalid(..)), "{address}");
        }
        let slow = "relabel_configs: [{ target_label: __scrape_timeout__, replacement: 2m }]";
        assert!(matches!(placed(slow, "h:1", &[]), Placed::Invalid(..)));
    }
}

//! OpenSLO v1: SLO and SLI, with metrics of Prometheus. Occurrences count events; Timeslices and RatioTimeslices, and thresholds, become
//! a share of bad time, by subqueries. Other kinds of document say nothing that is used here, and are noted.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::duration;
use protocol::yaml::{Document, DocumentError};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Imported;
use crate::objective::{Indicator, Objective, Subject, Target};
use crate::promql::{Metric, Template, WINDOW};
use crate::windows::{BUDGET_WINDOW_MAX, BUDGET_WINDOW_MIN};

/// The value of `apiVersion`.
pub(super) const VERSION: &str = "openslo/v1";

/// How often a threshold is looked at where no slice says so: Prometheus' usual interval of rules.
const SLICE_DEFAULT: &str = "1m";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    kind: String,
    metadata: Metadata,
    spec: IgnoredAny,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Of<T> {
    metadata: Metadata,
    spec: T,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SloSpec {
    #[serde(rename = "description")]
    _description: Option<String>,
    service: String,
    indicator: Option<Inline>,
    indicator_ref: Option<String>,
    #[serde(default)]
    time_window: Vec<TimeWindow>,
    budgeting_method: Option<String>,
    objectives: Vec<RawObjective>,
    alert_policies: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct Inline {
    spec: SliSpec,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SliSpec {
    #[serde(rename = "description")]
    _description: Option<String>,
    threshold_metric: Option<Source>,
    ratio_metric: Option<Ratio>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Ratio {
    counter: Option<bool>,
    good: Option<Source>,
    bad: Option<Source>,
    total: Option<Source>,
    raw_type: Option<String>,
    raw: Option<Source>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Source {
    metric_source: MetricSource,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct MetricSource {
    #[serde(rename = "metricSourceRef")]
    _metric_source_ref: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    spec: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct TimeWindow {
    duration: String,
    #[serde(default)]
    is_rolling: bool,
    calendar: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawObjective {
    display_name: Option<String>,
    op: Option<String>,
    value: Option<f64>,
    target: Option<f64>,
    target_percent: Option<f64>,
    time_slice_target: Option<f64>,
    time_slice_window: Option<String>,
    indicator: Option<IgnoredAny>,
    indicator_ref: Option<IgnoredAny>,
    composite_weight: Option<IgnoredAny>,
}

/// Reads all of OpenSLO's documents together.
pub(super) fn import(documents: &[&Document], namespace: &str, imported: &mut Imported) -> Result<(), DocumentError> {
    let mut indicators: BTreeMap<String, SliSpec> = BTreeMap::new();
    let mut slos = Vec::new();
    for document in documents {
        let Object { kind, metadata, spec: IgnoredAny } = document.parse()?;
        match kind.as_str() {
            "SLO" => slos.push(*document),
            "SLI" => {
                let sli: Of<SliSpec> = document.parse()?;
                if indicators.insert(sli.metadata.name, sli.spec).is_some() {
                    return Err(document.error("metadata.name", &format!("another SLI is called {:?}", metadata.name)));
                }
            }
            _ => imported.note(document, "kind", &format!("{kind} {} is not needed here and not taken", metadata.name)),
        }
    }
    for document in slos {
        let Of { metadata, spec } = document.parse()?;
        Slo { document, name: &metadata.name, imported }.import(spec, namespace, &indicators)?;
    }
    Ok(())
}

struct Slo<'a> {
    document: &'a Document,
    name: &'a str,
    imported: &'a mut Imported,
}

/// How an objective's share is of time.
struct Slices {
    /// A slice is good from this share of good events on; `None` for the mean of the slices' shares.
    target: Option<f64>,
    /// Length of a slice.
    window: String,
}

impl Slo<'_> {
    fn fail<T>(&self, field: &str, message: &str) -> Result<T, DocumentError> {
        Err(self.document.error(field, message))
    }

    fn note(&mut self, field: &str, text: &str) {
        self.imported.note(self.document, field, text);
    }

    fn import(
        &mut self,
        spec: SloSpec,
        namespace: &str,
        indicators: &BTreeMap<String, SliSpec>,
    ) -> Result<(), DocumentError> {
        let (field, sli) = match (spec.indicator, &spec.indicator_ref) {
            (Some(inline), None) => ("spec.indicator.spec", inline.spec),
            (None, Some(name)) => match indicators.get(name) {
                Some(sli) => ("spec.indicatorRef", sli.clone()),
                None => return self.fail("spec.indicatorRef", &format!("there is no SLI {name:?} in these files")),
            },
            _ => return self.fail("spec", "expected exactly one of indicator and indicatorRef"),
        };
        if spec.alert_policies.is_some() {
            self.note("spec.alertPolicies", "alerts are those of `plimsoll slo rules`; these are not taken");
        }
        let window = self.window(&spec.time_window)?;
        if spec.objectives.is_empty() {
            return self.fail("spec.objectives", "expected at least one objective");
        }
        let several = spec.objectives.len() > 1;
        for (index, objective) in spec.objectives.into_iter().enumerate() {
            let place = format!("spec.objectives[{index}]");
            let is_composite = objective.composite_weight.is_some();
            if is_composite || objective.indicator.is_some() || objective.indicator_ref.is_some() {
                return self.fail(&place, "composite SLOs have no equal; write one SLO for each indicator");
            }
            if objective.display_name.is_some() && several {
                self.note(&format!("{place}.displayName"), "objectives of one SLO are told apart by their number");
            }
            let target = self.target(&place, &objective)?;
            let slices = self.slices(&place, spec.budgeting_method.as_deref(), &objective)?;
            let indicator = self.indicator(field, &place, &sli, &objective, slices.as_ref())?;
            let name = if several { format!("{}-{}", self.name, index + 1) } else { self.name.to_owned() };
            let subject = Subject::Service { namespace: namespace.to_owned(), name: spec.service.clone() };
            self.imported.objectives.push(Objective { name, subject, target, window, indicator, packing: false });
        }
        Ok(())
    }

    fn window(&mut self, windows: &[TimeWindow]) -> Result<Duration, DocumentError> {
        let [window] = windows else {
            return self.fail("spec.timeWindow", &format!("found {} windows, expected one", windows.len()));
        };
        let field = "spec.timeWindow[0].duration";
        // OpenSLO's M, Q and Y are calendar units; what is longer than a week varies with the calendar.
        let days = |count: &str, days: u64| count.parse().ok().and_then(|count: u64| count.checked_mul(days));
        let (count, unit) = window.duration.split_at(window.duration.len() - usize::from(!window.duration.is_empty()));
        let named = match unit {
            "M" => days(count, 30),
            "Q" => days(count, 90),
            "Y" => days(count, 365),
            _ => None,
        };
        let length = match named {
            Some(days) => Duration::from_secs(days.saturating_mul(86_400)),
            None => {
                duration::parse(&window.duration).map_err(|error| self.document.error(field, &error.to_string()))?
            }
        };
        if !(BUDGET_WINDOW_MIN..=BUDGET_WINDOW_MAX).contains(&length) {
            let (least, most) = (duration::Display(BUDGET_WINDOW_MIN), duration::Display(BUDGET_WINDOW_MAX));
            return self.fail(field, &format!("found {}, expected {least} to {most}", window.duration));
        }
        if !window.is_rolling || window.calendar.is_some() {
            let text = format!("budgets are of rolling windows here: taken as the last {}", duration::Display(length));
            self.note("spec.timeWindow[0]", &text);
        }
        Ok(length)
    }

    fn target(&self, place: &str, objective: &RawObjective) -> Result<Target, DocumentError> {
        let (field, share) = match (objective.target, objective.target_percent) {
            (Some(share), None) => ("target", share),
            (None, Some(percent)) => ("targetPercent", percent / 100.0),
            _ => return self.fail(place, "expected exactly one of target and targetPercent"),
        };
        Target::from_share(share).map_or_else(
            || self.fail(&format!("{place}.{field}"), "expected more than nothing and less than everything"),
            Ok,
        )
    }

    fn slices(
        &mut self,
        place: &str,
        method: Option<&str>,
        objective: &RawObjective,
    ) -> Result<Option<Slices>, DocumentError> {
        let window = || match &objective.time_slice_window {
            Some(text) => duration::parse(text)
                .map(|window| duration::Display(window).to_string())
                .map_err(|error| self.document.error(&format!("{place}.timeSliceWindow"), &error.to_string())),
            None => self.fail(&format!("{place}.timeSliceWindow"), "expected the length of a slice, such as 1m"),
        };
        match method {
            Some("Occurrences") => Ok(None),
            None => {
                self.note("spec.budgetingMethod", "not written: taken as Occurrences");
                Ok(None)
            }
            Some("Timeslices") => match objective.time_slice_target {
                Some(share) if share > 0.0 && share <= 1.0 => {
                    Ok(Some(Slices { target: Some(share), window: window()? }))
                }
                _ => self.fail(&format!("{place}.timeSliceTarget"), "expected a share above 0 and up to 1"),
            },
            Some("RatioTimeslices") => Ok(Some(Slices { target: None, window: window()? })),
            Some(other) => self.fail(
                "spec.budgetingMethod",
                &format!("found {other:?}, expected Occurrences, Timeslices or RatioTimeslices"),
            ),
        }
    }

    fn indicator(
        &mut self,
        field: &str,
        place: &str,
        sli: &SliSpec,
        objective: &RawObjective,
        slices: Option<&Slices>,
    ) -> Result<Indicator, DocumentError> {
        match (&sli.ratio_metric, &sli.threshold_metric) {
            (Some(ratio), None) => self.ratio(&format!("{field}.ratioMetric"), ratio, slices),
            (None, Some(source)) => {
                let query = self.query(&format!("{field}.thresholdMetric"), source)?;
                let holds = self.comparison(place, objective)?;
                let step = slices.map_or(SLICE_DEFAULT, |slices| slices.window.as_str());
                // A sample each slice: those on which the comparison does not hold are the bad ones.
                let text = format!("1 - avg_over_time((({query}) {holds})[{WINDOW}:{step}])");
                self.share(&format!("{field}.thresholdMetric.metricSource.spec.query"), &text)
            }
            _ => self.fail(field, "expected exactly one of ratioMetric and thresholdMetric"),
        }
    }

    fn comparison(&self, place: &str, objective: &RawObjective) -> Result<String, DocumentError> {
        let Some(value) = objective.value else {
            return self.fail(&format!("{place}.value"), "expected the threshold that the metric is compared with");
        };
        let operator = match objective.op.as_deref() {
            Some("lt") => "<",
            Some("lte") => "<=",
            Some("gt") => ">",
            Some("gte") => ">=",
            _ => return self.fail(&format!("{place}.op"), "expected lt, lte, gt or gte"),
        };
        Ok(format!("{operator} bool {value}"))
    }

    fn ratio(&mut self, field: &str, ratio: &Ratio, slices: Option<&Slices>) -> Result<Indicator, DocumentError> {
        if let Some(raw) = &ratio.raw {
            let place = format!("{field}.raw");
            let query = self.query(&place, raw)?;
            let bad = match ratio.raw_type.as_deref() {
                Some("success") => format!("1 - ({query})"),
                Some("failure") => format!("({query})"),
                _ => return self.fail(&format!("{field}.rawType"), "expected success or failure"),
            };
            let text = if query.contains(WINDOW) {
                bad
            } else {
                let step = slices.map_or(SLICE_DEFAULT, |slices| slices.window.as_str());
                format!("avg_over_time(({bad})[{WINDOW}:{step}])")
            };
            return self.share(&format!("{place}.metricSource.spec.query"), &text);
        }
        let Some(total) = &ratio.total else { return self.fail(field, "expected total with good or bad, or raw") };
        let (name, part) = match (&ratio.good, &ratio.bad) {
            (Some(good), None) => ("good", good),
            (None, Some(bad)) => ("bad", bad),
            _ => return self.fail(field, "expected exactly one of good and bad"),
        };
        let is_bare = |source: &Source| !source.metric_source.spec.values().any(|v| v.to_string().contains("{{"));
        if ratio.counter.is_none() && is_bare(total) {
            self.note(&format!("{field}.counter"), "not written: the metrics are taken for counters");
        }
        let metric = if ratio.counter == Some(false) { Metric::Gauge } else { Metric::Counter };
        let part = self.template(&format!("{field}.{name}"), part, metric)?;
        let total = self.template(&format!("{field}.total"), total, metric)?;
        let Some(slices) = slices else {
            return Ok(match name {
                "good" => Indicator::GoodEvents { good: part, total },
                _ => Indicator::Events { bad: part, total },
            });
        };
        let (part, total) = (part.with(&slices.window), total.with(&slices.window));
        let share = match name {
            "good" => format!("1 - (({part}) or ({total}) * 0) / (({total}) > 0)"),
            _ => format!("(({part}) or ({total}) * 0) / (({total}) > 0)"),
        };
        let of_slice = match slices.target {
            // Rounded, as 1 - 0.95 is 0.050000000000000044.
            Some(target) => format!("({share}) > bool {}", ((1.0 - target) * 1e9).round() / 1e9),
            None => share,
        };
        self.share(field, &format!("avg_over_time(({of_slice})[{WINDOW}:{}])", slices.window))
    }

    fn share(&self, field: &str, text: &str) -> Result<Indicator, DocumentError> {
        let ratio = Template::new(text).map_err(|error| self.document.error(field, &error))?;
        Ok(Indicator::ErrorRatio { ratio })
    }

    fn template(&self, field: &str, source: &Source, metric: Metric) -> Result<Template, DocumentError> {
        let query = self.query(field, source)?;
        let template = if query.contains("{{") { Template::new(&query) } else { Template::over(&query, metric) };
        template.map_err(|error| self.document.error(&format!("{field}.metricSource.spec.query"), &error))
    }

    fn query(&self, field: &str, source: &Source) -> Result<String, DocumentError> {
        let source = &source.metric_source;
        if let Some(kind) = source.kind.as_deref().filter(|kind| !kind.eq_ignore_ascii_case("prometheus")) {
            return self.fail(&format!("{field}.metricSource.type"), &format!("found {kind:?}, expected Prometheus"));
        }
        match source.spec.get("query").or_else(|| source.spec.get("promql")).and_then(serde_json::Value::as_str) {
            Some(query) => Ok(query.trim().to_owned()),
            None => self.fail(&format!("{field}.metricSource.spec.query"), "expected a query in PromQL"),
        }
    }
}

//! Rules, alerts and Alertmanagers, as Prometheus lists them.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use protocol::number::{self, Exponent};
use serde::{Serialize, Serializer};
use serde_json::json;
use sha1::{Digest, Sha1};

use super::Shared;
use super::answer::{ApiError, Json, label_map, success};
use super::params::Params;
use super::status::rfc_3339;
use crate::promql::parse_selector;
use crate::rules::alert::Alert;
use crate::rules::file::{Rule, RuleKind, Texts};
use crate::rules::report::{GroupReport, Health, RuleStatus};
use crate::series::Matcher;

/// What Go writes for no time at all.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// A number as Go writes one: whole ones without a point.
#[derive(Clone, Copy)]
struct Number(f64);

impl From<Duration> for Number {
    fn from(duration: Duration) -> Self {
        Self(duration.as_secs_f64())
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53")]
        if self.0.fract() == 0.0 && self.0.abs() < 9_007_199_254_740_992.0 {
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireGroups {
    groups: Vec<WireGroup>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireGroup {
    name: String,
    file: String,
    rules: Vec<WireRule>,
    interval: Number,
    limit: usize,
    evaluation_time: Number,
    last_evaluation: String,
}

#[derive(Serialize)]
#[serde(untagged)]
enum WireRule {
    Alerting(Box<WireAlerting>),
    Recording(Box<WireRecording>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireAlerting {
    state: &'static str,
    name: String,
    query: String,
    duration: Number,
    keep_firing_for: Number,
    labels: Texts,
    annotations: Texts,
    /// As in Prometheus, nothing at all and not none if they were not asked for.
    alerts: Option<Vec<WireAlert>>,
    #[serde(flatten)]
    status: WireStatus,
}

#[derive(Serialize)]
struct WireRecording {
    name: String,
    query: String,
    #[serde(skip_serializing_if = "Texts::is_empty")]
    labels: Texts,
    #[serde(flatten)]
    status: WireStatus,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireStatus {
    health: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    evaluation_time: Number,
    last_evaluation: String,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireAlert {
    labels: Texts,
    annotations: Texts,
    state: &'static str,
    active_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_firing_since: Option<String>,
    value: String,
}

impl From<&Alert> for WireAlert {
    fn from(alert: &Alert) -> Self {
        Self {
            labels: label_map(&alert.labels),
            annotations: alert.annotations.clone(),
            state: alert.state.word(),
            active_at: rfc_3339(alert.active_at_ms),
            keep_firing_since: alert.keep_firing_since_ms.map(rfc_3339),
            value: number::text(alert.value, Exponent::Always),
        }
    }
}

fn time(at_ms: Option<i64>) -> String {
    at_ms.map_or_else(|| NEVER.to_owned(), rfc_3339)
}

/// What is asked for.
struct Filter {
    alerting: bool,
    recording: bool,
    with_alerts: bool,
    rule_names: Vec<String>,
    group_names: Vec<String>,
    files: Vec<String>,
    selectors: Vec<Vec<Matcher>>,
}

impl Filter {
    fn read(params: &Params) -> Result<Self, ApiError> {
        let kind = params.get("type").unwrap_or_default().to_lowercase();
        if !["", "alert", "record"].contains(&&*kind) {
            return Err(ApiError::parameter("type", format!("not supported value {kind:?}")));
        }
        let excluded = match params.get("exclude_alerts").unwrap_or("false").to_lowercase().as_str() {
            "1" | "t" | "true" => true,
            "0" | "f" | "false" => false,
            other => {
                let reason =
                    format!("error converting exclude_alerts: strconv.ParseBool: parsing {other:?}: invalid syntax");
                return Err(ApiError::parameter("exclude_alerts", reason));
            }
        };
        let all = |name: &str| params.all(name).map(str::to_owned).collect();
        let selectors: Result<Vec<_>, _> = params.all("match[]").map(parse_selector).collect();
        Ok(Self {
            alerting: kind != "record",
            recording: kind != "alert",
            with_alerts: !excluded,
            rule_names: all("rule_name[]"),
            group_names: all("rule_group[]"),
            files: all("file[]"),
            selectors: selectors.map_err(|error| ApiError::BadData(error.to_string()))?,
        })
    }

    fn takes_group(&self, report: &GroupReport) -> bool {
        let among = |wanted: &[String], found: &String| wanted.is_empty() || wanted.contains(found);
        among(&self.group_names, &report.group.name) && among(&self.files, &report.group.file)
    }

    fn takes_rule(&self, rule: &Rule) -> bool {
        let is_kind = if matches!(rule.kind, RuleKind::Recording) { self.recording } else { self.alerting };
        let value = |matcher: &Matcher| rule.labels.get(&matcher.name).map_or("", String::as_str);
        let fits = |matchers: &Vec<Matcher>| matchers.iter().all(|matcher| matcher.fits_value(value(matcher)));
        is_kind
            && (self.rule_names.is_empty() || self.rule_names.contains(&rule.name))
            && (self.selectors.is_empty() || self.selectors.iter().any(fits))
    }

    fn group(&self, report: &GroupReport) -> Option<WireGroup> {
        let (group, status) = (&report.group, report.status());
        let rules = group.rules.iter().zip(&status.rules).filter(|(rule, _)| self.takes_rule(rule));
        let rules: Vec<WireRule> = rules.map(|(rule, status)| self.rule(rule, status)).collect();
        (!rules.is_empty()).then(|| WireGroup {
            name: group.name.clone(),
            file: group.file.clone(),
            rules,
            interval: group.interval.into(),
            limit: group.limit,
            evaluation_time: status.took.into(),
            last_evaluation: time(status.at_ms),
        })
    }

    fn rule(&self, rule: &Rule, status: &RuleStatus) -> WireRule {
        let wire_status = |kind| WireStatus {
            health: status.health.word(),
            last_error: if let Health::Bad(reason) = &status.health { Some(reason.clone()) } else { None },
            evaluation_time: status.took.into(),
            last_evaluation: time(status.at_ms),
            kind,
        };
        let (name, query, labels) = (rule.name.clone(), rule.query.clone(), rule.labels.clone());
        match &rule.kind {
            RuleKind::Recording => {
                let status = wire_status("recording");
                WireRule::Recording(Box::new(WireRecording { name, query, labels, status }))
            }
            RuleKind::Alerting { hold, keep_firing, annotations } => WireRule::Alerting(Box::new(WireAlerting {
                state: status.state().word(),
                name,
                query,
                duration: (*hold).into(),
                keep_firing_for: (*keep_firing).into(),
                labels,
                annotations: annotations.clone(),
                alerts: self.with_alerts.then(|| status.alerts.iter().map(WireAlert::from).collect()),
                status: wire_status("alerting"),
            })),
        }
    }
}

/// A page of groups: how many, and where it begins.
struct Page {
    limit: usize,
    token: Option<String>,
}

impl Page {
    fn read(params: &Params) -> Result<Self, ApiError> {
        let token = params.get("group_next_token").map(str::to_owned);
        match params.get("group_limit") {
            None if token.is_some() => {
                let reason = "group_limit needs to be present in order to paginate over the groups";
                Err(ApiError::parameter("group_next_token", reason))
            }
            None => Ok(Self { limit: usize::MAX, token: None }),
            Some(text) => match text.parse::<i32>() {
                Ok(..=0) => Err(ApiError::parameter("group_limit", "group_limit needs to be greater than 0")),
                Ok(limit) => Ok(Self { limit: usize::try_from(limit).unwrap_or(usize::MAX), token }),
                Err(_) => {
                    let reason = format!(
                        "group_limit needs to be a valid number: strconv.ParseInt: parsing {text:?}: invalid syntax"
                    );
                    Err(ApiError::parameter("group_limit", reason))
                }
            },
        }
    }
}

/// Names a group to whoever asks for the next page.
fn token(report: &GroupReport) -> String {
    let digest = Sha1::digest(format!("{};{}", report.group.file, report.group.name));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `/api/v1/rules`
pub(super) async fn rules(State(shared): State<Arc<Shared>>, params: Params) -> Result<Json, ApiError> {
    let (filter, page) = (Filter::read(&params)?, Page::read(&params)?);
    let all = shared.api.rules.groups();
    let first = match &page.token {
        None => 0,
        Some(wanted) => all.iter().position(|report| token(report) == *wanted).ok_or_else(|| {
            let reason = format!("invalid group_next_token '{wanted}'. were rule groups changed?");
            ApiError::parameter("group_next_token", reason)
        })?,
    };
    let mut wire = WireGroups { groups: Vec::new(), group_next_token: None };
    for report in all[first..].iter().filter(|report| filter.takes_group(report)) {
        let Some(group) = filter.group(report) else { continue };
        if wire.groups.len() == page.limit {
            wire.group_next_token = Some(token(report));
            break;
        }
        wire.groups.push(group);
    }
    success(wire)
}

/// `/api/v1/alerts`
pub(super) async fn alerts(State(shared): State<Arc<Shared>>) -> Result<Json, ApiError> {
    let groups = shared.api.rules.groups();
    let alerts: Vec<WireAlert> = groups
        .iter()
        .flat_map(|report| report.status().rules)
        .flat_map(|rule| rule.alerts.iter().map(WireAlert::from).collect::<Vec<_>>())
        .collect();
    success(json!({ "alerts": alerts }))
}

/// `/api/v1/alertmanagers`
pub(super) async fn alertmanagers(State(shared): State<Arc<Shared>>) -> Result<Json, ApiError> {
    let known = shared.api.rules.alertmanagers();
    let list = |urls: Vec<String>| urls.into_iter().map(|url| json!({ "url": url })).collect::<Vec<_>>();
    success(json!({ "activeAlertmanagers": list(known.active), "droppedAlertmanagers": list(known.dropped) }))
}

//! A group that is being evaluated: what it remembers between evaluations, and one evaluation. It blocks on the store and the
//! evaluator, so it runs on a thread that may; when it runs is the manager's business.

mod texts;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::texts::{Expander, Templates};
use super::Ruling;
use super::alert::{self, Alert, AlertState, Alerts, Seen, Timing};
use super::file::{Rule, RuleGroup, RuleKind, Texts};
use super::notice::Notice;
use super::outcome::{self, RuleError, alert_labels, alert_samples, for_state_labels, recorded};
use super::report::{GroupReport, Health, RuleStatus};
use crate::promql::{QueryData, QueryError, Stop};
use crate::series::{AppendError, Appended, Ingest, Labels, METRIC_NAME, Matcher, Point, Sample, Unmetered, stale_nan};

/// A group and what it remembers.
pub(super) struct Group {
    spec: Arc<RuleGroup>,
    external_labels: Arc<Texts>,
    rules: Vec<RuleState>,
    /// Series of rules that are gone from the group, to be marked as gone with the next evaluation.
    leftover: Vec<Labels>,
    report: Arc<GroupReport>,
}

/// What is remembered of a rule.
#[derive(Default)]
struct RuleState {
    alerts: Alerts,
    /// Series of the last evaluation.
    returned: HashSet<Labels>,
    templates: Templates,
    /// Whether what was pending before a restart has been looked for. Until then the series about alerts are not written,
    /// because that would hide what is looked for.
    is_restored: bool,
}

impl Group {
    /// A group that remembers nothing. Its alerts are restored later if the collector has just started.
    pub fn new(spec: Arc<RuleGroup>, external_labels: Arc<Texts>, needs_restore: bool) -> Self {
        let rules = spec.rules.iter().map(|rule| RuleState {
            templates: Templates::of(rule),
            is_restored: !needs_restore,
            ..RuleState::default()
        });
        let rules = rules.collect();
        let report = Arc::new(GroupReport::new(spec.clone()));
        Self { spec, external_labels, rules, leftover: Vec::new(), report }
    }

    pub fn report(&self) -> Arc<GroupReport> {
        self.report.clone()
    }

    pub fn spec(&self) -> &RuleGroup {
        &self.spec
    }

    pub fn needs_restore(&self) -> bool {
        self.rules.iter().any(|rule| !rule.is_restored)
    }

    /// Goes on where another version of the group has stopped. Rules are the same if name and labels are; of several, the
    /// first is the first.
    pub fn go_on_from(&mut self, before: Self) {
        let mut known: HashMap<(&str, &Texts), VecDeque<usize>> = HashMap::new();
        for (i, rule) in before.spec.rules.iter().enumerate() {
            known.entry((&rule.name, &rule.labels)).or_default().push_back(i);
        }
        let mut states: Vec<Option<RuleState>> = before.rules.into_iter().map(Some).collect();
        let status = before.report.status();
        let mut alerts: Vec<Arc<Vec<Alert>>> = vec![Arc::default(); self.rules.len()];
        for ((rule, state), alerts) in self.spec.rules.iter().zip(&mut self.rules).zip(&mut alerts) {
            let Some(i) = known.get_mut(&(&*rule.name, &rule.labels)).and_then(VecDeque::pop_front) else { continue };
            if let Some(old) = states[i].take() {
                let templates = std::mem::take(&mut state.templates);
                *state = RuleState { templates, ..old };
                alerts.clone_from(&status.rules[i].alerts);
            }
        }
        self.leftover = before.leftover;
        self.leftover.extend(states.into_iter().flatten().flat_map(|state| state.returned));
        self.report.update(|own| {
            // What fires goes on being shown until the next evaluation.
            own.rules.iter_mut().zip(alerts).for_each(|(rule, alerts)| rule.alerts = alerts);
            (own.took, own.at_ms) = (status.took, status.at_ms);
            (own.iterations, own.missed) = (status.iterations, status.missed);
            (own.evaluations, own.failures) = (status.evaluations, status.failures);
        });
    }

    /// Evaluates every rule, in order.
    pub fn evaluate(&mut self, slot_ms: i64, missed: i64, ruling: &Ruling, stop: &Stop) {
        let (began, at_ms) = (Instant::now(), ruling.clock.now_ms());
        let missed = u64::try_from(missed).unwrap_or(0);
        self.report.update(|status| {
            status.iterations += missed + 1;
            status.missed += missed;
        });
        let mut samples = 0;
        for i in 0..self.rules.len() {
            if stop.check() == Err(QueryError::Cancelled) {
                return;
            }
            samples += self.evaluate_rule(i, slot_ms, ruling, stop);
        }
        self.end_leftover(slot_ms, ruling);
        let took = began.elapsed();
        ruling.report.group_durations.observe(took.as_secs_f64());
        self.report.update(|status| (status.took, status.at_ms, status.samples) = (took, Some(at_ms), samples));
    }

    fn evaluate_rule(&mut self, i: usize, slot_ms: i64, ruling: &Ruling, stop: &Stop) -> usize {
        let (began, at_ms) = (Instant::now(), ruling.clock.now_ms());
        let spec = self.spec.clone();
        let rule = &spec.rules[i];
        let mut stored = 0;
        let result = self.outcome(i, slot_ms, ruling, stop).and_then(|samples| {
            stored = samples.len();
            if matches!(rule.kind, RuleKind::Alerting { .. }) {
                self.notify(i, slot_ms, ruling);
            }
            self.store(i, samples, slot_ms, ruling)
        });
        if result == Err(RuleError::Query(QueryError::Cancelled)) {
            return 0;
        }
        let took = began.elapsed();
        ruling.report.rule_durations.observe(took.as_secs_f64());
        let health = match result {
            Ok(()) => Health::Good,
            Err(error) => Health::Bad(error.to_string()),
        };
        let active = self.rules[i].alerts.values().filter(|alert| alert.state != AlertState::Inactive);
        let alerts = Arc::new(active.cloned().collect());
        self.report.update(|status| {
            say_change(&spec, rule, &status.rules[i].health, &health);
            status.evaluations += 1;
            status.failures += u64::from(health != Health::Good);
            status.rules[i] = RuleStatus { health, took, at_ms: Some(at_ms), alerts };
        });
        stored
    }

    /// What the rule gives now; its alerts have moved on then.
    fn outcome(
        &mut self,
        i: usize,
        slot_ms: i64,
        ruling: &Ruling,
        stop: &Stop,
    ) -> Result<Vec<(Labels, Point)>, RuleError> {
        let spec = self.spec.clone();
        let (rule, state) = (&spec.rules[i], &mut self.rules[i]);
        let sample_ms = slot_ms.saturating_sub(millis(spec.query_offset));
        let result = vector(ruling, &rule.query, sample_ms, stop)?;
        let RuleKind::Alerting { hold, keep_firing, .. } = &rule.kind else {
            return recorded(rule, result, spec.limit);
        };
        let expander = Expander::new(ruling, &self.external_labels, slot_ms, stop);
        let seen: Vec<Seen> = result
            .into_iter()
            .map(|(labels, point)| {
                let (rule_labels, annotations) = state.templates.expand(&labels, &point, &expander);
                let value = if let Point::Float(sample) = point { sample.value } else { 0.0 };
                Seen { labels: alert_labels(&labels, &rule_labels, &rule.name), annotations, value }
            })
            .collect();
        // A template whose query was cancelled says so, and its label would make another alert of the same series.
        if stop.check() == Err(QueryError::Cancelled) {
            return Err(QueryError::Cancelled.into());
        }
        let timing = Timing { hold_ms: millis(*hold), keep_firing_ms: millis(*keep_firing) };
        alert::advance(&mut state.alerts, seen, timing, slot_ms).map_err(|_| RuleError::SameLabels("alert"))?;
        let found = alert::active(&state.alerts);
        if spec.limit > 0 && found > spec.limit {
            state.alerts.clear();
            return Err(RuleError::Limit { limit: spec.limit, found, of: "alerts" });
        }
        Ok(if state.is_restored { alert_samples(rule, &state.alerts, sample_ms) } else { Vec::new() })
    }

    fn notify(&mut self, i: usize, slot_ms: i64, ruling: &Ruling) {
        let (interval_ms, resend_ms) = (millis(self.spec.interval), millis(ruling.options.resend_delay));
        let due = alert::take_due(&mut self.rules[i].alerts, slot_ms, resend_ms, interval_ms);
        if !due.is_empty() {
            let query = &self.spec.rules[i].query;
            ruling.sink.send(due.into_iter().map(|alert| Notice::of(alert, query, &ruling.external_url)).collect());
        }
    }

    /// Appends what the rule gave, and marks as gone what it gave before and does not now.
    fn store(
        &mut self,
        i: usize,
        samples: Vec<(Labels, Point)>,
        slot_ms: i64,
        ruling: &Ruling,
    ) -> Result<(), RuleError> {
        let returned: HashSet<Labels> = samples.iter().map(|(labels, _)| labels.clone()).collect();
        let appended = append(samples, &*ruling.store).map_err(|error| RuleError::Store(error.to_string()))?;
        let before = std::mem::replace(&mut self.rules[i].returned, returned);
        let gone: Vec<Labels> = before.into_iter().filter(|labels| !self.rules[i].returned.contains(labels)).collect();
        end(&gone, slot_ms.saturating_sub(millis(self.spec.query_offset)), ruling)?;
        if appended.out_of_order > 0 {
            return Err(RuleError::Store("out of order sample".to_owned()));
        }
        if appended.duplicate > 0 {
            return Err(RuleError::Store("duplicate sample for timestamp".to_owned()));
        }
        if appended.too_old > 0 {
            return Err(RuleError::Store("too old sample".to_owned()));
        }
        Ok(())
    }

    fn end_leftover(&mut self, slot_ms: i64, ruling: &Ruling) {
        let at_ms = slot_ms.saturating_sub(millis(self.spec.query_offset));
        if end(&self.leftover, at_ms, ruling).is_ok() {
            self.leftover.clear();
        }
    }

    /// Marks all its series as gone, once the group is.
    pub fn end_all(mut self, slot_ms: i64, ruling: &Ruling) {
        let rules = std::mem::take(&mut self.rules);
        self.leftover.extend(rules.into_iter().flat_map(|rule| rule.returned));
        self.end_leftover(slot_ms, ruling);
    }

    /// Lets alerts that were pending before a restart go on where they were.
    pub fn restore(&mut self, now_ms: i64, ruling: &Ruling) {
        let began = Instant::now();
        let spec = self.spec.clone();
        for (rule, state) in spec.rules.iter().zip(&mut self.rules) {
            if !state.is_restored {
                restore_rule(rule, &mut state.alerts, now_ms, ruling);
                state.is_restored = true;
            }
        }
        let took = began.elapsed();
        self.report.update(|status| status.restore_took = took);
    }
}

/// A query's result as a rule takes it.
fn vector(ruling: &Ruling, query: &str, at_ms: i64, stop: &Stop) -> Result<Vec<(Labels, Point)>, RuleError> {
    let stop = stop.within(ruling.engine.options().timeout);
    match ruling.engine.instant_until(&*ruling.queryable, query, at_ms, &stop)?.data {
        QueryData::Vector(samples) => Ok(samples.into_iter().map(|one| (one.labels, one.point)).collect()),
        QueryData::Scalar(sample) => Ok(vec![(Labels::default(), Point::Float(sample))]),
        QueryData::Text { .. } | QueryData::Matrix(_) => Err(RuleError::NotAVector),
    }
}

/// How often samples are offered to a store whose retention removes their series meanwhile.
const OFFERS_MAX: usize = 3;

/// Appends samples of both kinds.
fn append(samples: Vec<(Labels, Point)>, store: &dyn Ingest) -> Result<Appended, AppendError> {
    let (mut floats, mut histograms) = (Vec::new(), Vec::new());
    for (labels, point) in samples {
        match point {
            Point::Float(sample) => floats.push((labels, sample)),
            Point::Histogram(sample) => histograms.push((labels, sample)),
        }
    }
    let mut appended = if floats.is_empty() { Appended::default() } else { store.append(&floats)? };
    for _ in 0..OFFERS_MAX {
        if histograms.is_empty() {
            break;
        }
        let (batch, mut gone): (Vec<_>, Vec<usize>) =
            (histograms.iter().map(|(labels, sample)| (store.resolve(labels), sample.clone())).collect(), Vec::new());
        let also = store.append_histograms(&batch, &mut gone)?;
        appended.out_of_order += also.out_of_order;
        appended.duplicate += also.duplicate;
        appended.too_old += also.too_old;
        histograms = gone.into_iter().filter_map(|i| histograms.get(i).cloned()).collect();
    }
    Ok(appended)
}

/// Marks series as gone, but those that somebody else goes on writing: a store that takes late samples would put the marker
/// between theirs.
fn end(gone: &[Labels], at_ms: i64, ruling: &Ruling) -> Result<(), RuleError> {
    let marker = Sample { timestamp_ms: at_ms, value: stale_nan() };
    let ended = gone.iter().filter(|labels| !is_written_since(labels, at_ms, ruling));
    let markers: Vec<(Labels, Sample)> = ended.map(|labels| (labels.clone(), marker)).collect();
    if markers.is_empty() {
        return Ok(());
    }
    ruling.store.append(&markers).map(|_| ()).map_err(|error| RuleError::Store(error.to_string()))
}

fn is_written_since(labels: &Labels, at_ms: i64, ruling: &Ruling) -> bool {
    let matchers: Vec<Matcher> = labels.iter().map(|(name, value)| Matcher::equal(name, value)).collect();
    let found = ruling.queryable.latest(&matchers, at_ms, i64::MAX, &Unmetered);
    // What cannot be read is marked: the store refuses a marker that comes too late.
    found.is_ok_and(|found| found.iter().any(|(known, _)| known == labels))
}

fn restore_rule(rule: &Rule, alerts: &mut Alerts, now_ms: i64, ruling: &Ruling) {
    let RuleKind::Alerting { hold, .. } = &rule.kind else { return };
    let options = &ruling.options;
    // As in Prometheus: what waits less than the grace fires sooner without.
    if *hold < options.for_grace_period {
        return;
    }
    let mut matchers =
        vec![Matcher::equal(METRIC_NAME, outcome::ALERTS_FOR_STATE), Matcher::equal(super::ALERT_NAME, &rule.name)];
    // A label's template is stored filled in.
    let plain = rule.labels.iter().filter(|(_, text)| super::template::is_plain(text));
    matchers.extend(plain.map(|(name, text)| Matcher::equal(name, text)));
    let start_ms = now_ms.saturating_sub(millis(options.for_outage_tolerance));
    let found = match ruling.queryable.latest(&matchers, start_ms, now_ms, &Unmetered) {
        Ok(found) => found,
        Err(error) => {
            tracing::error!(alert = rule.name, %error, "what was pending before the restart cannot be read");
            return;
        }
    };
    let last: HashMap<Labels, Point> = found.into_iter().collect();
    for alert in alerts.values_mut() {
        let Some(Point::Float(sample)) = last.get(&for_state_labels(rule, alert)) else { continue };
        if let Some(active_at_ms) = alert::restored(*sample, millis(*hold), millis(options.for_grace_period), now_ms) {
            alert.active_at_ms = active_at_ms;
        }
    }
}

/// Says when a rule begins to fail and when it ends.
fn say_change(group: &RuleGroup, rule: &Rule, before: &Health, now: &Health) {
    match (before, now) {
        (Health::Bad(_), Health::Good) => {
            tracing::info!(file = group.file, group = group.name, rule = rule.name, "a rule can be evaluated again");
        }
        (Health::Unknown | Health::Good, Health::Bad(reason)) => {
            tracing::warn!(
                file = group.file,
                group = group.name,
                rule = rule.name,
                reason,
                "a rule cannot be evaluated"
            );
        }
        _ => {}
    }
}

/// Whole milliseconds; what does not fit is as long as can be.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

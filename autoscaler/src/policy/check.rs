//! From what people wrote to what is right: ranges, exclusive fields, names, PromQL. Each check names its field. Formulas and
//! schedules are in `check/composite`.

mod budgets;
mod composite;
mod resources;

use std::time::Duration;

use cluster::WorkloadRef;
use protocol::quantity::Quantity;
use protocol::scaling::{Mode, ObjectName};
use protocol::yaml::{Document, DocumentError};

use super::raw::{
    RawBacklog, RawBehavior, RawFallback, RawObjective, RawPolicy, RawQuery, RawRateKind, RawResource, RawRules,
    RawSelect, RawSignal, RawSizing, RawSpec, RawUtilization,
};
use super::{
    Aim, Behavior, Bounds, CPU_PERCENT_DEFAULT, Change, Fallback, LatencyObjective, MAX_AGE_DEFAULT, Objective, Policy,
    QueryTarget, RatePolicy, Resource, ScalingRules, Select, Signal, Sizing, UTILIZATION_MAX_DEFAULT,
    VARIABILITY_DEFAULT,
};

pub(super) use budgets::{AMOUNT_MAX, BUDGETS_MAX};
pub(super) use composite::{QUERIES_MAX, QUERY_NAME_MAX, ZONE_DEFAULT};

/// The only version there is.
const API_VERSION: &str = "plimsoll.dev/v1alpha1";

/// The only kind there is.
const KIND: &str = "ScalingPolicy";

/// More replicas than any workload of a cluster of 5,000 nodes (Kubernetes' own limit is 150,000 pods).
const REPLICAS_MAX: u32 = 150_000;

/// HPA v2's limit of `stabilizationWindowSeconds`.
const WINDOW_SECONDS_MAX: u32 = 3600;

/// HPA v2's limit of `periodSeconds`.
const PERIOD_SECONDS_MAX: u32 = 1800;

/// More signals than anybody can reason about; the API server weighs its rules by it.
pub(super) const SIGNALS_MAX: u32 = 16;

/// More rate policies than differ from one another.
pub(super) const RATES_MAX: u32 = 16;

/// Longest name of a signal, in characters; sentences stay readable.
pub(super) const SIGNAL_NAME_MAX: u32 = 128;

/// Longest name of a service, in characters; the collector's own limit of 256 bytes.
pub(super) const SERVICE_MAX: u32 = 256;

/// The kinds of signal, as people are told of them.
const KINDS: &str = "utilization, query, expression, demand, upstream, backlog or schedule";

/// A name made from a query is cut here; sentences stay readable.
const NAME_FROM_QUERY_MAX: usize = 48;

/// A smaller share of requests is no promise.
pub(super) const QUANTILE_MIN: f64 = 0.01;

/// Nobody sees enough requests in a minute to know more.
pub(super) const QUANTILE_MAX: f64 = 0.9999;

/// More requests at once than one process works on.
pub(super) const WORKERS_MAX: u32 = 10_000;

/// Reads and checks one document.
pub fn check(document: &Document) -> Result<Policy, DocumentError> {
    let raw: RawPolicy = document.parse()?;
    let check = Check { document };
    document.is_kind((&raw.api_version, &raw.kind), (API_VERSION, KIND))?;
    check.name("metadata.name", &raw.metadata.name)?;
    let namespace = raw.metadata.namespace.unwrap_or_else(|| "default".to_owned());
    check.name("metadata.namespace", &namespace)?;
    check.policy(ObjectName { namespace, name: raw.metadata.name }, raw.spec)
}

struct Check<'a> {
    document: &'a Document,
}

impl Check<'_> {
    fn fail<T>(&self, field: &str, message: &str) -> Result<T, DocumentError> {
        Err(self.document.error(field, message))
    }

    fn within(&self, field: &str, value: u32, least: u32, most: u32) -> Result<i32, DocumentError> {
        match i32::try_from(value) {
            Ok(number) if (least..=most).contains(&value) => Ok(number),
            _ => self.fail(field, &format!("found {value}, expected {least} to {most}")),
        }
    }

    fn at_most(&self, field: &str, found: usize, most: u32, what: &str) -> Result<(), DocumentError> {
        if usize::try_from(most).is_ok_and(|most| found > most) {
            return self.fail(field, &format!("found {found} {what}, expected at most {most}"));
        }
        Ok(())
    }

    fn name(&self, field: &str, name: &str) -> Result<(), DocumentError> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        if name.is_empty() || name.len() > 253 || !name.chars().all(allowed) {
            return self.fail(field, &format!("found {name:?}, expected a name of a-z, 0-9, - and ."));
        }
        Ok(())
    }

    fn policy(&self, name: ObjectName, spec: RawSpec) -> Result<Policy, DocumentError> {
        self.name("spec.target.name", &spec.target.name)?;
        let service = match spec.target.service {
            Some(service) if service.trim().is_empty() => return self.fail("spec.target.service", "is empty"),
            Some(service) => service,
            None => spec.target.name.clone(),
        };
        self.at_most("spec.target.service", service.chars().count(), SERVICE_MAX, "characters")?;
        let objective = spec.objective.map(|o| self.objective(&o)).transpose()?.unwrap_or_default();
        let target = WorkloadRef { kind: spec.target.kind, namespace: name.namespace.clone(), name: spec.target.name };
        let max = self.within("spec.replicas.max", spec.replicas.max, 1, REPLICAS_MAX)?;
        let min = self.within("spec.replicas.min", spec.replicas.min.unwrap_or(1), 1, REPLICAS_MAX)?;
        if min > max {
            return self.fail("spec.replicas", &format!("min {min} is above max {max}: lower min or raise max"));
        }
        let signals = self.signals(spec.signals, objective)?;
        self.schedules_within(&signals, max)?;
        let resources = spec.resources.map(|raw| self.resources(raw, &signals)).transpose()?;
        Ok(Policy {
            name,
            target,
            service,
            objective,
            mode: spec.mode.unwrap_or(Mode::Auto),
            bounds: Bounds { min, max },
            signals,
            behavior: spec.behavior.map(|b| self.behavior(b)).transpose()?,
            budgets: self.budgets(spec.budgets.unwrap_or_default(), min)?,
            fallback: spec.fallback.as_ref().map(|f| self.fallback(f, max)).transpose()?,
            resources,
        })
    }

    fn objective(&self, raw: &RawObjective) -> Result<Objective, DocumentError> {
        let latency = match &raw.latency {
            None => None,
            Some(raw) => {
                let (quantile, below) = (raw.quantile.0, raw.below);
                if !(QUANTILE_MIN..=QUANTILE_MAX).contains(&quantile) {
                    let message = format!("found {quantile}, expected {QUANTILE_MIN} to {QUANTILE_MAX}, such as 0.99");
                    return self.fail("spec.objective.latency.quantile", &message);
                }
                if below.is_zero() {
                    return self.fail("spec.objective.latency.below", "found 0s, expected more");
                }
                Some(LatencyObjective { quantile, below })
            }
        };
        match raw.availability.map(|a| a.0) {
            Some(share) if !(share > 0.0 && share < 1.0) => {
                let message = format!("found {}%, expected between 0% and 100%, such as 99.9%", share * 100.0);
                self.fail("spec.objective.availability", &message)
            }
            availability => Ok(Objective { latency, availability }),
        }
    }

    fn signals(&self, written: Option<Vec<RawSignal>>, objective: Objective) -> Result<Vec<Signal>, DocumentError> {
        let Some(written) = written else {
            let aim = Aim::Utilization { resource: Resource::Cpu, container: None, percent: CPU_PERCENT_DEFAULT };
            return Ok(vec![Signal { name: "cpu utilization".to_owned(), max_age: MAX_AGE_DEFAULT, aim }]);
        };
        if written.is_empty() {
            return self
                .fail("spec.signals", "expected at least one signal, or no `signals` for HPA's default of cpu 80%");
        }
        self.at_most("spec.signals", written.len(), SIGNALS_MAX, "signals")?;
        let mut signals: Vec<Signal> = Vec::with_capacity(written.len());
        for (index, raw) in written.into_iter().enumerate() {
            let field = format!("spec.signals[{index}]");
            let signal = self.signal(&field, raw, objective)?;
            if signals.iter().any(|s| s.name == signal.name) {
                let message =
                    format!("another signal is called {:?} already: give one of them a name of its own", signal.name);
                return self.fail(&field, &message);
            }
            signals.push(signal);
        }
        Ok(signals)
    }

    fn signal(&self, field: &str, raw: RawSignal, objective: Objective) -> Result<Signal, DocumentError> {
        if raw.forecast.is_some() {
            return self.fail(&format!("{field}.forecast"), &format!("not supported yet; expected {KINDS}"));
        }
        let at = |kind: &str| format!("{field}.{kind}");
        let mut found = Vec::new();
        found.extend(raw.utilization.map(|raw| self.utilization(&at("utilization"), raw)));
        found.extend(raw.query.map(|raw| self.query(&at("query"), raw)));
        found.extend(raw.expression.map(|raw| self.expression(&at("expression"), raw)));
        found.extend(raw.demand.map(|raw| self.sized("demand", &at("demand"), &raw, objective, Aim::Demand)));
        found.extend(raw.upstream.map(|raw| self.sized("upstream", &at("upstream"), &raw, objective, Aim::Upstream)));
        found.extend(raw.backlog.map(|raw| self.backlog(&at("backlog"), raw)));
        found.extend(raw.schedule.map(|raw| self.schedule(&at("schedule"), &raw)));
        match found.pop() {
            Some(signal) if found.is_empty() => signal,
            _ => self.fail(field, &format!("expected exactly one of {KINDS}")),
        }
    }

    fn sized(
        &self,
        name: &str,
        field: &str,
        raw: &RawSizing,
        objective: Objective,
        aim: impl Fn(Sizing) -> Aim,
    ) -> Result<Signal, DocumentError> {
        let Some(latency) = objective.latency else {
            let remedy = "objective: {latency: {quantile: 0.99, below: 250ms}}";
            return self.fail(field, &format!("needs spec.objective.latency to be sized by, such as {remedy}"));
        };
        let utilization_max = match raw.utilization_max {
            Some(percent) => f64::from(self.within(&format!("{field}.utilizationMax"), percent.0, 1, 100)?) / 100.0,
            None => UTILIZATION_MAX_DEFAULT,
        };
        if let Some(workers) = raw.workers {
            self.within(&format!("{field}.workers"), workers, 1, WORKERS_MAX)?;
        }
        let variability = raw.variability.map_or(VARIABILITY_DEFAULT, |share| share.0);
        let sizing = Sizing { latency, utilization_max, workers: raw.workers, variability };
        Ok(Signal { name: name.to_owned(), max_age: self.max_age(field, raw.max_age)?, aim: aim(sizing) })
    }

    fn backlog(&self, field: &str, raw: RawBacklog) -> Result<Signal, DocumentError> {
        let selectors = self.selectors(&format!("{field}.promql"), &raw.promql)?;
        let throughput = match raw.throughput {
            Some(promql) => {
                let selectors = self.selectors(&format!("{field}.throughput"), &promql)?;
                Some((promql, selectors))
            }
            None => None,
        };
        if raw.drain_within.is_zero() {
            return self.fail(&format!("{field}.drainWithin"), "found 0s, expected more");
        }
        let name = self.signal_name(field, raw.name, &raw.promql)?;
        let max_age = self.max_age(field, raw.max_age)?;
        let aim = Aim::Backlog { promql: raw.promql, selectors, drain_within: raw.drain_within, throughput };
        Ok(Signal { name, max_age, aim })
    }

    /// The selectors of a query that reads something.
    fn selectors(&self, field: &str, promql: &str) -> Result<Vec<String>, DocumentError> {
        match slo::promql::selectors(promql) {
            Err(reason) => self.fail(field, &format!("not PromQL: {}", reason.trim())),
            Ok(selectors) if selectors.is_empty() => {
                self.fail(field, "reads no metric, expected a query with a selector")
            }
            Ok(selectors) => Ok(selectors),
        }
    }

    /// The name as written, or the start of what the signal is made of.
    fn signal_name(&self, field: &str, written: Option<String>, made_of: &str) -> Result<String, DocumentError> {
        match written {
            Some(name) if name.trim().is_empty() => {
                self.fail(&format!("{field}.name"), "is empty: write a name or leave it out")
            }
            Some(name) => {
                self.at_most(&format!("{field}.name"), name.chars().count(), SIGNAL_NAME_MAX, "characters")?;
                Ok(name)
            }
            None => Ok(made_of.chars().take(NAME_FROM_QUERY_MAX).collect()),
        }
    }

    fn utilization(&self, field: &str, raw: RawUtilization) -> Result<Signal, DocumentError> {
        let percent = self.within(&format!("{field}.target"), raw.target.0, 1, 1000)?;
        let resource = match raw.resource {
            RawResource::Cpu => Resource::Cpu,
            RawResource::Memory => Resource::Memory,
        };
        let name = match &raw.container {
            Some(container) => format!("{resource} utilization of {container}"),
            None => format!("{resource} utilization"),
        };
        let max_age = self.max_age(field, raw.max_age)?;
        Ok(Signal { name, max_age, aim: Aim::Utilization { resource, container: raw.container, percent } })
    }

    fn query(&self, field: &str, raw: RawQuery) -> Result<Signal, DocumentError> {
        let target = self.target(field, raw.per_replica, raw.target)?;
        let selectors = self.selectors(&format!("{field}.promql"), &raw.promql)?;
        let name = self.signal_name(field, raw.name, &raw.promql)?;
        let max_age = self.max_age(field, raw.max_age)?;
        Ok(Signal { name, max_age, aim: Aim::Query { promql: raw.promql, selectors, target } })
    }

    fn target(&self, field: &str, each: Option<Quantity>, all: Option<Quantity>) -> Result<QueryTarget, DocumentError> {
        match (each, all) {
            (Some(value), None) => Ok(QueryTarget::PerReplica(self.positive(&format!("{field}.perReplica"), value)?)),
            (None, Some(value)) => Ok(QueryTarget::Total(self.positive(&format!("{field}.target"), value)?)),
            _ => self.fail(field, "expected exactly one of perReplica or target"),
        }
    }

    fn positive(&self, field: &str, value: Quantity) -> Result<i64, DocumentError> {
        match value.millis() {
            millis if millis > 0 => Ok(millis),
            _ => self.fail(field, &format!("found {value}, expected more than 0")),
        }
    }

    fn max_age(&self, field: &str, written: Option<Duration>) -> Result<Duration, DocumentError> {
        match written {
            Some(Duration::ZERO) => self.fail(&format!("{field}.maxAge"), "found 0s, expected more"),
            Some(age) => Ok(age),
            None => Ok(MAX_AGE_DEFAULT),
        }
    }

    fn behavior(&self, raw: RawBehavior) -> Result<Behavior, DocumentError> {
        let up = self.rules("spec.behavior.scaleUp", raw.scale_up, ScalingRules::up_default())?;
        let down = self.rules("spec.behavior.scaleDown", raw.scale_down, ScalingRules::down_default())?;
        Ok(Behavior { up, down })
    }

    fn rules(
        &self,
        field: &str,
        raw: Option<RawRules>,
        mut rules: ScalingRules,
    ) -> Result<ScalingRules, DocumentError> {
        let Some(raw) = raw else { return Ok(rules) };
        if let Some(seconds) = raw.stabilization_window_seconds {
            self.within(&format!("{field}.stabilizationWindowSeconds"), seconds, 0, WINDOW_SECONDS_MAX)?;
            rules.window = Duration::from_secs(seconds.into());
        }
        if let Some(select) = raw.select_policy {
            rules.select = match select {
                RawSelect::Max => Select::Max,
                RawSelect::Min => Select::Min,
                RawSelect::Disabled => Select::Disabled,
            };
        }
        if let Some(share) = raw.tolerance {
            rules.tolerance = share.0;
        }
        if let Some(policies) = raw.policies {
            if policies.is_empty() {
                return self.fail(&format!("{field}.policies"), "expected at least one policy");
            }
            self.at_most(&format!("{field}.policies"), policies.len(), RATES_MAX, "policies")?;
            rules.policies.clear();
            for (index, rate) in policies.into_iter().enumerate() {
                let field = format!("{field}.policies[{index}]");
                let value = self.within(&format!("{field}.value"), rate.value, 1, REPLICAS_MAX)?;
                self.within(&format!("{field}.periodSeconds"), rate.period_seconds, 1, PERIOD_SECONDS_MAX)?;
                let change = match rate.kind {
                    RawRateKind::Pods => Change::Pods(value),
                    RawRateKind::Percent => Change::Percent(value),
                };
                rules.policies.push(RatePolicy { change, period: Duration::from_secs(rate.period_seconds.into()) });
            }
        }
        Ok(rules)
    }

    fn fallback(&self, raw: &RawFallback, max: i32) -> Result<Fallback, DocumentError> {
        let replicas = self.within("spec.fallback.replicas", raw.replicas, 1, REPLICAS_MAX)?;
        if replicas > max {
            let message = format!("found {replicas}, above spec.replicas.max {max}: lower the one or raise the other");
            return self.fail("spec.fallback.replicas", &message);
        }
        Ok(Fallback { after_missing: raw.after_missing, replicas })
    }
}

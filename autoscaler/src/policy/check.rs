//! From what people wrote to what is right: ranges, exclusive fields, names, PromQL. Each check names its field.

use std::time::Duration;

use cluster::WorkloadRef;
use protocol::quantity::Quantity;
use protocol::scaling::{Mode, ObjectName};
use protocol::yaml::{Document, DocumentError};

use super::raw::{
    RawBehavior, RawFallback, RawPolicy, RawQuery, RawRateKind, RawResource, RawRules, RawSelect, RawSignal, RawSpec,
    RawUtilization,
};
use super::{
    Aim, Behavior, Bounds, CPU_PERCENT_DEFAULT, Change, Fallback, MAX_AGE_DEFAULT, Policy, QueryTarget, RatePolicy,
    Resource, ScalingRules, Select, Signal, promql,
};

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

/// A name made from a query is cut here; sentences stay readable.
const NAME_FROM_QUERY_MAX: usize = 48;

/// Reads and checks one document.
pub fn check(document: &Document) -> Result<Policy, DocumentError> {
    let raw: RawPolicy = document.parse()?;
    let check = Check { document };
    if raw.api_version != API_VERSION {
        return check.fail("apiVersion", &format!("found {:?}, expected {API_VERSION}", raw.api_version));
    }
    if raw.kind != KIND {
        return check.fail("kind", &format!("found {:?}, expected {KIND}", raw.kind));
    }
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
        for (field, written) in
            [("objective", spec.objective), ("resources", spec.resources), ("budgets", spec.budgets)]
        {
            if written.is_some() {
                return self.fail(&format!("spec.{field}"), "not supported yet");
            }
        }
        self.name("spec.target.name", &spec.target.name)?;
        let target = WorkloadRef { kind: spec.target.kind, namespace: name.namespace.clone(), name: spec.target.name };
        let max = self.within("spec.replicas.max", spec.replicas.max, 1, REPLICAS_MAX)?;
        let min = self.within("spec.replicas.min", spec.replicas.min.unwrap_or(1), 1, REPLICAS_MAX)?;
        if min > max {
            return self.fail("spec.replicas", &format!("min {min} is above max {max}"));
        }
        Ok(Policy {
            name,
            target,
            mode: spec.mode.unwrap_or(Mode::Auto),
            bounds: Bounds { min, max },
            signals: self.signals(spec.signals)?,
            behavior: spec.behavior.map(|b| self.behavior(b)).transpose()?,
            fallback: spec.fallback.as_ref().map(|f| self.fallback(f, max)).transpose()?,
        })
    }

    fn signals(&self, written: Option<Vec<RawSignal>>) -> Result<Vec<Signal>, DocumentError> {
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
            let signal = self.signal(&field, raw)?;
            if signals.iter().any(|s| s.name == signal.name) {
                return self.fail(&field, &format!("another signal is called {:?} already", signal.name));
            }
            signals.push(signal);
        }
        Ok(signals)
    }

    fn signal(&self, field: &str, raw: RawSignal) -> Result<Signal, DocumentError> {
        let later = [
            ("demand", raw.demand),
            ("upstream", raw.upstream),
            ("backlog", raw.backlog),
            ("schedule", raw.schedule),
            ("forecast", raw.forecast),
        ];
        for (name, written) in later {
            if written.is_some() {
                return self.fail(&format!("{field}.{name}"), "not supported yet; expected utilization or query");
            }
        }
        match (raw.utilization, raw.query) {
            (Some(raw), None) => self.utilization(&format!("{field}.utilization"), raw),
            (None, Some(raw)) => self.query(&format!("{field}.query"), raw),
            _ => self.fail(field, "expected exactly one of utilization or query"),
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
        let target = match (raw.per_replica, raw.target) {
            (Some(value), None) => QueryTarget::PerReplica(self.positive(&format!("{field}.perReplica"), value)?),
            (None, Some(value)) => QueryTarget::Total(self.positive(&format!("{field}.target"), value)?),
            _ => return self.fail(field, "expected exactly one of perReplica or target"),
        };
        let selectors = match promql::selectors(&raw.promql) {
            Ok(selectors) => selectors,
            Err(reason) => return self.fail(&format!("{field}.promql"), &format!("not PromQL: {}", reason.trim())),
        };
        if selectors.is_empty() {
            return self.fail(&format!("{field}.promql"), "reads no metric, expected a query with a selector");
        }
        let name = match raw.name {
            Some(name) if name.trim().is_empty() => return self.fail(&format!("{field}.name"), "is empty"),
            Some(name) => {
                self.at_most(&format!("{field}.name"), name.chars().count(), SIGNAL_NAME_MAX, "characters")?;
                name
            }
            None => raw.promql.chars().take(NAME_FROM_QUERY_MAX).collect(),
        };
        let max_age = self.max_age(field, raw.max_age)?;
        Ok(Signal { name, max_age, aim: Aim::Query { promql: raw.promql, selectors, target } })
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
            return self.fail("spec.fallback.replicas", &format!("found {replicas}, above spec.replicas.max {max}"));
        }
        Ok(Fallback { after_missing: raw.after_missing, replicas })
    }
}

//! Checks of signals that are made of several things: a formula over queries, a schedule.

use std::time::Duration;

use protocol::yaml::DocumentError;

use super::Check;
use crate::policy::formula::Formula;
use crate::policy::formula::unit::Unit;
use crate::policy::raw::{RawExpression, RawNamedQuery, RawSchedule};
use crate::policy::schedule::{FOR_MAX, Schedule, ScheduleError};
use crate::policy::{Aim, MAX_AGE_DEFAULT, NamedQuery, Signal};

/// More queries than fit into a formula that anybody reads.
pub(in crate::policy) const QUERIES_MAX: u32 = 8;

/// Longest name of a query, in bytes; formulas stay readable.
pub(in crate::policy) const QUERY_NAME_MAX: u32 = 32;

/// Where nobody says which zone, no clock is put forward or back.
pub(in crate::policy) const ZONE_DEFAULT: &str = "UTC";

impl Check<'_> {
    pub(super) fn expression(&self, field: &str, raw: RawExpression) -> Result<Signal, DocumentError> {
        let target = self.target(field, raw.per_replica, raw.target)?;
        if raw.queries.is_empty() {
            return self
                .fail(&format!("{field}.queries"), "expected at least one query for the formula to compute with");
        }
        self.at_most(&format!("{field}.queries"), raw.queries.len(), QUERIES_MAX, "queries")?;
        let (mut queries, mut inputs) = (Vec::with_capacity(raw.queries.len()), Vec::with_capacity(raw.queries.len()));
        for (index, query) in raw.queries.into_iter().enumerate() {
            let field = format!("{field}.queries[{index}]");
            let unit = self.unit(&field, query.unit.as_deref())?;
            let query = self.named_query(&field, query)?;
            if inputs.iter().any(|(name, _)| *name == query.name) {
                let message = format!("another query is called {} already: give it another name", query.name);
                return self.fail(&format!("{field}.name"), &message);
            }
            inputs.push((query.name.clone(), unit));
            queries.push(query);
        }
        let unit = self.unit(field, raw.unit.as_deref())?;
        let formula = match Formula::parse(&raw.formula, &inputs, unit.as_ref()) {
            Ok(formula) => formula,
            Err(error) => return self.fail(&format!("{field}.formula"), &error.to_string()),
        };
        let name = self.signal_name(field, raw.name, &raw.formula)?;
        let max_age = self.max_age(field, raw.max_age)?;
        Ok(Signal { name, max_age, aim: Aim::Expression { formula, queries, target } })
    }

    fn named_query(&self, field: &str, raw: RawNamedQuery) -> Result<NamedQuery, DocumentError> {
        let begins = |c: char| c.is_ascii_alphabetic() || c == '_';
        let goes_on = |c: char| begins(c) || c.is_ascii_digit();
        let is_name = raw.name.starts_with(begins) && raw.name.chars().all(goes_on);
        if !is_name || raw.name.len() > QUERY_NAME_MAX as usize {
            let message = format!(
                "found {:?}, expected at most {QUERY_NAME_MAX} of a-z, A-Z, 0-9 and _, no digit first",
                raw.name
            );
            return self.fail(&format!("{field}.name"), &message);
        }
        let selectors = self.selectors(&format!("{field}.promql"), &raw.promql)?;
        Ok(NamedQuery { name: raw.name, promql: raw.promql, selectors })
    }

    fn unit(&self, field: &str, written: Option<&str>) -> Result<Option<Unit>, DocumentError> {
        let Some(written) = written else { return Ok(None) };
        match Unit::parse(written) {
            Some(unit) => Ok(Some(unit)),
            None => self.fail(
                &format!("{field}.unit"),
                &format!("found {written:?}, expected words with * and / between them, such as requests/s or bytes"),
            ),
        }
    }

    pub(super) fn schedule(&self, field: &str, raw: &RawSchedule) -> Result<Signal, DocumentError> {
        let replicas = self.within(&format!("{field}.replicas"), raw.replicas, 1, super::REPLICAS_MAX)?;
        if raw.lasts == Duration::ZERO || raw.lasts > FOR_MAX {
            let found = protocol::duration::Display(raw.lasts);
            return self
                .fail(&format!("{field}.for"), &format!("found {found}, expected more than 0s and at most 366d"));
        }
        let zone = raw.timezone.as_deref().unwrap_or(ZONE_DEFAULT);
        let schedule = match Schedule::new(&raw.cron, zone, raw.lasts, replicas) {
            Ok(schedule) => schedule,
            Err(error) => {
                let which = if matches!(error, ScheduleError::Zone(_)) { "timezone" } else { "cron" };
                return self.fail(&format!("{field}.{which}"), &error.to_string());
            }
        };
        let name = self.signal_name(field, raw.name.clone(), &format!("schedule {}", raw.cron))?;
        Ok(Signal { name, max_age: MAX_AGE_DEFAULT, aim: Aim::Schedule(schedule) })
    }

    /// A schedule that asks for more than is allowed would be cut without a word each time.
    pub(super) fn schedules_within(&self, signals: &[Signal], max: i32) -> Result<(), DocumentError> {
        for (index, signal) in signals.iter().enumerate() {
            if let Aim::Schedule(schedule) = &signal.aim
                && schedule.replicas() > max
            {
                let field = format!("spec.signals[{index}].schedule.replicas");
                let found = schedule.replicas();
                let message = format!("found {found}, above spec.replicas.max {max}: lower the one or raise the other");
                return self.fail(&field, &message);
            }
        }
        Ok(())
    }
}

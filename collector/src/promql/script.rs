//! Runs test scripts in Prometheus' language (`load`, `eval`, expected series below): the project's own and, through
//! `cargo xtask conformance promql DIR`, Prometheus'. Start at `run`.

mod classic;
mod compare;
mod native;
mod read;
mod values;

use std::sync::Arc;

use promql_parser::parser::Expr;

use super::memory::MemoryStore;
use super::{Engine, QueryData, QueryError, QueryOutput, parse};
use crate::series::{HistogramSample, Labels, Sample, stale_nan};

use classic::Converter;
pub use read::ScriptError;
use read::{Command, Evaluation, Expected, Loaded, When};
use values::Notation;

/// How a script went.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Evaluations that gave what was expected.
    pub passed: usize,
    /// Those that did not.
    pub failures: Vec<Failure>,
    /// Evaluations that touch native histograms.
    pub native: usize,
    /// Those of them that gave what was expected.
    pub native_passed: usize,
}

/// An evaluation that gave something else than expected.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The line of the evaluation, from 1.
    pub line: usize,
    /// The query.
    pub query: String,
    /// What differs.
    pub reason: String,
}

/// Runs a script; `Err` if it cannot be read.
pub fn run(text: &str) -> Result<Report, ScriptError> {
    // Prometheus' scripts expect names to go at the end.
    let mut runner = Runner { engine: Engine::default().drop_names_late(true), ..Runner::default() };
    for command in read::commands(text)? {
        match command {
            Command::Clear => {
                runner.store.clear();
                runner.native.clear();
            }
            Command::Load(loaded) => runner.load(&loaded),
            Command::Evaluate(evaluation) => runner.evaluate(&evaluation),
        }
    }
    Ok(runner.report)
}

#[derive(Default)]
struct Runner {
    engine: Engine,
    store: MemoryStore,
    /// Series that have a native histogram.
    native: Vec<Labels>,
    report: Report,
}

impl Runner {
    fn load(&mut self, loaded: &Loaded) {
        let mut converter = Converter::default();
        for (labels, notations) in &loaded.series {
            let mut timestamp_ms = 0;
            for notation in notations {
                let value = match notation {
                    Notation::Value(value) => Some(*value),
                    Notation::Stale => Some(stale_nan()),
                    Notation::Omitted => None,
                    Notation::Native(native) => {
                        let histogram = Arc::clone(&native.histogram);
                        self.store.add_histogram(labels, HistogramSample { timestamp_ms, histogram });
                        None
                    }
                };
                if let Some(value) = value {
                    let sample = Sample { timestamp_ms, value };
                    self.store.add(labels, sample);
                    if loaded.with_native {
                        converter.see(labels, sample);
                    }
                }
                timestamp_ms += loaded.step_ms;
            }
            if notations.iter().any(|notation| matches!(notation, Notation::Native(_))) {
                self.native.push(labels.clone());
            }
        }
        self.native.extend(converter.store(&mut self.store));
    }

    fn evaluate(&mut self, evaluation: &Evaluation) {
        let native = evaluation.is_native() || parse(&evaluation.query).is_ok_and(|expr| self.touches_native(&expr));
        self.report.native += usize::from(native);
        match self.check(evaluation) {
            Ok(()) => {
                self.report.passed += 1;
                self.report.native_passed += usize::from(native);
            }
            Err(reason) => {
                let query = evaluation.query.clone();
                self.report.failures.push(Failure { line: evaluation.line, query, reason });
            }
        }
    }

    fn touches_native(&self, expr: &Expr) -> bool {
        let selector = match expr {
            Expr::VectorSelector(selector) => Some(selector),
            Expr::MatrixSelector(selector) => Some(&selector.vs),
            _ => None,
        };
        let matchers = selector.and_then(|one| super::parse::matchers(one.name.as_deref(), &one.matchers).ok());
        let selects_native = matchers.is_some_and(|matchers| {
            self.native.iter().any(|labels| matchers.iter().all(|matcher| matcher.fits(labels)))
        });
        selects_native || super::parse::children(expr).into_iter().any(|child| self.touches_native(child))
    }

    fn check(&self, evaluation: &Evaluation) -> Result<(), String> {
        let expected = &evaluation.expected;
        let answer = self.ask(&evaluation.query, evaluation.when);
        if let Some(failure) = &expected.fail {
            return match answer {
                Err(error) => failure.check(&[error.to_string()], "failure"),
                Ok(_) => Err("expected a failure".to_owned()),
            };
        }
        let output = answer.map_err(|error| format!("failed: {error}"))?;
        expected.check_notes(&output.warnings, &output.infos)?;
        compare::check(expected, evaluation.when, &output.data)?;
        self.check_as_range(evaluation, &output)
    }

    fn ask(&self, query: &str, when: When) -> Result<QueryOutput, QueryError> {
        match when {
            When::At(at_ms) => self.engine.instant(&self.store, query, at_ms),
            When::Range { start_ms, end_ms, step_ms } => {
                self.engine.range(&self.store, query, start_ms, end_ms, step_ms)
            }
        }
    }

    /// What holds at one time must hold as one step of many.
    fn check_as_range(&self, evaluation: &Evaluation, output: &QueryOutput) -> Result<(), String> {
        const MINUTE_MS: i64 = 60_000;
        let When::At(at_ms) = evaluation.when else { return Ok(()) };
        let expected = &evaluation.expected;
        let comparable = matches!(output.data, QueryData::Vector(_) | QueryData::Scalar(_));
        if expected.ordered || !comparable || asks_for_span(&evaluation.query) {
            return Ok(());
        }
        let (start_ms, end_ms) = (at_ms - MINUTE_MS, at_ms + MINUTE_MS);
        let steps = self
            .engine
            .range(&self.store, &evaluation.query, start_ms, end_ms, MINUTE_MS)
            .map_err(|error| format!("as a range: failed: {error}"))?;
        let QueryData::Matrix(series) = steps.data else { return Err("as a range: no matrix".to_owned()) };
        compare::check_step(expected, at_ms, &series).map_err(|reason| format!("as a range: {reason}"))
    }
}

/// Whether a query asks for the times that it is evaluated at.
fn asks_for_span(query: &str) -> bool {
    fn asks(expr: &Expr) -> bool {
        let named = |name: &str| matches!(name, "start" | "end" | "step" | "range");
        matches!(expr, Expr::Call(call) if named(call.func.name)) || super::parse::children(expr).into_iter().any(asks)
    }
    parse(query).is_ok_and(|expr| asks(&expr))
}

impl Expected {
    fn check_notes(&self, warnings: &[String], infos: &[String]) -> Result<(), String> {
        for (expected, forbidden, notes, kind) in
            [(&self.warn, self.no_warn, warnings, "warning"), (&self.info, self.no_info, infos, "info")]
        {
            if forbidden && !notes.is_empty() {
                return Err(format!("unexpected {kind}: {}", notes.join("; ")));
            }
            if let Some(expected) = expected {
                expected.check(notes, kind)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

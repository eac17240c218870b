//! The report of a replay: what `--json` writes, whose shape is a promise to scripts, and the table that people read.

use std::fmt::Write;

use serde::Serialize;

use super::Outcome;
use super::score::{Estimate, Score};

/// All contenders over one trace.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The trace's name.
    pub trace: String,
    /// Runs of each contender.
    pub seeds: u32,
    /// Ours first.
    pub contenders: Vec<ContenderReport>,
}

/// One contender, over all its runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ContenderReport {
    /// `plimsoll`, `static`, `hpa` or `keda`.
    pub name: String,
    /// Minutes in which the front door's objective was missed.
    pub slo_missing_minutes: Estimate,
    /// Requested CPU of steered replicas over time.
    pub cpu_hours: Estimate,
    /// Writes of a number of replicas.
    pub changes: Estimate,
    /// 99th percentile of all answered requests.
    pub p99_ms: Estimate,
    /// Mean length of the times in which the objective was missed.
    pub recovery_s: Estimate,
}

impl ContenderReport {
    /// Of the scores of its runs.
    pub(super) fn of(name: &str, scores: &[Score]) -> Self {
        let estimate = |value: fn(&Score) -> f64| Estimate::of(&scores.iter().map(value).collect::<Vec<_>>());
        Self {
            name: name.to_owned(),
            slo_missing_minutes: estimate(|score| score.slo_missing_minutes),
            cpu_hours: estimate(|score| score.cpu_hours),
            changes: estimate(|score| score.changes),
            p99_ms: estimate(|score| score.p99_ms),
            recovery_s: estimate(|score| score.recovery_s),
        }
    }
}

impl Outcome {
    /// A table for people; each figure with its confidence interval where there is one.
    pub fn table(&self) -> String {
        let Report { trace, seeds, contenders } = &self.report;
        let plural = if *seeds == 1 { "" } else { "s" };
        let mut text = format!("{trace}: {:.0} minutes judged, {seeds} seed{plural}\n", self.minutes);
        let _ = writeln!(
            text,
            "{:<10} {:>18} {:>16} {:>14} {:>15} {:>14}  settings",
            "contender", "SLO-missing min", "CPU hours", "changes", "p99 ms", "recovery s"
        );
        for (contender, settings) in contenders.iter().zip(&self.settings) {
            let ContenderReport { name, slo_missing_minutes, cpu_hours, changes, p99_ms, recovery_s } = contender;
            let _ = writeln!(
                text,
                "{name:<10} {:>18} {:>16} {:>14} {:>15} {:>14}  {settings}",
                figure(*slo_missing_minutes, 1),
                figure(*cpu_hours, 2),
                figure(*changes, 1),
                figure(*p99_ms, 0),
                figure(*recovery_s, 0),
            );
        }
        text
    }
}

fn figure(estimate: Estimate, digits: usize) -> String {
    let Estimate { mean, ci95 } = estimate;
    ci95.map_or_else(|| format!("{mean:.digits$}"), |ci95| format!("{mean:.digits$} ± {ci95:.digits$}"))
}

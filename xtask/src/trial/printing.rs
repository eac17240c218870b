//! Targets that print a number of their own at each scrape in all of their lines, and remember when: so each stored sample can
//! be found in what was printed. Start at `Printing`.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use parking_lot::Mutex;

use super::answers::numbered;
use super::ledger::{Found, Verdict};
use crate::subject::Subject;

/// The metric that is printed.
pub const METRIC: &str = "trial_printed";

/// A sample's time lies at the begin of its scrape: at most so long before something was printed. Scrapes time out earlier.
const BEFORE_MS_MAX: i64 = 2_000;

/// Samples are moved onto the schedule, but no further than this, and never past the print.
const ALIGNED_MS_MAX: i64 = 2;

/// Milliseconds since the epoch.
pub fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// What one target has printed.
#[derive(Debug, Clone, Default)]
struct Printed {
    times_ms: Vec<i64>,
    /// Places that may have been lost on their way: nobody came for the next one.
    doubtful: BTreeSet<usize>,
}

/// Targets that listen.
pub struct Printing {
    pub job: &'static str,
    pub address: String,
    pub lines: usize,
    targets: Vec<Mutex<Printed>>,
}

impl Printing {
    /// Serves so many targets for as long as the runtime lives.
    pub async fn listen(job: &'static str, targets: usize, lines: usize) -> anyhow::Result<Arc<Self>> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.context("no port is free")?;
        let address = listener.local_addr()?.to_string();
        let targets = (0..targets).map(|_| Mutex::default()).collect();
        let printing = Arc::new(Self { job, address, lines, targets });
        let routes = Router::new().route("/{target}", get(page)).with_state(Arc::clone(&printing));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(printing)
    }

    /// The job that scrapes them, as a line of `scrape_configs`.
    pub fn scrape_config(&self, interval: &str) -> String {
        let mut text = format!(
            "- job_name: {}\n  scrape_interval: {interval}\n  scrape_timeout: {interval}\n  static_configs:\n",
            self.job
        );
        for target in 0..self.targets.len() {
            let labels = format!("instance: \"{target}\", __metrics_path__: /{target}");
            writeln!(text, "  - {{ targets: [{:?}], labels: {{ {labels} }} }}", self.address)
                .expect("a text takes everything");
        }
        text
    }

    /// Whoever scrapes was stopped: what was printed last may not have arrived.
    pub fn interrupted(&self) {
        for target in &self.targets {
            let mut printed = target.lock();
            if let Some(last) = printed.times_ms.len().checked_sub(1) {
                printed.doubtful.insert(last);
            }
        }
    }

    /// Whoever scrapes could not store anything between two times.
    pub fn doubt(&self, from_ms: i64, until_ms: i64) {
        for target in &self.targets {
            let printed = &mut *target.lock();
            let places = printed.times_ms.iter().enumerate().filter(|(_, time)| (from_ms..=until_ms).contains(*time));
            printed.doubtful.extend(places.map(|(place, _)| place));
        }
    }

    /// How often all have printed.
    pub fn count(&self) -> usize {
        self.targets.iter().map(|target| target.lock().times_ms.len()).sum()
    }

    /// Whether a collector has stored all that was printed until a time, save what may be under way, once each, and nothing else.
    pub async fn verify(&self, subject: &Subject, until_ms: i64) -> anyhow::Result<Verdict> {
        let mut verdict = Verdict::default();
        for (number, target) in self.targets.iter().enumerate() {
            // The last one may not be stored yet; one before it is, as a target is scraped again only after that.
            let certain = {
                let printed = target.lock();
                let until = printed.times_ms.partition_point(|time_ms| *time_ms <= until_ms);
                until.min(printed.times_ms.len().saturating_sub(1))
            };
            let selector = format!("{METRIC}{{job={:?},instance=\"{number}\"}}", self.job);
            let found = numbered(subject, &selector, "line").await?;
            let printed = target.lock().clone();
            verdict += judge(self.lines, &printed, certain, &found);
        }
        Ok(verdict)
    }

    fn print(&self, target: usize) -> Option<String> {
        let target = self.targets.get(target)?;
        let place = {
            let mut printed = target.lock();
            printed.times_ms.push(now_ms());
            printed.times_ms.len() - 1
        };
        let mut text = format!("# TYPE {METRIC} gauge\n");
        for line in 0..self.lines {
            writeln!(text, "{METRIC}{{line=\"{line}\"}} {}", place * self.lines + line)
                .expect("a text takes everything");
        }
        Some(text)
    }
}

async fn page(State(printing): State<Arc<Printing>>, Path(target): Path<usize>) -> Response {
    match printing.print(target) {
        Some(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Compares the samples of a target's lines with what it has printed.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole numbers far below 2^53, or a wrong one"
)]
fn judge(lines: usize, printed: &Printed, certain: usize, found: &[Found]) -> Verdict {
    let must = |place: &usize| !printed.doubtful.contains(place);
    let expected = (0..certain).filter(must).count() * lines;
    let mut verdict = Verdict { expected: expected as u64, ..Verdict::default() };
    let mut seen = vec![vec![false; printed.times_ms.len()]; lines];
    for (line, samples) in found {
        for (time_ms, value) in samples {
            let (place, of_line) = (*value as usize / lines.max(1), *value as usize % lines.max(1));
            let before_ms = printed.times_ms.get(place).map(|printed_ms| printed_ms - time_ms);
            let in_time = before_ms.is_some_and(|before_ms| (-ALIGNED_MS_MAX..=BEFORE_MS_MAX).contains(&before_ms));
            let is_whole = value.fract() == 0.0 && *value >= 0.0;
            let Some(seen) = seen.get_mut(*line).filter(|_| in_time && is_whole && of_line == *line) else {
                verdict.invented += 1;
                verdict.example(|| format!("line {line} has {value} at {time_ms}, which was never printed then"));
                continue;
            };
            if std::mem::replace(&mut seen[place], true) {
                verdict.twice += 1;
                verdict.example(|| format!("line {line} has {value} twice, once at {time_ms}"));
            }
        }
    }
    for (line, seen) in seen.iter().enumerate() {
        for place in (0..certain).filter(must).filter(|place| !seen[*place]) {
            verdict.missing += 1;
            verdict.example(|| format!("line {line} lacks what was printed at {}", printed.times_ms[place]));
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(found: &[Found]) -> (u64, u64, u64, u64) {
        // Five prints; nobody came after the third, as the process was killed.
        let printed = Printed { times_ms: (1..=5).map(|n| n * 10_000).collect(), doubtful: [2].into() };
        let verdict = judge(2, &printed, 4, found);
        (verdict.expected, verdict.missing, verdict.twice, verdict.invented)
    }

    #[test]
    fn what_was_lost_with_the_process_or_is_under_way_may_be_missing() {
        let line = |line: usize, places: &[i64]| -> Found {
            let sample = |place: &i64| ((place + 1) * 10_000 - 3, (place * 2) as f64 + line as f64);
            (line, places.iter().map(sample).collect())
        };
        assert_eq!(judged(&[line(0, &[0, 1, 3]), line(1, &[0, 1, 3])]), (6, 0, 0, 0));
        assert_eq!(judged(&[line(0, &[0, 1, 2, 3, 4]), line(1, &[0, 1, 2, 3, 4])]), (6, 0, 0, 0));
        assert_eq!(judged(&[line(0, &[0, 1, 3]), line(1, &[1, 3])]), (6, 1, 0, 0));
        assert_eq!(judged(&[line(0, &[0, 1, 1, 3]), line(1, &[0, 1, 3])]), (6, 0, 1, 0));
        let wrong = [(10_000, 9.0), (10_001, 0.5), (99_999, 0.0), (5_000, 0.0)].to_vec();
        assert_eq!(judged(&[line(0, &[0, 1, 3]), line(1, &[0, 1, 3]), (0, wrong)]), (6, 0, 0, 4));
        assert_eq!(judged(&[line(0, &[0, 1, 3]), line(1, &[0, 1, 3]), (7, vec![(10_000, 0.0)])]), (6, 0, 0, 1));
    }
}

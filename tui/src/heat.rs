//! Latencies over time: how many requests of a service or an operation took how long, from the buckets of a histogram. Pure; asks
//! nobody and draws nothing. Start at `Heat`.

use crate::feed::reading::quantile;
use crate::picture::ServiceKey;

/// Columns: as many as a narrow screen has.
pub const STEPS: usize = 60;

/// The times that can be shown, each in so many columns, and their words.
pub const WINDOWS: [(u64, &str); 4] = [(300, "5 min"), (900, "15 min"), (3_600, "1 h"), (10_800, "3 h")];

/// Shades of a cell, the empty one left out.
pub const LEVELS: usize = 5;

/// Fewer than this are no request: rates are extrapolated, so that an empty bucket can have a trace of one.
const NONE_BELOW: f64 = 0.05;

/// Where latencies are from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Measured {
    /// The service's own metrics.
    #[default]
    Requests,
    /// Spans, for services that only send those.
    Spans,
}

impl Measured {
    /// The histogram's name.
    pub fn metric(self) -> &'static str {
        match self {
            Self::Requests => "http_server_request_duration_seconds",
            Self::Spans => "traces_spanmetrics_latency",
        }
    }

    /// The labels that tell operations apart.
    pub fn labels(self) -> &'static [&'static str] {
        match self {
            Self::Requests => &["http_request_method", "http_route"],
            Self::Spans => &["span_name"],
        }
    }
}

/// One of a service's operations.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Operation {
    /// The values of the labels that tell it.
    pub values: Vec<String>,
}

impl Operation {
    /// What it is called: `GET /products/{id}`.
    pub fn name(&self) -> String {
        self.values.iter().filter(|value| !value.is_empty()).cloned().collect::<Vec<_>>().join(" ")
    }
}

/// What somebody wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeatWish {
    /// Of which service.
    pub service: ServiceKey,
    /// Of one operation, and where that is from; of all when `None`.
    pub operation: Option<(Measured, Operation)>,
    /// Which of `WINDOWS`.
    pub window: usize,
}

impl HeatWish {
    /// The last minutes of all operations.
    pub fn of(service: ServiceKey) -> Self {
        Self { service, operation: None, window: 0 }
    }

    /// The time shown, in seconds and in words.
    pub fn window(&self) -> (u64, &'static str) {
        WINDOWS[self.window.min(WINDOWS.len() - 1)]
    }

    /// Seconds of a column.
    pub fn step_seconds(&self) -> u64 {
        self.window().0 / STEPS as u64
    }

    /// The same of the operation `by` further in a list, where all of them together stand first.
    #[must_use]
    pub fn turned(&self, measured: Measured, operations: &[Operation], by: isize) -> Self {
        let now = self.operation.as_ref().and_then(|(_, wanted)| operations.iter().position(|one| one == wanted));
        let count = isize::try_from(operations.len() + 1).unwrap_or(1);
        let at = isize::try_from(now.map_or(0, |at| at + 1)).unwrap_or(0);
        let next = usize::try_from((at + by).rem_euclid(count)).unwrap_or(0);
        let operation = next.checked_sub(1).and_then(|at| operations.get(at)).cloned();
        Self { operation: operation.map(|operation| (measured, operation)), ..self.clone() }
    }
}

/// A row of the map.
#[derive(Debug, Clone, PartialEq)]
pub struct Band {
    /// Requests took at most so many seconds; the topmost has no limit.
    pub upper: f64,
    /// Requests in each column.
    pub counts: Vec<f64>,
}

/// Latencies over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Heat {
    /// The wish.
    pub wish: HeatWish,
    /// Where it is from.
    pub measured: Measured,
    /// Seconds since the epoch at the end of the first column.
    pub start_seconds: f64,
    /// Seconds of a column.
    pub step_seconds: f64,
    /// One for each bucket, the fastest first; each counts its own requests only.
    pub bands: Vec<Band>,
    /// The service's operations, by name.
    pub operations: Vec<Operation>,
}

/// Bands of cumulative buckets (upper bound, counts by column), in any order. What should grow and does not, as servers
/// answer while they store, counts as nothing.
pub fn bands(mut buckets: Vec<(f64, Vec<f64>)>) -> Vec<Band> {
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let steps = buckets.iter().map(|(_, counts)| counts.len()).max().unwrap_or(0);
    let mut below = vec![0.0f64; steps];
    let mut bands = Vec::with_capacity(buckets.len());
    for (upper, cumulative) in buckets {
        let counts = below
            .iter_mut()
            .enumerate()
            .map(|(step, below)| {
                let all = cumulative.get(step).copied().filter(|count| count.is_finite()).unwrap_or(0.0).max(*below);
                let own = all - *below;
                *below = all;
                own
            })
            .collect();
        bands.push(Band { upper, counts });
    }
    bands
}

impl Heat {
    /// All requests in it.
    pub fn requests(&self) -> f64 {
        self.bands.iter().flat_map(|band| &band.counts).sum()
    }

    /// The quantile of all of it, in milliseconds.
    pub fn quantile_ms(&self, q: f64) -> Option<f64> {
        let mut all = 0.0;
        let cumulative: Vec<(f64, f64)> = self
            .bands
            .iter()
            .map(|band| {
                all += band.counts.iter().sum::<f64>();
                (band.upper, all)
            })
            .collect();
        quantile(&cumulative, q).map(|seconds| seconds * 1_000.0)
    }

    /// At most so many rows, the slowest first: bands at the ends that have no request are left away, and neighbours are taken
    /// together as far as needed. No request is lost.
    pub fn rows(&self, rows_max: usize) -> Vec<Band> {
        let has_any = |band: &Band| band.counts.iter().any(|count| *count >= NONE_BELOW);
        let Some(first) = self.bands.iter().position(has_any) else { return Vec::new() };
        let last = self.bands.iter().rposition(has_any).unwrap_or(first);
        let mut shown: Vec<Band> = self.bands[first..=last].to_vec();
        for (end, others) in [(0, &self.bands[..first]), (shown.len() - 1, &self.bands[last + 1..])] {
            others.iter().for_each(|band| add(&mut shown[end], band));
        }
        let together = shown.len().div_ceil(rows_max.max(1));
        let merge = |group: &[Band]| {
            let mut merged = group[0].clone();
            for band in &group[1..] {
                add(&mut merged, band);
                merged.upper = band.upper;
            }
            merged
        };
        shown.chunks(together).map(merge).rev().collect()
    }

    /// The most requests in a cell of these rows.
    pub fn most(rows: &[Band]) -> f64 {
        rows.iter().flat_map(|band| &band.counts).copied().fold(0.0, f64::max)
    }
}

fn add(to: &mut Band, other: &Band) {
    to.counts.iter_mut().zip(&other.counts).for_each(|(sum, count)| *sum += count);
}

/// How dark a cell is, 0 to `LEVELS`: by the logarithm, so that a single slow request is seen beside thousands of fast ones.
pub fn level(count: f64, most: f64) -> usize {
    if count.is_nan() || count < NONE_BELOW {
        return 0;
    }
    let share = (1.0 + count).ln() / (1.0 + most.max(count)).ln();
    ((share * LEVELS as f64).ceil() as usize).clamp(1, LEVELS)
}

/// The fewest requests that are so dark.
pub fn least_of(level: usize, most: f64) -> f64 {
    let share = level.saturating_sub(1) as f64 / LEVELS as f64;
    (1.0 + most).powf(share) - 1.0
}

#[cfg(test)]
mod tests;

//! Classic histograms: series with a label `le` and cumulative counts. Quantiles and fractions by linear interpolation inside
//! of buckets, as Prometheus does it.

use std::cmp::Ordering;
use std::collections::HashMap;

use promql_parser::parser::Expr;

use crate::promql::QueryError;
use crate::promql::evaluator::Evaluator;
use crate::promql::numbers::almost_equal;
use crate::promql::range::shown;
use crate::promql::value::{Column, Grid, Series, Value, filtered, with_label};
use crate::series::{Labels, METRIC_NAME};

/// The label that holds a bucket's upper bound.
const BOUND: &str = "le";

/// Counts that differ by less than this share are taken as equal: sums of rates lose digits.
const SMALL_DELTA: f64 = 1e-12;

/// The buckets of one histogram: columns by upper bound, ascending.
struct Histogram<'a> {
    labels: Labels,
    drop_name: bool,
    buckets: Vec<(f64, &'a Column)>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    upper: f64,
    count: f64,
}

/// What is computed of a histogram at each step.
enum Question {
    Quantile(Vec<f64>),
    Fraction { lower: Vec<f64>, upper: Vec<f64> },
}

impl Evaluator<'_> {
    pub(super) fn classic_histogram(
        &mut self,
        node: &Expr,
        name: &str,
        arguments: &[Box<Expr>],
        grid: Grid,
    ) -> Result<Value, QueryError> {
        let (vector_at, questions) = match name {
            "histogram_quantile" => {
                let phis = self.scalar(&arguments[0], grid)?;
                self.check_quantiles(node, 0, &phis);
                (1, vec![(None, Question::Quantile(phis))])
            }
            "histogram_quantiles" => (0, self.quantile_questions(node, arguments, grid)?),
            _ => {
                let (lower, upper) = (self.scalar(&arguments[0], grid)?, self.scalar(&arguments[1], grid)?);
                (2, vec![(None, Question::Fraction { lower, upper })])
            }
        };
        let series = self.vector(&arguments[vector_at], grid)?;
        let place = self.places.argument(node, vector_at);
        let histograms = self.histograms(&series, &place);
        let mut found = Vec::new();
        for (label, question) in &questions {
            for histogram in &histograms {
                self.stop.check()?;
                let column = self.answer(histogram, question, grid, &place);
                if column.is_empty() {
                    continue;
                }
                let labels = match label {
                    Some((name, value)) => with_label(&histogram.labels, name, value),
                    None => histogram.labels.clone(),
                };
                found.push(Series { labels, drop_name: histogram.drop_name, column });
            }
        }
        self.nameless(found)
    }

    #[expect(clippy::type_complexity, reason = "a question with the label that tells it from the others")]
    fn quantile_questions(
        &mut self,
        node: &Expr,
        arguments: &[Box<Expr>],
        grid: Grid,
    ) -> Result<Vec<(Option<(String, String)>, Question)>, QueryError> {
        let label = self.text(&arguments[1])?;
        let mut questions = Vec::new();
        for (index, argument) in arguments.iter().enumerate().skip(2) {
            let phis = self.scalar(argument, grid)?;
            self.check_quantiles(node, index, &phis);
            // A φ that changes over time makes a series for each of its values.
            let mut distinct = phis.clone();
            distinct.sort_by(f64::total_cmp);
            distinct.dedup_by(|a, b| a.to_bits() == b.to_bits());
            for phi in distinct {
                let only = phis.iter().map(|at| if at.to_bits() == phi.to_bits() { phi } else { NOT_ASKED });
                questions.push((Some((label.clone(), open_metrics_float(phi))), Question::Quantile(only.collect())));
            }
        }
        Ok(questions)
    }

    /// Gathers buckets into histograms; what is no bucket is noted and left out.
    fn histograms<'s>(&mut self, series: &'s [Series], place: &str) -> Vec<Histogram<'s>> {
        let mut places: HashMap<Labels, usize> = HashMap::new();
        let mut histograms: Vec<Histogram<'s>> = Vec::new();
        for one in series {
            let bound = one.labels.get(BOUND).unwrap_or_default();
            let Some(upper) = parse_bound(bound) else {
                let name = one.labels.get(METRIC_NAME).unwrap_or_default();
                let text = format!(
                    "bucket label \"le\" is missing or has a malformed value of {bound:?} for metric name {name:?}"
                );
                self.notes.warn(&text, place);
                continue;
            };
            let labels = filtered(&one.labels, |name| name != BOUND);
            let index = *places.entry(labels).or_insert_with_key(|labels| {
                histograms.push(Histogram { labels: labels.clone(), drop_name: false, buckets: Vec::new() });
                histograms.len() - 1
            });
            histograms[index].drop_name |= one.drop_name;
            histograms[index].buckets.push((upper, &one.column));
        }
        for histogram in &mut histograms {
            histogram.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        histograms
    }

    fn answer(&mut self, histogram: &Histogram<'_>, question: &Question, grid: Grid, place: &str) -> Column {
        let mut column = Column::absent(grid.count);
        let mut buckets = Vec::with_capacity(histogram.buckets.len());
        for (step, at_ms) in grid.times().enumerate() {
            collect(&histogram.buckets, step, &mut buckets);
            if buckets.is_empty() {
                continue;
            }
            match question {
                Question::Quantile(phis) if phis[step].to_bits() == NOT_ASKED.to_bits() => {}
                Question::Quantile(phis) => {
                    let (value, repair) = quantile(phis[step], &mut buckets);
                    if let Some(repair) = repair {
                        let name = histogram.labels.get(METRIC_NAME).unwrap_or_default();
                        self.notes.info(&repair.text(name, at_ms), place);
                    }
                    column.set(step, value);
                }
                Question::Fraction { lower, upper } => {
                    column.set(step, fraction(lower[step], upper[step], &buckets));
                }
            }
        }
        column
    }
}

/// A φ at steps that belong to another series.
const NOT_ASKED: f64 = f64::from_bits(crate::series::STALE_NAN_BITS);

/// The buckets that have a sample at a step; equal bounds are added up.
fn collect(columns: &[(f64, &Column)], step: usize, buckets: &mut Vec<Bucket>) {
    buckets.clear();
    for (upper, column) in columns {
        let Some(count) = column.get(step) else { continue };
        match buckets.last_mut() {
            Some(last) if last.upper == *upper => last.count += count,
            _ => buckets.push(Bucket { upper: *upper, count }),
        }
    }
}

/// How counts that fell from one bucket to the next were mended.
struct Repair {
    lowest: f64,
    highest: f64,
    largest: f64,
}

impl Repair {
    fn text(&self, name: &str, at_ms: i64) -> String {
        let named = if name.is_empty() { String::new() } else { format!(", for metric name {name:?}") };
        format!(
            "input to histogram_quantile needed to be fixed for monotonicity (see \
             https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){named} at timestamp {at_ms} ms, \
             from buckets {} to {}, with a max diff of {}",
            shown(self.lowest),
            shown(self.highest),
            shown(self.largest),
        )
    }
}

/// Makes counts rise from bucket to bucket.
fn mend(buckets: &mut [Bucket]) -> Option<Repair> {
    let mut repair: Option<Repair> = None;
    let mut before = buckets.first()?.count;
    for bucket in &mut buckets[1..] {
        if almost_equal(before, bucket.count, SMALL_DELTA) {
            bucket.count = before;
        } else if bucket.count < before {
            let fall = before - bucket.count;
            let so_far = repair.take().unwrap_or(Repair { lowest: bucket.upper, highest: bucket.upper, largest: fall });
            repair = Some(Repair { highest: bucket.upper, largest: so_far.largest.max(fall), ..so_far });
            bucket.count = before;
        } else {
            before = bucket.count;
        }
    }
    repair
}

fn quantile(phi: f64, buckets: &mut [Bucket]) -> (f64, Option<Repair>) {
    if !(0.0..=1.0).contains(&phi) {
        let value = if phi.is_nan() { phi } else { f64::INFINITY.copysign(phi) };
        return (value, None);
    }
    if buckets.last().is_none_or(|last| last.upper != f64::INFINITY) {
        return (f64::NAN, None);
    }
    let repair = mend(buckets);
    let [lower @ .., last] = &*buckets else { return (f64::NAN, repair) };
    let Some(highest_finite) = lower.last() else { return (f64::NAN, repair) };
    if last.count == 0.0 {
        return (f64::NAN, repair);
    }
    let rank = phi * last.count;
    // A count that is NaN reaches no rank.
    let reaches =
        |bucket: &Bucket| matches!(bucket.count.partial_cmp(&rank), Some(Ordering::Equal | Ordering::Greater));
    let place = lower.partition_point(|bucket| !reaches(bucket));
    let value = match lower.get(place) {
        None => highest_finite.upper,
        Some(bucket) if place == 0 && bucket.upper <= 0.0 => bucket.upper,
        Some(bucket) => {
            let (start, below) = match place.checked_sub(1).map(|before| lower[before]) {
                Some(before) => (before.upper, before.count),
                None => (0.0, 0.0),
            };
            start + (bucket.upper - start) * ((rank - below) / (bucket.count - below))
        }
    };
    (value, repair)
}

/// The share of observations between two values.
fn fraction(lower: f64, upper: f64, buckets: &[Bucket]) -> f64 {
    let Some(last) = buckets.last().filter(|last| last.upper == f64::INFINITY) else { return f64::NAN };
    if last.count == 0.0 || last.count.is_nan() || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    (rank_of(upper, buckets, last.count) - rank_of(lower, buckets, last.count)) / last.count
}

/// How many observations are at most `value`.
fn rank_of(value: f64, buckets: &[Bucket], observations: f64) -> f64 {
    // The first bucket begins at zero if it ends above zero.
    let mut start = if buckets.first().is_some_and(|first| first.upper > 0.0) { 0.0 } else { f64::NEG_INFINITY };
    let mut below = 0.0f64;
    for bucket in buckets {
        if start >= value {
            return below.min(observations);
        }
        if bucket.upper > value {
            // Nothing is known of where inside of an endless bucket observations are.
            let inside = if start == f64::NEG_INFINITY {
                bucket.count
            } else {
                below + (bucket.count - below) * (value - start) / (bucket.upper - start)
            };
            return inside.min(observations);
        }
        (start, below) = (bucket.upper, bucket.count);
    }
    observations
}

/// Numbers as Go's `ParseFloat` reads them; NaN is no bound.
fn parse_bound(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    (!value.is_nan()).then_some(value)
}

/// As OpenMetrics writes `le` and `quantile`: with a point.
fn open_metrics_float(value: f64) -> String {
    let text = crate::promql::numbers::format_value(value);
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if plain { format!("{text}.0") } else { text }
}

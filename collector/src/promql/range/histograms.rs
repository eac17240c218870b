//! Range functions over windows in which there are native histograms: alone, or beside numbers.
//! Start at `Kind::apply`.

mod rate;

use std::sync::Arc;

use super::extrapolate::Delta;
use crate::promql::histogram::{self, Combined, Incompatible, Mean, Sign, Total};
use crate::promql::notes::{Operation, Remark, Remarks};
use crate::promql::numbers::count;
use crate::promql::select::seconds;
use crate::promql::value::Cell;
use crate::series::{CounterReset, Histogram, HistogramSample, Sample};

/// A window with what it holds of each kind, in order of time.
pub(super) struct Both<'a> {
    pub floats: &'a [Sample],
    pub histograms: &'a [HistogramSample],
    /// Exclusive.
    pub start_ms: i64,
    pub end_ms: i64,
    pub range_ms: i64,
}

/// What a function makes of histograms in its window.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// It is about the numbers only.
    Ignores,
    Delta(Delta),
    /// The last two samples: as a rate, or as a difference.
    Latest {
        as_rate: bool,
    },
    Sum,
    Average,
    Count,
    Present,
    Last,
    First,
    LastTime,
    FirstTime,
    Resets,
    Changes,
}

impl Kind {
    /// The function's value; `float` is what it makes of the numbers alone.
    pub fn apply(self, window: &Both<'_>, float: impl FnOnce() -> Option<f64>, remarks: &mut Remarks) -> Option<Cell> {
        let number = |value: f64| Some(Cell::Float(value));
        match self {
            Self::Ignores => {
                if window.floats.is_empty() {
                    return None;
                }
                if !window.histograms.is_empty() {
                    remarks.add(Remark::Ignored);
                }
                float().map(Cell::Float)
            }
            Self::Delta(_) | Self::Sum | Self::Average => self.of_one_kind(window, float, remarks),
            Self::Latest { as_rate } => latest(window, as_rate, float, remarks),
            Self::Count => number(count(window.floats.len() + window.histograms.len())),
            Self::Present => number(1.0),
            Self::Last => ordered(window).last().map(Either::cell),
            Self::First => ordered(window).next().map(Either::cell),
            Self::LastTime => ordered(window).last().map(|point| Cell::Float(seconds(point.timestamp_ms()))),
            Self::FirstTime => ordered(window).next().map(|point| Cell::Float(seconds(point.timestamp_ms()))),
            Self::Resets => number(changes(window, was_reset)),
            Self::Changes => number(changes(window, differs)),
        }
    }

    /// Functions that need samples of one kind.
    fn of_one_kind(
        self,
        window: &Both<'_>,
        float: impl FnOnce() -> Option<f64>,
        remarks: &mut Remarks,
    ) -> Option<Cell> {
        match (window.floats, window.histograms) {
            (_, []) => return float().map(Cell::Float),
            ([], _) => {}
            _ => {
                remarks.add(Remark::MixedKinds);
                return None;
            }
        }
        let made = match self {
            Self::Delta(delta) => return rate::extrapolated(delta, window, remarks).map(shared),
            Self::Sum => sum(window.histograms, remarks),
            _ => average(window.histograms, remarks),
        };
        match made {
            Ok(histogram) => Some(shared(histogram)),
            Err(Incompatible) => {
                remarks.replace(Remark::MixedSchemas);
                None
            }
        }
    }
}

fn shared(histogram: Histogram) -> Cell {
    Cell::Histogram(Arc::new(histogram))
}

/// A sample of either kind.
#[derive(Clone, Copy)]
enum Either<'a> {
    Float(&'a Sample),
    Histogram(&'a HistogramSample),
}

impl Either<'_> {
    fn timestamp_ms(self) -> i64 {
        match self {
            Self::Float(sample) => sample.timestamp_ms,
            Self::Histogram(sample) => sample.timestamp_ms,
        }
    }

    fn cell(self) -> Cell {
        match self {
            Self::Float(sample) => Cell::Float(sample.value),
            Self::Histogram(sample) => Cell::Histogram(Arc::clone(&sample.histogram)),
        }
    }
}

/// Samples of both kinds in order of time.
fn ordered<'a>(window: &Both<'a>) -> impl Iterator<Item = Either<'a>> {
    let (mut floats, mut histograms) = (window.floats.iter().peekable(), window.histograms.iter().peekable());
    std::iter::from_fn(move || match (floats.peek(), histograms.peek()) {
        (Some(float), Some(histogram)) if float.timestamp_ms < histogram.timestamp_ms => {
            floats.next().map(Either::Float)
        }
        (_, Some(_)) => histograms.next().map(Either::Histogram),
        _ => floats.next().map(Either::Float),
    })
}

/// How often something changed from a sample to the next.
fn changes(window: &Both<'_>, changed: fn(Either<'_>, Either<'_>) -> bool) -> f64 {
    let mut before = None;
    let mut seen = 0;
    for sample in ordered(window) {
        if before.replace(sample).is_some_and(|before| changed(before, sample)) {
            seen += 1;
        }
    }
    count(seen)
}

fn was_reset(before: Either<'_>, after: Either<'_>) -> bool {
    match (before, after) {
        (Either::Float(before), Either::Float(after)) => after.value < before.value,
        (Either::Histogram(before), Either::Histogram(after)) => {
            histogram::was_reset(&before.histogram, &after.histogram)
        }
        _ => true,
    }
}

fn differs(before: Either<'_>, after: Either<'_>) -> bool {
    match (before, after) {
        (Either::Float(before), Either::Float(after)) => {
            before.value != after.value && !(before.value.is_nan() && after.value.is_nan())
        }
        (Either::Histogram(before), Either::Histogram(after)) => !histogram::same(&before.histogram, &after.histogram),
        _ => true,
    }
}

/// What is known of resets, over several histograms.
#[derive(Default)]
pub(in crate::promql) struct Resets {
    reset: bool,
    not_reset: bool,
}

impl Resets {
    pub fn see(&mut self, histogram: &Histogram) {
        self.reset |= histogram.reset == CounterReset::Reset;
        self.not_reset |= histogram.reset == CounterReset::NotReset;
    }

    /// Whether some say that their counter was reset, and others that it was not.
    pub fn collide(&self) -> bool {
        self.reset && self.not_reset
    }
}

fn sum(histograms: &[HistogramSample], remarks: &mut Remarks) -> Result<Histogram, Incompatible> {
    let [first, rest @ ..] = histograms else { return Err(Incompatible) };
    let mut total = Total::of(&first.histogram);
    let add = |histogram: &Histogram| total.add(histogram, Sign::Plus);
    gathered(&first.histogram, rest, add, remarks)?;
    Ok(total.finish())
}

fn average(histograms: &[HistogramSample], remarks: &mut Remarks) -> Result<Histogram, Incompatible> {
    let [first, rest @ ..] = histograms else { return Err(Incompatible) };
    let mut mean = Mean::of(&first.histogram);
    gathered(&first.histogram, rest, |histogram| mean.add(histogram), remarks)?;
    Ok(mean.finish())
}

fn gathered(
    first: &Histogram,
    rest: &[HistogramSample],
    mut add: impl FnMut(&Histogram) -> Result<Combined, Incompatible>,
    remarks: &mut Remarks,
) -> Result<(), Incompatible> {
    let mut resets = Resets::default();
    resets.see(first);
    for sample in rest {
        resets.see(&sample.histogram);
        if add(&sample.histogram)?.reconciled {
            remarks.add(Remark::Reconciled(Operation::Aggregation));
        }
    }
    if resets.collide() {
        remarks.add(Remark::Collision(Operation::Aggregation));
    }
    Ok(())
}

/// `irate` and `idelta`: from the last two samples.
fn latest(
    window: &Both<'_>,
    as_rate: bool,
    float: impl FnOnce() -> Option<f64>,
    remarks: &mut Remarks,
) -> Option<Cell> {
    let mut samples = ordered(window);
    let (mut before, mut last) = (samples.next()?, samples.next()?);
    for sample in samples {
        (before, last) = (last, sample);
    }
    let elapsed_ms = last.timestamp_ms() - before.timestamp_ms();
    match (before, last) {
        (Either::Float(_), Either::Float(_)) => float().map(Cell::Float),
        _ if elapsed_ms == 0 => None,
        (Either::Histogram(before), Either::Histogram(last)) => {
            let difference = rate::latest(&before.histogram, &last.histogram, as_rate, remarks)?;
            let elapsed = if as_rate { seconds(elapsed_ms) } else { 1.0 };
            Some(shared(histogram::divided(&difference, elapsed)))
        }
        _ => {
            remarks.add(Remark::MixedKinds);
            None
        }
    }
}

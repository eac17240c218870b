//! What a series has at each step: a number, a native histogram, or nothing. Numbers are a plain array, so that work on them
//! is as fast as if there were no histograms; histograms stand beside it, sparse.

use std::sync::Arc;

use crate::series::{Histogram, HistogramSample, Point, STALE_NAN_BITS, Sample};

/// What is at one step.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::promql) enum Cell {
    Float(f64),
    Histogram(Arc<Histogram>),
}

impl Cell {
    /// The same as a sample.
    pub fn at(self, timestamp_ms: i64) -> Point {
        match self {
            Self::Float(value) => Point::Float(Sample { timestamp_ms, value }),
            Self::Histogram(histogram) => Point::Histogram(HistogramSample { timestamp_ms, histogram }),
        }
    }
}

/// A number or a histogram for each step of a grid, or neither. Absence of a number is the bit pattern of the stale marker:
/// stored markers are taken out on selection and no arithmetic makes one, so it is free to mean "nothing here".
#[derive(Debug, Clone, PartialEq)]
pub(in crate::promql) struct Column {
    floats: Vec<f64>,
    /// With their steps, ascending. Where there is one there is no number.
    histograms: Vec<(usize, Arc<Histogram>)>,
}

const ABSENT: f64 = f64::from_bits(STALE_NAN_BITS);

fn is_absent(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

impl Column {
    pub fn absent(steps: usize) -> Self {
        Self::full(vec![ABSENT; steps])
    }

    /// A number at every step.
    pub fn full(values: Vec<f64>) -> Self {
        Self { floats: values, histograms: Vec::new() }
    }

    /// One step with this in it.
    pub fn single(cell: Cell) -> Self {
        match cell {
            Cell::Float(value) => Self::full(vec![value]),
            Cell::Histogram(histogram) => Self { floats: vec![ABSENT], histograms: vec![(0, histogram)] },
        }
    }

    pub fn steps_count(&self) -> usize {
        self.floats.len()
    }

    /// How much it holds, in samples; a histogram is as large as many.
    pub fn cells(&self) -> usize {
        self.floats.len() + self.histograms.iter().map(|(_, one)| one.weight()).sum::<usize>()
    }

    /// The number at a step.
    pub fn float(&self, step: usize) -> Option<f64> {
        self.floats.get(step).copied().filter(|value| !is_absent(*value))
    }

    /// The histogram at a step.
    pub fn histogram(&self, step: usize) -> Option<&Arc<Histogram>> {
        let place = self.histograms.binary_search_by_key(&step, |(at, _)| *at).ok()?;
        Some(&self.histograms[place].1)
    }

    /// What is at a step.
    pub fn cell(&self, step: usize) -> Option<Cell> {
        match self.float(step) {
            Some(value) => Some(Cell::Float(value)),
            None => self.histogram(step).map(|histogram| Cell::Histogram(Arc::clone(histogram))),
        }
    }

    /// Whether there is a number or a histogram at a step.
    pub fn has(&self, step: usize) -> bool {
        self.float(step).is_some() || self.histogram(step).is_some()
    }

    pub fn is_empty(&self) -> bool {
        self.histograms.is_empty() && self.floats.iter().all(|value| is_absent(*value))
    }

    /// Numbers with their steps, ascending.
    pub fn floats(&self) -> impl Iterator<Item = (usize, f64)> {
        self.floats.iter().copied().enumerate().filter(|(_, value)| !is_absent(*value))
    }

    /// Histograms with their steps, ascending.
    pub fn histograms(&self) -> &[(usize, Arc<Histogram>)] {
        &self.histograms
    }

    /// The steps at which there is anything, in no order.
    pub fn steps(&self) -> impl Iterator<Item = usize> {
        self.floats().map(|(step, _)| step).chain(self.histograms.iter().map(|(step, _)| *step))
    }

    /// Puts a number where nothing is, or another number.
    pub fn set(&mut self, step: usize, value: f64) {
        self.floats[step] = value;
    }

    /// Puts a number or a histogram where nothing is.
    pub fn put(&mut self, step: usize, cell: Cell) {
        match cell {
            Cell::Float(value) => self.floats[step] = value,
            Cell::Histogram(histogram) => {
                let place = self.histograms.partition_point(|(at, _)| *at < step);
                self.histograms.insert(place, (step, histogram));
            }
        }
    }

    /// Takes away what is at a step.
    pub fn clear(&mut self, step: usize) {
        self.floats[step] = ABSENT;
        if let Ok(place) = self.histograms.binary_search_by_key(&step, |(at, _)| *at) {
            self.histograms.remove(place);
        }
    }

    /// Takes all histograms out.
    pub fn take_histograms(&mut self) -> Vec<(usize, Arc<Histogram>)> {
        std::mem::take(&mut self.histograms)
    }

    /// Applies a function to each number; histograms go.
    pub fn map_floats(&mut self, apply: impl Fn(f64) -> f64) {
        self.histograms.clear();
        self.change_floats(|_, value| Some(apply(value)));
    }

    /// Applies a function to each number; where it gives none, the number goes. Histograms go.
    pub fn filter_map_floats(&mut self, apply: impl Fn(usize, f64) -> Option<f64>) {
        self.histograms.clear();
        self.change_floats(apply);
    }

    /// Applies a function to each number; where it gives none, the number goes. Histograms stay as they are.
    pub fn change_floats(&mut self, apply: impl Fn(usize, f64) -> Option<f64>) {
        for (step, value) in self.floats.iter_mut().enumerate().filter(|(_, value)| !is_absent(**value)) {
            *value = apply(step, *value).unwrap_or(ABSENT);
        }
    }

    /// Applies a function to each histogram. Numbers stay as they are.
    pub fn change_histograms(&mut self, apply: impl Fn(&Histogram) -> Histogram) {
        for (_, histogram) in &mut self.histograms {
            *histogram = Arc::new(apply(histogram));
        }
    }

    /// Keeps what is at the steps that `keep` accepts.
    pub fn retain(&mut self, keep: impl Fn(usize) -> bool) {
        self.change_floats(|step, value| keep(step).then_some(value));
        self.histograms.retain(|(step, _)| keep(*step));
    }

    /// A number for each step at which there is anything.
    pub fn at_steps(&self, value: impl Fn(usize) -> f64) -> Self {
        let mut column = Self::absent(self.floats.len());
        self.steps().for_each(|step| column.set(step, value(step)));
        column
    }

    /// Puts all of another column where nothing is; false if somewhere there is something.
    #[must_use]
    pub fn overlay(&mut self, other: &Self) -> bool {
        for (step, value) in other.floats() {
            if self.has(step) {
                return false;
            }
            self.set(step, value);
        }
        for (step, histogram) in &other.histograms {
            if self.has(*step) {
                return false;
            }
            self.put(*step, Cell::Histogram(Arc::clone(histogram)));
        }
        true
    }

    /// What is at the first step, at all of `steps` steps.
    pub fn spread(&self, steps: usize) -> Self {
        let histograms = self.histogram(0).map_or_else(Vec::new, |first| {
            let copies = (0..steps).map(|step| (step, Arc::clone(first)));
            copies.collect()
        });
        Self { floats: vec![self.floats.first().copied().unwrap_or(ABSENT); steps], histograms }
    }
}

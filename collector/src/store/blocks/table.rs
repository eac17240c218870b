//! The series of a block in little memory: every text once, each series as pairs of numbers, and for each label the list of
//! series that carry it. Pure. Series are in the order of their labels; their places are their numbers.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::series::{Labels, MatchOp, Matcher};

/// What a block says of one series beside its labels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Row {
    /// Its rows in `samples.parquet`.
    pub samples: u64,
    /// Its rows in `histograms.parquet`.
    pub histograms: u64,
    pub min_ms: i64,
    pub max_ms: i64,
}

/// Series without their lists.
#[derive(Debug, Default)]
pub(crate) struct Table {
    texts: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
    /// Name and value of each label of each series.
    labels: Vec<(u32, u32)>,
    /// Where the labels of each series end.
    ends: Vec<u32>,
    pub rows: Vec<Row>,
}

impl Table {
    /// The number of a text, which is kept if it is new.
    pub fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = u32::try_from(self.texts.len()).expect("four thousand million texts do not fit into memory");
        let text: Arc<str> = text.into();
        self.texts.push(text.clone());
        self.numbers.insert(text, number);
        number
    }

    /// Takes the next series; its labels must come after those of the series before.
    pub fn push(&mut self, labels: &Labels, row: Row) {
        for (name, value) in labels.iter() {
            let pair = (self.number(name), self.number(value));
            self.labels.push(pair);
        }
        self.close_series(row);
    }

    /// Takes a label of the next series.
    pub fn push_label(&mut self, name: u32, value: u32) {
        self.labels.push((name, value));
    }

    /// Ends the labels of the next series.
    pub fn close_series(&mut self, row: Row) {
        self.ends.push(u32::try_from(self.labels.len()).expect("four thousand million labels do not fit into memory"));
        self.rows.push(row);
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Every text, in the order of its number.
    pub fn texts(&self) -> &[Arc<str>] {
        &self.texts
    }

    pub fn text(&self, number: u32) -> &Arc<str> {
        &self.texts[number as usize]
    }

    /// Names and values of a series' labels, in order of name.
    pub fn pairs(&self, series: usize) -> &[(u32, u32)] {
        let start = series.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.labels[start as usize..self.ends[series] as usize]
    }

    pub fn labels(&self, series: usize) -> Labels {
        let pairs = self.pairs(series).iter();
        Labels::new(pairs.map(|(name, value)| (self.text(*name).clone(), self.text(*value).clone())))
    }

    /// Names of labels in order, with how many series carry each.
    pub fn names(&self) -> Vec<u32> {
        let mut names: Vec<u32> = self.labels.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        names.sort_unstable_by(|a, b| self.text(*a).cmp(self.text(*b)));
        names
    }
}

/// The series that carry one label.
#[derive(Debug, Clone, Copy)]
struct Carried {
    name: u32,
    value: u32,
    start: u32,
    end: u32,
}

/// Series that can be looked up.
#[derive(Debug)]
pub(crate) struct Index {
    table: Table,
    /// Where each series' rows begin in `samples.parquet` and in `histograms.parquet`.
    starts: Vec<(u64, u64)>,
    /// In order of name, then of value.
    carried: Vec<Carried>,
    carriers: Vec<u32>,
}

impl Index {
    /// Makes the lists.
    pub fn new(mut table: Table) -> Self {
        table.numbers = HashMap::new();
        let mut starts = Vec::with_capacity(table.len());
        let mut next = (0u64, 0u64);
        for row in &table.rows {
            starts.push(next);
            next = (next.0.saturating_add(row.samples), next.1.saturating_add(row.histograms));
        }
        let mut all: Vec<(u32, u32, u32)> = Vec::with_capacity(table.labels.len());
        for series in 0..table.len() {
            let number = series as u32;
            all.extend(table.pairs(series).iter().map(|(name, value)| (*name, *value, number)));
        }
        let rank = ranks(&table.texts);
        all.sort_unstable_by_key(|(name, value, series)| (rank[*name as usize], rank[*value as usize], *series));
        let mut carried: Vec<Carried> = Vec::new();
        let mut carriers = Vec::with_capacity(all.len());
        for (name, value, series) in all {
            let start = carriers.len() as u32;
            carriers.push(series);
            match carried.last_mut() {
                Some(last) if last.name == name && last.value == value => last.end = start + 1,
                _ => carried.push(Carried { name, value, start, end: start + 1 }),
            }
        }
        Self { table, starts, carried, carriers }
    }

    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Rows of a series in `samples.parquet` and in `histograms.parquet`.
    pub fn places(&self, series: usize) -> (Range<u64>, Range<u64>) {
        let (row, (samples, histograms)) = (&self.table.rows[series], self.starts[series]);
        (samples..samples + row.samples, histograms..histograms + row.histograms)
    }

    /// Bytes in memory, about.
    pub fn size(&self) -> usize {
        let texts: usize = self.table.texts.iter().map(|text| text.len() + 32).sum();
        let per_series = size_of::<Row>() + size_of::<(u64, u64)>() + 4;
        texts + self.table.len() * per_series + self.carriers.len() * 12 + self.carried.len() * size_of::<Carried>()
    }

    /// Numbers of the series that fit all matchers, ascending.
    pub fn matching(&self, matchers: &[Matcher]) -> Vec<u32> {
        let mut tests: Vec<Test<'_>> = matchers.iter().map(Test::new).collect();
        let candidates = self.candidates(matchers).unwrap_or_else(|| (0..self.table.len() as u32).collect());
        candidates.into_iter().filter(|series| tests.iter_mut().all(|test| test.fits(&self.table, *series))).collect()
    }

    /// Series that may fit, ascending: of the label with the fewest; `None` if no matcher asks for a label to be there.
    fn candidates(&self, matchers: &[Matcher]) -> Option<Vec<u32>> {
        let mut best: Option<Vec<u32>> = None;
        for matcher in matchers.iter().filter(|matcher| !matcher.fits_value("")) {
            let of_name = self.of_name(&matcher.name);
            let found = match &matcher.op {
                MatchOp::Equal(value) => {
                    let at = of_name.binary_search_by(|carried| (**self.table.text(carried.value)).cmp(value));
                    at.map(|at| self.list(of_name[at]).to_vec()).unwrap_or_default()
                }
                _ => {
                    let fitting = of_name.iter().filter(|carried| matcher.fits_value(self.table.text(carried.value)));
                    let mut found: Vec<u32> = fitting.flat_map(|carried| self.list(*carried)).copied().collect();
                    found.sort_unstable();
                    found
                }
            };
            if best.as_ref().is_none_or(|best| found.len() < best.len()) {
                best = Some(found);
            }
        }
        best
    }

    fn list(&self, carried: Carried) -> &[u32] {
        &self.carriers[carried.start as usize..carried.end as usize]
    }

    /// The values of a label, in order.
    fn of_name(&self, name: &str) -> &[Carried] {
        let start = self.carried.partition_point(|carried| &**self.table.text(carried.name) < name);
        let length = self.carried[start..].partition_point(|carried| &**self.table.text(carried.name) == name);
        &self.carried[start..start + length]
    }
}

/// The place of each text among all in order.
fn ranks(texts: &[Arc<str>]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..texts.len() as u32).collect();
    order.sort_unstable_by(|a, b| texts[*a as usize].cmp(&texts[*b as usize]));
    let mut ranks = vec![0; texts.len()];
    for (rank, number) in order.into_iter().enumerate() {
        ranks[number as usize] = rank as u32;
    }
    ranks
}

/// A matcher that remembers which values fit, as a pattern costs more than a look-up.
struct Test<'a> {
    matcher: &'a Matcher,
    name: Option<u32>,
    known: HashMap<u32, bool>,
    fits_absent: bool,
}

impl<'a> Test<'a> {
    fn new(matcher: &'a Matcher) -> Self {
        Self { matcher, name: None, known: HashMap::new(), fits_absent: matcher.fits_value("") }
    }

    fn fits(&mut self, table: &Table, series: u32) -> bool {
        let is_name =
            |number: u32| self.name.map_or_else(|| **table.text(number) == *self.matcher.name, |n| n == number);
        let Some((name, value)) = table.pairs(series as usize).iter().find(|(name, _)| is_name(*name)) else {
            return self.fits_absent;
        };
        self.name = Some(*name);
        *self.known.entry(*value).or_insert_with(|| self.matcher.fits_value(table.text(*value)))
    }
}

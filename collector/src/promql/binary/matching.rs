//! Matches the series of two vectors by labels: one to one, or many to one with `group_left` and `group_right`.
//! Start at `Matching::join`.

use std::collections::{HashMap, HashSet};

use promql_parser::parser::{BinModifier, LabelModifier};

use super::mixed::Findings;
use super::operator::Operator;
use crate::promql::QueryError;
use crate::promql::value::{Cell, Column, Grid, Series, filtered, join_same, nameless};
use crate::series::{Labels, METRIC_NAME};

/// How many series of each side may share a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cardinality {
    OneToOne,
    ManyToOne,
    OneToMany,
}

/// Which labels are compared, and which are taken over from the "one" side.
pub(super) struct Matching {
    labels: Vec<String>,
    /// `on` rather than `ignoring`.
    only: bool,
    included: Vec<String>,
}

/// Series of both sides that share a match: indexes.
#[derive(Default)]
struct Match {
    many: Vec<usize>,
    one: Vec<usize>,
}

/// A join under way; for `group_right` the sides are swapped, so that "one" is always on the right.
struct Join<'a> {
    matching: &'a Matching,
    many: &'a [Series],
    one: &'a [Series],
    /// Steps at which both sides have a sample at all; at others nothing can match, nor fail to.
    live: Vec<bool>,
    operator: Operator,
    cardinality: Cardinality,
    drop_names_late: bool,
    steps: usize,
}

impl Matching {
    pub fn new(modifier: Option<&BinModifier>) -> Self {
        let (labels, only) = match modifier.and_then(|modifier| modifier.matching.as_ref()) {
            Some(LabelModifier::Include(labels)) => (labels.labels.clone(), true),
            Some(LabelModifier::Exclude(labels)) => (labels.labels.clone(), false),
            None => (Vec::new(), false),
        };
        let included = modifier.and_then(|modifier| modifier.card.labels());
        Self { labels, only, included: included.map(|labels| labels.labels.clone()).unwrap_or_default() }
    }

    /// The labels that have to be equal on both sides.
    pub fn signature(&self, labels: &Labels) -> Labels {
        filtered(labels, |name| {
            let named = self.labels.iter().any(|label| label == name);
            if self.only { named } else { !named && name != METRIC_NAME }
        })
    }

    /// Joins two vectors.
    pub fn join(
        &self,
        (left, right): (&[Series], &[Series]),
        operator: Operator,
        (cardinality, drop_names_late): (Cardinality, bool),
        grid: Grid,
        findings: &mut Findings,
    ) -> Result<Vec<Series>, QueryError> {
        let swapped = cardinality == Cardinality::OneToMany;
        let (many, one) = if swapped { (right, left) } else { (left, right) };
        let (live_many, live_one) = (any_present(many, grid.count), any_present(one, grid.count));
        let live = live_many.into_iter().zip(live_one).map(|(many, one)| many && one).collect();
        let join = Join { matching: self, many, one, live, operator, cardinality, drop_names_late, steps: grid.count };
        let mut found = Vec::new();
        for group in self.matches(many, one) {
            join.group(&group, &mut found, findings)?;
        }
        join_same(found)
    }

    /// Matches in order of the first series that belongs to them.
    fn matches(&self, many: &[Series], one: &[Series]) -> Vec<Match> {
        let mut places: HashMap<Labels, usize> = HashMap::new();
        let mut matches: Vec<Match> = Vec::new();
        let sides =
            many.iter().enumerate().map(|side| (side, true)).chain(one.iter().enumerate().map(|side| (side, false)));
        for ((index, series), is_many) in sides {
            let place = *places.entry(self.signature(&series.labels)).or_insert_with(|| {
                matches.push(Match::default());
                matches.len() - 1
            });
            let side = if is_many { &mut matches[place].many } else { &mut matches[place].one };
            side.push(index);
        }
        matches
    }
}

fn any_present(series: &[Series], steps: usize) -> Vec<bool> {
    let mut present = vec![false; steps];
    for one in series {
        one.column.steps().for_each(|step| present[step] = true);
    }
    present
}

impl Join<'_> {
    fn group(&self, group: &Match, found: &mut Vec<Series>, findings: &mut Findings) -> Result<(), QueryError> {
        let ones = self.only_ones(&group.one)?;
        if self.cardinality == Cardinality::OneToOne {
            self.check_one_to_one(group, &ones)?;
        }
        let mut labels_seen: Vec<HashSet<Labels>> = Vec::new();
        if self.cardinality != Cardinality::OneToOne && group.many.len() > 1 {
            labels_seen.resize_with(self.steps, HashSet::new);
        }
        for many in &group.many {
            let series = &self.many[*many];
            for one in &group.one {
                let labels = self.result_labels(&series.labels, &self.one[*one].labels);
                let mut column = Column::absent(self.steps);
                let mut seen_before =
                    |step: usize| labels_seen.get_mut(step).is_some_and(|seen| !seen.insert(labels.clone()));
                for (step, value) in series.column.floats().filter(|(step, _)| ones[*step] == Some(*one)) {
                    let Some(other) = self.one[*one].column.float(step) else { continue };
                    if seen_before(step) {
                        return Err(error("multiple matches for labels: grouping labels must ensure unique matches"));
                    }
                    let (left, right) =
                        if self.cardinality == Cardinality::OneToMany { (other, value) } else { (value, other) };
                    if self.operator.trims().is_some() {
                        findings.of_numbers();
                    }
                    // A comparison keeps the value of the left side, whichever side is "many".
                    if let Some(result) = self.operator.kept(left, right, left) {
                        column.set(step, result);
                    }
                }
                for (step, cell) in self.with_histograms(series, *one, &ones, findings) {
                    if seen_before(step) {
                        return Err(error("multiple matches for labels: grouping labels must ensure unique matches"));
                    }
                    column.put(step, cell);
                }
                if !column.is_empty() {
                    found.push(Series { labels, drop_name: self.drops_name(series), column });
                }
            }
        }
        Ok(())
    }

    /// Results at the steps at which at least one side has a histogram.
    fn with_histograms(
        &self,
        many: &Series,
        one: usize,
        ones: &[Option<usize>],
        findings: &mut Findings,
    ) -> Vec<(usize, Cell)> {
        let (many, other) = (&many.column, &self.one[one].column);
        if many.histograms().is_empty() && other.histograms().is_empty() {
            return Vec::new();
        }
        let mut steps: Vec<usize> = many.histograms().iter().chain(other.histograms()).map(|(step, _)| *step).collect();
        steps.sort_unstable();
        steps.dedup();
        steps.retain(|step| ones[*step] == Some(one));
        let mut results = Vec::with_capacity(steps.len());
        for step in steps {
            let (Some(many), Some(other)) = (many.cell(step), other.cell(step)) else { continue };
            let (left, right) = if self.cardinality == Cardinality::OneToMany { (other, many) } else { (many, other) };
            results.extend(self.operator.cells(&left, &right, &left, findings).map(|cell| (step, cell)));
        }
        results
    }

    /// For each step, the one series of the "one" side that has a sample; an error if there are two.
    fn only_ones(&self, ones: &[usize]) -> Result<Vec<Option<usize>>, QueryError> {
        let mut only: Vec<Option<usize>> = vec![None; self.steps];
        for index in ones {
            for step in self.one[*index].column.steps().filter(|step| self.live[*step]) {
                if let Some(other) = only[step].replace(*index) {
                    return Err(self.duplicate(&self.one[other].labels, &self.one[*index].labels));
                }
            }
        }
        Ok(only)
    }

    fn check_one_to_one(&self, group: &Match, ones: &[Option<usize>]) -> Result<(), QueryError> {
        let mut taken = vec![false; self.steps];
        for many in &group.many {
            for step in self.many[*many].column.steps().filter(|step| ones[*step].is_some()) {
                if std::mem::replace(&mut taken[step], true) {
                    let text =
                        "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)";
                    return Err(error(text));
                }
            }
        }
        Ok(())
    }

    fn duplicate(&self, one: &Labels, other: &Labels) -> QueryError {
        let side = if self.cardinality == Cardinality::OneToMany { "left" } else { "right" };
        let mut series = [braced(one), braced(other)];
        series.sort();
        error(&format!(
            "found duplicate series for the match group {} on the {side} hand-side of the operation: [{}];many-to-many \
             matching not allowed: matching labels must be unique on one side",
            braced(&self.matching.signature(one)),
            series.join(", "),
        ))
    }

    fn drops_name(&self, many: &Series) -> bool {
        many.drop_name || !self.operator.keeps_name() && !self.operator.is_arithmetic()
    }

    fn result_labels(&self, many: &Labels, one: &Labels) -> Labels {
        let nameless_now = self.operator.is_arithmetic() || !self.operator.keeps_name() && !self.drop_names_late;
        let base = if nameless_now { nameless(many) } else { many.clone() };
        if self.cardinality == Cardinality::OneToOne {
            let named = |name: &str| self.matching.labels.iter().any(|label| label == name);
            let only = self.matching.only;
            return filtered(&base, |name| named(name) == only);
        }
        if self.matching.included.is_empty() {
            return base;
        }
        let included = |name: &str| self.matching.included.iter().any(|label| label == name);
        let own = base.pairs().iter().filter(|(name, _)| !included(name));
        let taken = one.pairs().iter().filter(|(name, _)| included(name));
        Labels::new(own.chain(taken).cloned())
    }
}

/// All labels in braces, the name too, as Prometheus writes them in this message.
fn braced(labels: &Labels) -> String {
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{{}}}", pairs.join(", "))
}

fn error(text: &str) -> QueryError {
    QueryError::Execution(text.to_owned())
}

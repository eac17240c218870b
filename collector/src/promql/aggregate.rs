//! Aggregations: groups series by labels once, then folds each group's columns step by step.
//! Start at `Evaluator::aggregate`.

mod choose;
mod fold;
mod histograms;

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use promql_parser::parser::token::{
    T_AVG, T_BOTTOMK, T_COUNT, T_COUNT_VALUES, T_GROUP, T_LIMIT_RATIO, T_LIMITK, T_MAX, T_MIN, T_QUANTILE, T_STDDEV,
    T_STDVAR, T_SUM, T_TOPK,
};
use promql_parser::parser::{AggregateExpr, Expr, LabelModifier};
use protocol::number::{self, Exponent};

use super::evaluator::Evaluator;
use super::value::{Column, Grid, Series, Value, filtered, join_same, with_label};
use crate::promql::QueryError;
use crate::series::{Labels, METRIC_NAME};

use choose::Choice;
use fold::Fold;

/// Series of the input that are aggregated into one.
pub(super) struct Group {
    labels: Labels,
    drop_name: bool,
    members: Vec<usize>,
}

impl Evaluator<'_> {
    pub(super) fn aggregate(&mut self, node: &Expr, expr: &AggregateExpr, grid: Grid) -> Result<Value, QueryError> {
        let by = expr.modifier.as_ref();
        match expr.op.id() {
            T_COUNT_VALUES => {
                let label = self.text(parameter(expr)?)?;
                if !is_label_name(&label) {
                    return Err(QueryError::Execution(format!("invalid label name {label:?}")));
                }
                let series = self.vector(&expr.expr, grid)?;
                count_values(&series, by, &label, grid).map(Value::Vector)
            }
            T_QUANTILE => {
                let phis = self.scalar(parameter(expr)?, grid)?;
                self.check_quantiles(node, 0, &phis);
                let series = self.vector(&expr.expr, grid)?;
                Ok(Value::Vector(self.fold(node, expr, &series, grid, &Fold::Quantile(phis))?))
            }
            op @ (T_TOPK | T_BOTTOMK | T_LIMITK | T_LIMIT_RATIO) => {
                let limits = self.scalar(parameter(expr)?, grid)?;
                let choice = self.choice(node, op, &limits)?;
                let series = self.vector(&expr.expr, grid)?;
                self.choose(node, series, by, grid, &choice).map(Value::Vector)
            }
            op => {
                let fold = match op {
                    T_SUM => Fold::Sum,
                    T_AVG => Fold::Average,
                    T_COUNT => Fold::Count,
                    T_MIN => Fold::Min,
                    T_MAX => Fold::Max,
                    T_GROUP => Fold::Group,
                    T_STDDEV => Fold::Deviation,
                    T_STDVAR => Fold::Variance,
                    _ => return Err(QueryError::Execution(format!("unknown aggregation {}", expr.op))),
                };
                let series = self.vector(&expr.expr, grid)?;
                Ok(Value::Vector(self.fold(node, expr, &series, grid, &fold)?))
            }
        }
    }

    fn fold(
        &mut self,
        node: &Expr,
        expr: &AggregateExpr,
        series: &[Series],
        grid: Grid,
        fold: &Fold,
    ) -> Result<Vec<Series>, QueryError> {
        let place = self.places.argument(node, usize::from(expr.param.is_some()));
        let mut found = Vec::new();
        for group in groups(series, expr.modifier.as_ref()) {
            self.stop.check()?;
            let has_histograms = |member: &usize| !series[*member].column.histograms().is_empty();
            let column = if group.members.iter().any(has_histograms) {
                let members: Vec<&Series> = group.members.iter().map(|member| &series[*member]).collect();
                self.fold_both(&members, fold, grid.count, &place)
            } else {
                fold.apply(group.members.iter().map(|member| &series[*member].column), grid.count)
            };
            self.charge(column.cells())?;
            found.push(Series { labels: group.labels, drop_name: group.drop_name, column });
        }
        Ok(found)
    }

    fn choose(
        &mut self,
        node: &Expr,
        mut series: Vec<Series>,
        by: Option<&LabelModifier>,
        grid: Grid,
        choice: &Choice,
    ) -> Result<Vec<Series>, QueryError> {
        let groups = groups(&series, by);
        let mut order = Vec::with_capacity(series.len());
        for group in &groups {
            self.stop.check()?;
            let members: Vec<&Series> = group.members.iter().map(|member| &series[*member]).collect();
            if let Some(name) = choice.ignores_histograms(&members) {
                let place = self.places.start(node);
                self.notes.info(&format!("ignored histogram in {name} aggregation"), &place);
            }
            let chosen: Vec<Vec<usize>> = (0..grid.count).map(|step| choice.chosen(&members, step)).collect();
            // At one time the order of the answer is the order of choice.
            order.extend(chosen.first().into_iter().flatten().map(|place| group.members[*place]));
            let mut kept = vec![Column::absent(grid.count); group.members.len()];
            for (step, places) in chosen.iter().enumerate() {
                for place in places {
                    if let Some(cell) = members[*place].column.cell(step) {
                        kept[*place].put(step, cell);
                    }
                }
            }
            for (member, column) in group.members.iter().zip(kept) {
                series[*member].column = column;
            }
        }
        if grid.count == 1 {
            return Ok(order.into_iter().map(|index| series[index].clone()).collect());
        }
        series.retain(|one| !one.column.is_empty());
        Ok(series)
    }
}

fn parameter(expr: &AggregateExpr) -> Result<&Expr, QueryError> {
    expr.param.as_deref().ok_or_else(|| QueryError::Execution(format!("{} needs a parameter", expr.op)))
}

/// Groups in order of their first member.
fn groups(series: &[Series], by: Option<&LabelModifier>) -> Vec<Group> {
    // A series' group is found by a hash of the labels that count; only a new group has labels made for it.
    let mut places: HashMap<u64, Vec<usize>> = HashMap::new();
    let mut groups: Vec<Group> = Vec::new();
    let (hashing, counts) = (RandomState::new(), |name: &str| counts(by, name));
    for (index, one) in series.iter().enumerate() {
        let same = places.entry(hash_of(&hashing, &one.labels, counts)).or_default();
        let known = same.iter().copied().find(|place| are_those(&groups[*place].labels, &one.labels, counts));
        let place = known.unwrap_or_else(|| {
            groups.push(Group { labels: filtered(&one.labels, counts), drop_name: false, members: Vec::new() });
            same.push(groups.len() - 1);
            groups.len() - 1
        });
        groups[place].members.push(index);
        groups[place].drop_name |= one.drop_name;
    }
    groups
}

/// Whether a label is one by which series are told apart.
fn counts(by: Option<&LabelModifier>, name: &str) -> bool {
    match by {
        None => false,
        Some(LabelModifier::Include(kept)) => kept.labels.iter().any(|label| label == name),
        Some(LabelModifier::Exclude(gone)) => name != METRIC_NAME && !gone.labels.iter().any(|label| label == name),
    }
}

fn hash_of(hashing: &RandomState, labels: &Labels, counts: impl Fn(&str) -> bool) -> u64 {
    let mut hasher = hashing.build_hasher();
    labels.iter().filter(|(name, _)| counts(name)).for_each(|pair| pair.hash(&mut hasher));
    hasher.finish()
}

/// Whether a group's labels are those of a series that count.
fn are_those(group: &Labels, labels: &Labels, counts: impl Fn(&str) -> bool) -> bool {
    group.iter().eq(labels.iter().filter(|(name, _)| counts(name)))
}

fn count_values(
    series: &[Series],
    by: Option<&LabelModifier>,
    label: &str,
    grid: Grid,
) -> Result<Vec<Series>, QueryError> {
    let mut found = Vec::new();
    let without =
        by.is_some_and(|by| matches!(by, LabelModifier::Exclude(gone) if gone.labels.iter().any(|l| l == label)));
    for group in groups(series, by) {
        let mut counts: HashMap<String, Column> = HashMap::new();
        for member in &group.members {
            let column = &series[*member].column;
            let floats = column.floats().map(|(step, value)| (step, number::text(value, Exponent::Never)));
            let histograms = column.histograms().iter().map(|(step, one)| (*step, super::histogram::shown(one)));
            for (step, text) in floats.chain(histograms) {
                let column = counts.entry(text).or_insert_with(|| Column::absent(grid.count));
                column.set(step, column.float(step).unwrap_or(0.0) + 1.0);
            }
        }
        let mut counts: Vec<(String, Column)> = counts.into_iter().collect();
        counts.sort_by(|a, b| a.0.cmp(&b.0));
        found.extend(counts.into_iter().map(|(value, column)| Series {
            // A label that `without` takes away is taken away from the answer, too.
            labels: with_label(&group.labels, label, if without { "" } else { &value }),
            drop_name: group.drop_name,
            column,
        }));
    }
    // The new label may stand where groups differed: what became the same is counted together.
    add_same(found)
}

fn add_same(series: Vec<Series>) -> Result<Vec<Series>, QueryError> {
    let mut sums: Vec<Series> = Vec::with_capacity(series.len());
    let mut places: HashMap<Labels, usize> = HashMap::new();
    for one in series {
        let Some(place) = places.get(&one.labels) else {
            places.insert(one.labels.clone(), sums.len());
            sums.push(one);
            continue;
        };
        let sum = &mut sums[*place];
        for (step, value) in one.column.floats() {
            sum.column.set(step, sum.column.float(step).unwrap_or(0.0) + value);
        }
    }
    join_same(sums)
}

/// Any text is a label's name in Prometheus 3, but not none, nor one that is not Unicode.
fn is_label_name(name: &str) -> bool {
    !name.is_empty() && !name.contains('\u{fffd}')
}

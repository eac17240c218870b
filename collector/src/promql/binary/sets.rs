//! `and`, `or` and `unless`: keep or add series by whether the other side has a match at the same step.

use std::collections::HashMap;

use super::matching::Matching;
use crate::promql::QueryError;
use crate::promql::value::{Grid, Series, join_same};
use crate::series::Labels;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SetOperator {
    And,
    Or,
    Unless,
}

impl SetOperator {
    pub fn apply(
        self,
        left: Vec<Series>,
        right: Vec<Series>,
        matching: &Matching,
        grid: Grid,
    ) -> Result<Vec<Series>, QueryError> {
        match self {
            Self::And => Ok(kept(left, &presence(&right, matching, grid), matching, true)),
            Self::Unless => Ok(kept(left, &presence(&right, matching, grid), matching, false)),
            Self::Or => {
                let others = kept(right, &presence(&left, matching, grid), matching, false);
                join_same(left.into_iter().chain(others).collect())
            }
        }
    }
}

/// For each signature, the steps at which a series with it has a sample.
fn presence(series: &[Series], matching: &Matching, grid: Grid) -> HashMap<Labels, Vec<bool>> {
    let mut presence: HashMap<Labels, Vec<bool>> = HashMap::new();
    for one in series {
        let steps = presence.entry(matching.signature(&one.labels)).or_insert_with(|| vec![false; grid.count]);
        one.column.steps().for_each(|step| steps[step] = true);
    }
    presence
}

/// Samples whose signature is, or is not, present among the others at their step.
fn kept(
    mut series: Vec<Series>,
    others: &HashMap<Labels, Vec<bool>>,
    matching: &Matching,
    if_present: bool,
) -> Vec<Series> {
    for one in &mut series {
        let steps = others.get(&matching.signature(&one.labels));
        one.column.retain(|step| steps.is_some_and(|steps| steps[step]) == if_present);
    }
    series.retain(|one| !one.column.is_empty());
    series
}

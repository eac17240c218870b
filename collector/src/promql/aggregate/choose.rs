//! Aggregations that keep some of a group's series at each step: the largest, the smallest, the first, or a share of them.

use promql_parser::parser::Expr;
use promql_parser::parser::token::{T_BOTTOMK, T_LIMIT_RATIO, T_TOPK, TokenId};

use crate::promql::QueryError;
use crate::promql::evaluator::Evaluator;
use crate::promql::numbers::{nan_last, nan_last_descending};
use crate::promql::range::shown;
use crate::promql::value::Series;
use crate::series::Labels;

/// Which series are kept, with the limit of each step.
pub(super) enum Choice {
    Top(Vec<usize>),
    Bottom(Vec<usize>),
    First(Vec<usize>),
    /// From -1 to 1; a negative share is the complement of the positive one.
    Share(Vec<f64>),
}

impl Evaluator<'_> {
    pub(super) fn choice(&mut self, node: &Expr, op: TokenId, limits: &[f64]) -> Result<Choice, QueryError> {
        if op == T_LIMIT_RATIO {
            return self.shares(node, limits).map(Choice::Share);
        }
        let counts = limits.iter().map(|limit| whole(*limit)).collect::<Result<Vec<usize>, QueryError>>()?;
        Ok(match op {
            T_TOPK => Choice::Top(counts),
            T_BOTTOMK => Choice::Bottom(counts),
            _ => Choice::First(counts),
        })
    }

    fn shares(&mut self, node: &Expr, limits: &[f64]) -> Result<Vec<f64>, QueryError> {
        let place = self.places.argument(node, 0);
        for limit in limits {
            if limit.is_nan() {
                return Err(QueryError::Execution("Ratio value is NaN".to_owned()));
            }
            if limit.abs() > 1.0 {
                let (got, cap) = (shown(*limit), limit.signum());
                let text = format!("ratio value should be between -1 and 1, got {got}, capping to {cap}");
                self.notes.warn(&text, &place);
            }
        }
        Ok(limits.iter().map(|limit| limit.clamp(-1.0, 1.0)).collect())
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be within range")]
fn whole(limit: f64) -> Result<usize, QueryError> {
    if limit.is_nan() {
        return Err(QueryError::Execution("Parameter value is NaN".to_owned()));
    }
    if limit.abs() >= 2f64.powi(63) {
        let direction = if limit > 0.0 { "overflows" } else { "underflows" };
        return Err(QueryError::Execution(format!("Scalar value {} {direction} int64", shown(limit))));
    }
    Ok(limit.max(0.0) as usize)
}

impl Choice {
    /// Places of the members that are kept at a step, best first.
    pub fn chosen(&self, members: &[&Series], step: usize) -> Vec<usize> {
        let floats =
            || members.iter().enumerate().filter_map(|(place, member)| Some((place, member.column.float(step)?)));
        let present = || members.iter().enumerate().filter(|(_, member)| member.column.has(step));
        match self {
            Self::Top(limits) => best(floats().collect(), limits[step], nan_last_descending),
            Self::Bottom(limits) => best(floats().collect(), limits[step], nan_last),
            Self::First(limits) => present().take(limits[step]).map(|(place, _)| place).collect(),
            Self::Share(shares) => present()
                .filter(|(_, member)| is_in_share(&member.labels, shares[step]))
                .map(|(place, _)| place)
                .collect(),
        }
    }

    /// The name of an aggregation that passes over histograms, if there are some where it looks.
    pub fn ignores_histograms(&self, members: &[&Series]) -> Option<&'static str> {
        let (name, limits) = match self {
            Self::Top(limits) => ("topk", limits),
            Self::Bottom(limits) => ("bottomk", limits),
            Self::First(_) | Self::Share(_) => return None,
        };
        let mut histograms = members.iter().flat_map(|member| member.column.histograms());
        histograms.any(|(step, _)| limits[*step] > 0).then_some(name)
    }
}

fn best(mut values: Vec<(usize, f64)>, limit: usize, order: fn(f64, f64) -> std::cmp::Ordering) -> Vec<usize> {
    // Of equals the first is best; sorting is left to those that are kept.
    let order = |a: &(usize, f64), b: &(usize, f64)| order(a.1, b.1).then(a.0.cmp(&b.0));
    if limit < values.len() {
        if limit > 0 {
            values.select_nth_unstable_by(limit - 1, order);
        }
        values.truncate(limit);
    }
    values.sort_unstable_by(order);
    values.into_iter().map(|(place, _)| place).collect()
}

/// Decides by a hash of the labels, so that the same series are kept every time.
#[expect(clippy::cast_precision_loss, reason = "a position between 0 and 1")]
fn is_in_share(labels: &Labels, share: f64) -> bool {
    let position = hash(labels) as f64 / u64::MAX as f64;
    if share >= 0.0 { share > 0.0 && (position < share || share >= 1.0) } else { position >= 1.0 + share }
}

/// FNV-1a over names and values, with the bits mixed at the end.
fn hash(labels: &Labels) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for (name, value) in labels.iter() {
        for byte in name.bytes().chain([0xff]).chain(value.bytes()).chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

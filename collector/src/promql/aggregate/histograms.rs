//! Aggregations of groups in which there are native histograms. Start at `Evaluator::fold_both`.

use std::sync::Arc;

use super::fold::Fold;
use crate::promql::evaluator::Evaluator;
use crate::promql::histogram::{Combined, Incompatible, Mean, Sign, Total};
use crate::promql::notes::{Operation, Remark, Remarks};
use crate::promql::range::Resets;
use crate::promql::value::{Cell, Column, Series};
use crate::series::{Histogram, METRIC_NAME};

/// What the histograms of one step have become so far.
enum Gathered {
    Sum(Total),
    Mean(Mean),
}

impl Gathered {
    fn new(fold: &Fold, first: &Histogram) -> Self {
        if matches!(fold, Fold::Average) { Self::Mean(Mean::of(first)) } else { Self::Sum(Total::of(first)) }
    }

    fn add(&mut self, histogram: &Histogram) -> Result<Combined, Incompatible> {
        match self {
            Self::Sum(total) => total.add(histogram, Sign::Plus),
            Self::Mean(mean) => mean.add(histogram),
        }
    }

    fn finish(self) -> Histogram {
        match self {
            Self::Sum(total) => total.finish(),
            Self::Mean(mean) => mean.finish(),
        }
    }
}

/// One step of a group.
#[derive(Default)]
struct Step {
    has_float: bool,
    gathered: Option<Gathered>,
    resets: Resets,
    /// Exponential and custom buckets have met; what comes after is not looked at.
    incompatible: bool,
}

impl Evaluator<'_> {
    /// Folds a group that has histograms.
    pub(super) fn fold_both(&mut self, members: &[&Series], fold: &Fold, steps: usize, place: &str) -> Column {
        let mut column = fold.apply(members.iter().map(|member| &member.column), steps);
        match fold {
            Fold::Sum | Fold::Average => self.gather(members, fold, &mut column, place),
            Fold::Count => {
                let histograms = members.iter().flat_map(|member| member.column.histograms());
                for (step, _) in histograms {
                    column.set(*step, column.float(*step).unwrap_or(0.0) + 1.0);
                }
            }
            Fold::Group => {
                let histograms = members.iter().flat_map(|member| member.column.histograms());
                histograms.for_each(|(step, _)| column.set(*step, 1.0));
            }
            Fold::Min | Fold::Max | Fold::Deviation | Fold::Variance | Fold::Quantile(_) => {
                self.notes.info(&format!("ignored histogram in {} aggregation", fold.name()), place);
            }
        }
        column
    }

    /// Puts the sum or the mean of the histograms into the column that has it of the numbers; where there are both, there is
    /// neither.
    fn gather(&mut self, members: &[&Series], fold: &Fold, column: &mut Column, place: &str) {
        let mut steps: Vec<Step> = Vec::new();
        steps.resize_with(column.steps_count(), Step::default);
        for member in members {
            member.column.floats().for_each(|(step, _)| steps[step].has_float |= !steps[step].incompatible);
            let mut remarks = Remarks::default();
            for (step, histogram) in member.column.histograms() {
                steps[*step].see(histogram, fold, &mut remarks);
            }
            self.notes.remark(&remarks, member.labels.get(METRIC_NAME).unwrap_or_default(), place);
        }
        let mut remarks = Remarks::default();
        let mut mixed = false;
        for (at, step) in steps.into_iter().enumerate() {
            let Some(gathered) = step.gathered else { continue };
            column.clear(at);
            if step.has_float {
                mixed = true;
            } else if !step.incompatible {
                if step.resets.collide() {
                    remarks.add(Remark::Collision(Operation::Aggregation));
                }
                column.put(at, Cell::Histogram(Arc::new(gathered.finish())));
            }
        }
        if mixed {
            self.notes.warn("encountered a mix of histograms and floats for aggregation", place);
        }
        self.notes.remark(&remarks, "", place);
    }
}

impl Step {
    fn see(&mut self, histogram: &Histogram, fold: &Fold, remarks: &mut Remarks) {
        if self.incompatible {
            return;
        }
        self.resets.see(histogram);
        let Some(gathered) = &mut self.gathered else {
            self.gathered = Some(Gathered::new(fold, histogram));
            return;
        };
        match gathered.add(histogram) {
            Ok(how) if how.reconciled => remarks.add(Remark::Reconciled(Operation::Aggregation)),
            Ok(_) => {}
            Err(Incompatible) => {
                self.incompatible = true;
                remarks.add(Remark::MixedSchemas);
            }
        }
    }
}

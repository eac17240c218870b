//! `histogram_quantile`, `histogram_quantiles` and `histogram_fraction`: of native histograms, and of classic ones, whose
//! buckets are series with a label `le`. Start at `Evaluator::estimate`.

use std::collections::HashMap;
use std::sync::Arc;

use promql_parser::parser::Expr;
use protocol::number::{self, Exponent};

use super::buckets::{self, Bucket, parse_bound};
use crate::promql::QueryError;
use crate::promql::evaluator::Evaluator;
use crate::promql::histogram::{self, QuantileRemark};
use crate::promql::value::{Column, Grid, Series, Value, filtered, with_label};
use crate::series::{Histogram, Labels, METRIC_NAME};

/// The label that holds a bucket's upper bound.
const BOUND: &str = "le";

/// All that is known of one histogram: a classic one, a native one, or one that was the one and became the other.
struct Subject<'a> {
    labels: Labels,
    drop_name: bool,
    /// Columns by upper bound, ascending.
    buckets: Vec<(f64, &'a Column)>,
    native: Option<&'a Column>,
}

/// What is computed of a histogram at each step.
enum Question {
    Quantile(Vec<f64>),
    Fraction { lower: Vec<f64>, upper: Vec<f64> },
}

impl Evaluator<'_> {
    pub(super) fn estimate(
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
        let subjects = self.subjects(&series, &place);
        let mut found = Vec::new();
        for (label, question) in &questions {
            for subject in &subjects {
                self.stop.check()?;
                let column = self.answer(subject, question, grid, &place);
                if column.is_empty() {
                    continue;
                }
                let labels = match label {
                    Some((name, value)) => with_label(&subject.labels, name, value),
                    None => subject.labels.clone(),
                };
                found.push(Series { labels, drop_name: subject.drop_name, column });
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

    /// Gathers buckets into histograms; a number that is no bucket is noted and left out.
    fn subjects<'s>(&mut self, series: &'s [Series], place: &str) -> Vec<Subject<'s>> {
        let mut places: HashMap<Labels, usize> = HashMap::new();
        let mut subjects: Vec<Subject<'s>> = Vec::new();
        for one in series {
            let mut subject = |labels: Labels| {
                let index = *places.entry(labels).or_insert_with_key(|labels| {
                    let labels = labels.clone();
                    subjects.push(Subject { labels, drop_name: false, buckets: Vec::new(), native: None });
                    subjects.len() - 1
                });
                subjects[index].drop_name |= one.drop_name;
                index
            };
            let native = (!one.column.histograms().is_empty()).then(|| subject(one.labels.clone()));
            let bound = one.labels.get(BOUND).unwrap_or_default();
            let upper = parse_bound(bound);
            let classic = upper.map(|_| subject(filtered(&one.labels, |name| name != BOUND)));
            if let Some(index) = native {
                subjects[index].native = Some(&one.column);
            }
            if let Some((upper, index)) = upper.zip(classic) {
                subjects[index].buckets.push((upper, &one.column));
            } else if one.column.floats().next().is_some() {
                let text = format!("bucket label \"le\" is missing or has a malformed value of {bound:?}");
                self.notes.warn(&(text + &of_metric(&one.labels)), place);
            }
        }
        for subject in &mut subjects {
            subject.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        subjects
    }

    fn answer(&mut self, subject: &Subject<'_>, question: &Question, grid: Grid, place: &str) -> Column {
        let mut column = Column::absent(grid.count);
        let mut buckets = Vec::with_capacity(subject.buckets.len());
        for (step, at_ms) in grid.times().enumerate() {
            if matches!(question, Question::Quantile(phis) if phis[step].to_bits() == NOT_ASKED.to_bits()) {
                continue;
            }
            collect(&subject.buckets, step, &mut buckets);
            let native = subject.native.and_then(|column| column.histogram(step));
            let value = match native {
                Some(_) if !buckets.is_empty() => {
                    let text = "vector contains a mix of classic and native histograms".to_owned();
                    self.notes.warn(&(text + &of_metric(&subject.labels)), place);
                    continue;
                }
                Some(native) => self.of_native(native, question, step, subject, place),
                None if buckets.is_empty() => continue,
                None => match question {
                    Question::Fraction { lower, upper } => buckets::fraction(lower[step], upper[step], &buckets),
                    Question::Quantile(phis) => {
                        let (value, repair) = buckets::quantile(phis[step], &mut buckets);
                        if let Some(repair) = repair {
                            let name = subject.labels.get(METRIC_NAME).unwrap_or_default();
                            self.notes.info(&repair.text(name, at_ms), place);
                        }
                        value
                    }
                },
            };
            column.set(step, value);
        }
        column
    }

    fn of_native(
        &mut self,
        native: &Arc<Histogram>,
        question: &Question,
        step: usize,
        subject: &Subject<'_>,
        place: &str,
    ) -> f64 {
        let (value, remark) = match question {
            Question::Quantile(phis) => {
                let (value, remark) = histogram::quantile(phis[step], native);
                let text = remark.map(|remark| match remark {
                    QuantileRemark::IsNan => "input to histogram_quantile has NaN observations, result is NaN",
                    QuantileRemark::Skewed => {
                        "input to histogram_quantile has NaN observations, result is skewed higher"
                    }
                });
                (value, text)
            }
            Question::Fraction { lower, upper } => {
                let (value, some_nan) = histogram::fraction(lower[step], upper[step], native);
                let text = "input to histogram_fraction has NaN observations, which are excluded from all fractions";
                (value, some_nan.then_some(text))
            }
        };
        if let Some(text) = remark {
            let text = text.to_owned() + &of_metric(&subject.labels);
            self.notes.info(&text, place);
        }
        value
    }
}

/// For the end of a note: of which metric it is.
fn of_metric(labels: &Labels) -> String {
    labels.get(METRIC_NAME).map_or_else(String::new, |name| format!(" for metric name {name:?}"))
}

/// A φ at steps that belong to another series.
const NOT_ASKED: f64 = f64::from_bits(crate::series::STALE_NAN_BITS);

/// The buckets that have a sample at a step; equal bounds are added up.
fn collect(columns: &[(f64, &Column)], step: usize, buckets: &mut Vec<Bucket>) {
    buckets.clear();
    for (upper, column) in columns {
        let Some(count) = column.float(step) else { continue };
        match buckets.last_mut() {
            Some(last) if last.upper == *upper => last.count += count,
            _ => buckets.push(Bucket { upper: *upper, count }),
        }
    }
}

/// As OpenMetrics writes `le` and `quantile`: with a point.
fn open_metrics_float(value: f64) -> String {
    let text = number::text(value, Exponent::Never);
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if plain { format!("{text}.0") } else { text }
}

//! What a collector says, ours or Prometheus: stored samples, its own metrics, how it does with its targets.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use protocol::prometheus::RangeSeries;
use serde::Deserialize;
use serde_json::Value;

use super::ledger::Found;
use crate::bench::generator::Generator;
use crate::subject::Subject;

/// Longer than any trial's samples reach back.
const ALL: &str = "80d";

#[derive(Deserialize)]
struct Answer {
    status: String,
    data: Option<Data>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<RangeSeries>,
}

/// All samples that are stored of the series that a selector names.
pub async fn stored(subject: &Subject, selector: &str) -> anyhow::Result<Vec<RangeSeries>> {
    let (status, body, _) = subject.ask("/api/v1/query", &[("query", format!("{selector}[{ALL}]"))]).await?;
    let answer: Answer = serde_json::from_slice(&body).context("the answer is no JSON")?;
    match answer.data {
        Some(data) if answer.status == "success" => Ok(data.result),
        _ => bail!("{selector} is answered with {status}: {}", answer.error.unwrap_or_default()),
    }
}

/// The samples of a series by milliseconds and value.
#[expect(clippy::cast_possible_truncation, reason = "milliseconds since the epoch")]
pub fn samples(series: &RangeSeries) -> Vec<(i64, f64)> {
    series.values.iter().map(|point| ((point.seconds() * 1_000.0).round() as i64, point.value())).collect()
}

/// All samples of a metric whose series are numbered by a label; a series without a number is one that nobody sent.
pub async fn numbered(subject: &Subject, selector: &str, label: &str) -> anyhow::Result<Vec<Found>> {
    let number = |series: &RangeSeries| series.metric.get(label).and_then(|text| text.parse().ok());
    let found = stored(subject, selector).await?;
    Ok(found.iter().map(|series| (number(series).unwrap_or(usize::MAX), samples(series))).collect())
}

/// The sum of a metric's values on a page of metrics, of those series in whose labels a text stands.
pub fn sum(page: &str, metric: &str, label: &str) -> f64 {
    let values = page.lines().filter_map(|line| {
        let rest = line.strip_prefix(metric)?;
        let (labels, value) = rest.rsplit_once(' ')?;
        (labels.is_empty() || labels.starts_with('{')).then_some(())?;
        labels.contains(label).then(|| value.parse::<f64>().ok())?
    });
    values.sum()
}

/// How many of the generator's samples of the last so many seconds are found, metric by metric: without their names many series
/// would be the same.
pub async fn count(subject: &Subject, generator: &Generator, seconds: u64) -> anyhow::Result<f64> {
    let names: BTreeSet<&str> = generator.lines.iter().map(|line| line.name).collect();
    let mut samples = 0.0;
    for name in names {
        samples += subject.number(&format!("sum(count_over_time({name}[{seconds}s]))")).await?.unwrap_or(0.0);
    }
    Ok(samples)
}

/// What it says of each of its targets.
pub async fn targets(subject: &Subject) -> anyhow::Result<Vec<Value>> {
    let (_, text) = subject.get("/api/v1/targets").await?;
    let mut answer: Value = serde_json::from_str(&text).context("the answer is no JSON")?;
    let Value::Array(targets) = answer["data"]["activeTargets"].take() else { bail!("no targets: {text}") };
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use super::sum;

    #[test]
    fn a_metric_is_summed_over_the_series_that_are_meant() {
        let page =
            "# TYPE a counter\na_total{reason=\"x\"} 3\na_total{reason=\"y\",url=\"a b\"} 4\na_total_more 9\nb 0.5\n";
        for (metric, label, wanted) in
            [("a_total", "", 7.0), ("a_total", "reason=\"y\"", 4.0), ("b", "", 0.5), ("c", "", 0.0), ("a", "", 0.0)]
        {
            assert!((sum(page, metric, label) - wanted).abs() < f64::EPSILON, "{metric} {label}");
        }
    }
}

//! The same samples are written into both, then both are asked the same queries in turn: how long each takes, and whether
//! the answers agree.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};

use super::answers::difference;
use super::generator::Generator;
use super::remote_write::{Span, fill};
use super::report::Report;
use super::{History, Setup};
use crate::subject::{Side, Subject};

/// What is asked.
const QUERIES: &str = include_str!("queries.txt");

/// Neither scrapes anything.
const CONFIGURATION: &str = "global: { scrape_interval: 1m }\nscrape_configs: []\n";

/// One query with its parameters.
#[derive(Debug)]
struct Question {
    text: String,
    path: &'static str,
    form: Vec<(&'static str, String)>,
}

/// Fills both, or ours alone, and asks.
pub async fn run(
    setup: &Setup,
    plimsoll: &Path,
    folder: &Path,
    history: History,
    repeat: usize,
    only: Option<&str>,
) -> anyhow::Result<Report> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let span = Span::until(now, history);
    let generator = Generator::new(setup.series);
    let subjects = start(setup, plimsoll, folder).await?;
    for subject in &subjects {
        eprintln!("writing {} h of samples into {}", history.hours, subject.launch.side.name());
        fill(subject, &generator, setup.targets, span).await?;
    }
    let wanted = |question: &Question| only.is_none_or(|part| question.text.contains(part));
    let questions: Vec<Question> = questions(span)?.into_iter().filter(wanted).collect();
    let title = format!(
        "query: {} series, {} h each {} s, median of {repeat}",
        setup.targets * setup.series,
        history.hours,
        span.interval
    );
    let mut report = Report { title, ..Report::default() };
    let mut totals = vec![0.0; subjects.len()];
    for question in &questions {
        eprintln!("asking {}", question.text);
        let times = ask(&subjects, question, repeat, &mut report).await?;
        totals.iter_mut().zip(&times).for_each(|(total, time)| *total += time);
        report.row(format!("{} ms", question.text), times.first().copied(), times.get(1).copied());
    }
    report.row("all queries, ms", totals.first().copied(), totals.get(1).copied());
    memory(&subjects, &mut report)?;
    Ok(report)
}

/// Starts both without anything to scrape.
pub async fn start(setup: &Setup, plimsoll: &Path, folder: &Path) -> anyhow::Result<Vec<Subject>> {
    let mut subjects = vec![Subject::start(Side::Ours, plimsoll, folder, CONFIGURATION).await?];
    if let Some(prometheus) = &setup.prometheus {
        subjects.push(Subject::start(Side::Prometheus, prometheus, folder, CONFIGURATION).await?);
    }
    Ok(subjects)
}

/// Milliseconds of each side: the median, after one time that warms up and whose answers are compared.
async fn ask(
    subjects: &[Subject],
    question: &Question,
    repeat: usize,
    report: &mut Report,
) -> anyhow::Result<Vec<f64>> {
    let mut answers = Vec::new();
    for subject in subjects {
        let (status, body, _) = subject.ask(question.path, &question.form).await?;
        if status != 200 {
            let text = String::from_utf8_lossy(&body).chars().take(300).collect::<String>();
            report.failures.push(format!("{}: {} answers {status}: {text}", question.text, subject.launch.side.name()));
        }
        answers.push(body);
    }
    if let [ours, theirs] = answers.as_slice()
        && let Some(difference) = difference(ours, theirs)
    {
        report.failures.push(format!("{}: {difference}", question.text));
    }
    drop(answers);
    let mut times = vec![Vec::with_capacity(repeat); subjects.len()];
    for _ in 0..repeat.max(1) {
        for (subject, times) in subjects.iter().zip(&mut times) {
            times.push(subject.ask(question.path, &question.form).await?.2);
        }
    }
    Ok(times.into_iter().map(median_ms).collect())
}

fn median_ms(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
}

#[expect(clippy::cast_precision_loss, reason = "bytes of memory")]
fn memory(subjects: &[Subject], report: &mut Report) -> anyhow::Result<()> {
    let mut found = Vec::new();
    for subject in subjects {
        found.push(subject.usage()?.peak_bytes as f64 / f64::from(1 << 20));
    }
    report.row("RSS at its peak, MiB", found.first().copied(), found.get(1).copied());
    Ok(())
}

/// The file's questions, at the end of the data.
fn questions(span: Span) -> anyhow::Result<Vec<Question>> {
    let lines = QUERIES.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| question(line, span).with_context(|| format!("queries.txt: {line}"))).collect()
}

fn question(line: &str, span: Span) -> anyhow::Result<Question> {
    let text = line.to_owned();
    let end = span.end.to_string();
    if let Some(query) = line.strip_prefix("instant ") {
        return Ok(Question { text, path: "/api/v1/query", form: vec![("query", query.to_owned()), ("time", end)] });
    }
    let mut words = line.splitn(4, ' ');
    let (Some("range"), Some(length), Some(step), Some(query)) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        bail!("begin with `instant QUERY` or `range SPAN STEP QUERY`");
    };
    let length = protocol::duration::parse(length).map_err(|error| anyhow::anyhow!("{error}"))?.as_secs();
    let start = span.end.saturating_sub(length).max(span.start).to_string();
    let form = vec![("query", query.to_owned()), ("start", start), ("end", end), ("step", step.to_owned())];
    Ok(Question { text, path: "/api/v1/query_range", form })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_file_is_a_question() {
        let span = Span { start: 1_000_000, end: 1_007_200, interval: 15 };
        let questions = questions(span).unwrap();
        assert!(questions.len() >= 30);
        assert!(question("sum(x)", span).is_err());
    }
}

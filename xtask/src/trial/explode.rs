//! One of many targets grows at once to very many series, and has others at each scrape, under a limit of either kind. Its
//! neighbours must keep to their schedule, memory must not follow, and the reason must be seen.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rand::RngExt;
use serde_json::Value;

use super::Ground;
use super::answers::{numbered, samples, stored, sum, targets};
use super::printing::{METRIC, Printing, now_ms};
use super::report::Report;
use super::schedule::Schedule;
use crate::subject::{Launch, Side, Subject};

/// The targets that must not notice, and their series.
const NEIGHBOURS: usize = 20;
const LINES: usize = 500;

/// Series that the exploding target has from the beginning.
const BASE: usize = 500;

/// How many it may have.
const LIMIT: usize = 1_000;

/// How often all are scraped.
const INTERVAL: &str = "1s";
const INTERVAL_MS: i64 = 1_000;

/// What goes before: series are made, memory finds its size; then the steady state is looked at.
const WARM_UP: Duration = Duration::from_secs(10);
const STEADY: Duration = Duration::from_secs(20);

/// Between two looks at its memory.
const POLL: Duration = Duration::from_millis(100);

/// What was asked for.
const RSS_GROWTH_MIB_MAX: f64 = 64.0;

/// How far one in a hundred scrapes of the neighbours may be off, in milliseconds: a tenth of the interval.
const OFF_MS_MAX: f64 = 100.0;

/// The kinds of limit.
const LIMITS: [&str; 2] = ["series_limit", "sample_limit"];

/// The target that explodes.
struct Exploding {
    series: usize,
    has_exploded: AtomicBool,
    scrapes: AtomicUsize,
}

/// What was seen of memory and processor in a time.
#[derive(Default)]
struct Used {
    rss_max_bytes: u64,
    cpu_seconds: f64,
}

/// Both kinds, one after the other.
pub async fn run(mut ground: Ground, series: usize, seconds: u64) -> anyhow::Result<Report> {
    let title =
        format!("explode: {NEIGHBOURS} targets x {LINES} series beside one that grows to {series}, for {seconds} s");
    let mut report = Report::new(title, ground.seed);
    for limit in LIMITS {
        eprintln!("{limit}: {LIMIT}");
        under(&mut ground, limit, series, Duration::from_secs(seconds), &mut report).await?;
    }
    Ok(report)
}

async fn under(
    ground: &mut Ground,
    limit: &str,
    series: usize,
    length: Duration,
    report: &mut Report,
) -> anyhow::Result<()> {
    let folder = ground.folder.join(limit);
    std::fs::create_dir_all(&folder)?;
    let neighbours = Printing::listen("neighbours", NEIGHBOURS, LINES).await?;
    let (exploding, address) = Exploding::listen(series).await?;
    let own = format!(
        "- job_name: exploding\n  {limit}: {LIMIT}\n  scrape_interval: {INTERVAL}\n  scrape_timeout: {INTERVAL}\n  static_configs: [{{ targets: [{address:?}] }}]\n"
    );
    let config = format!("scrape_configs:\n{}{own}", neighbours.scrape_config(INTERVAL));
    let mut subject = Launch::new(Side::Ours, &ground.binary, &folder, &config)?.start()?;
    subject.ready().await?;
    tokio::time::sleep(WARM_UP).await;
    let steady_ms = now_ms();
    let steady = watch(&subject, STEADY).await?;
    // At any moment of the interval.
    tokio::time::sleep(Duration::from_millis(ground.random.random_range(0..1_000))).await;
    let exploded_ms = now_ms();
    exploding.has_exploded.store(true, Ordering::Relaxed);
    let during = watch(&subject, length).await?;

    let shown = targets(&subject).await?;
    let page = subject.get("/metrics").await?.1;
    #[expect(clippy::cast_precision_loss, reason = "bytes of memory")]
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let (before, after) = (mebibytes(steady.rss_max_bytes), mebibytes(during.rss_max_bytes));
    report.figure(format!("{limit}: RSS before, its most, MiB"), before);
    report.figure(format!("{limit}: RSS since then, its most, MiB"), after);
    report.figure(format!("{limit}: CPU seconds a second before"), steady.cpu_seconds / STEADY.as_secs_f64());
    report.figure(format!("{limit}: CPU seconds a second since then"), during.cpu_seconds / length.as_secs_f64());
    report.at_most(format!("{limit}: RSS growth, MiB"), after - before, RSS_GROWTH_MIB_MAX);
    judge_neighbours(&subject, &neighbours, limit, (steady_ms, exploded_ms), report).await?;
    judge_exploding(&subject, &shown, &page, limit, exploded_ms, report).await?;
    subject.stop().await
}

/// Its memory and processor time for a while.
async fn watch(subject: &Subject, length: Duration) -> anyhow::Result<Used> {
    let (began, before) = (Instant::now(), subject.usage()?);
    let mut used = Used::default();
    while began.elapsed() < length {
        used.rss_max_bytes = used.rss_max_bytes.max(subject.usage()?.resident_bytes);
        tokio::time::sleep(POLL).await;
    }
    used.cpu_seconds = subject.usage()?.cpu_seconds - before.cpu_seconds;
    Ok(used)
}

/// Whether the neighbours are scraped on time, with nothing missing.
async fn judge_neighbours(
    subject: &Subject,
    neighbours: &Printing,
    limit: &str,
    (steady_ms, exploded_ms): (i64, i64),
    report: &mut Report,
) -> anyhow::Result<()> {
    let (mut before, mut after) = (Schedule::default(), Schedule::default());
    let selector = format!("{METRIC}{{job=\"neighbours\",line=\"0\"}}");
    let all = numbered(subject, &selector, "instance").await?;
    for (_, samples) in &all {
        let within = |from_ms: i64, until_ms: i64| -> Vec<i64> {
            samples
                .iter()
                .map(|(time_ms, _)| *time_ms)
                .filter(|time_ms| (from_ms..until_ms).contains(time_ms))
                .collect()
        };
        before.add(Schedule::of(&within(steady_ms, exploded_ms), INTERVAL_MS));
        after.add(Schedule::of(&within(exploded_ms - INTERVAL_MS, i64::MAX), INTERVAL_MS));
    }
    report.is_so(format!("{limit}: all neighbours are found"), all.len() == NEIGHBOURS);
    for (when, schedule) in [("before", &before), ("since then", &after)] {
        report.figure(format!("{limit}: neighbours off schedule {when}, 99 of 100, ms"), schedule.off_ms(99));
        report.figure(format!("{limit}: neighbours off schedule {when}, worst, ms"), schedule.off_ms(100));
    }
    let durations = stored(subject, "scrape_duration_seconds{job=\"neighbours\"}").await?;
    for (when, from_ms, until_ms) in [("before", steady_ms, exploded_ms), ("since then", exploded_ms, i64::MAX)] {
        let taken = durations.iter().flat_map(samples).filter(|(time_ms, _)| (from_ms..until_ms).contains(time_ms));
        let mut taken: Vec<f64> = taken.map(|(_, seconds)| seconds * 1_000.0).collect();
        taken.sort_unstable_by(f64::total_cmp);
        let at = |percent: usize| taken.get(taken.len() * percent / 100).copied().unwrap_or(f64::NAN);
        report.figure(format!("{limit}: scrape of a neighbour {when}, median, ms"), at(50));
        report.figure(format!("{limit}: scrape of a neighbour {when}, 99 of 100, ms"), at(99));
    }
    let up = stored(subject, "up{job=\"neighbours\"}").await?;
    let down = up.iter().flat_map(samples).filter(|(_, up)| *up < 1.0).count();
    let verdict = neighbours.verify(subject, i64::MAX).await?;
    #[expect(clippy::cast_precision_loss, reason = "counts of some minutes")]
    {
        report.figure(format!("{limit}: samples of neighbours compared"), verdict.expected as f64);
        report.at_most(format!("{limit}: gaps of neighbours"), (before.gaps + after.gaps) as f64, 0.0);
        report.at_most(format!("{limit}: failed scrapes of neighbours"), down as f64, 0.0);
        report.at_most(format!("{limit}: samples of neighbours missing"), verdict.missing as f64, 0.0);
        report.at_most(format!("{limit}: of them twice or invented"), (verdict.twice + verdict.invented) as f64, 0.0);
    }
    report.at_most(format!("{limit}: neighbours off schedule, 99 of 100, ms"), after.off_ms(99), OFF_MS_MAX);
    verdict.examples.iter().for_each(|words| report.say(words));
    Ok(())
}

/// Whether what was known of the target goes on, if the limit lets it, and whether it is seen why the rest does not.
async fn judge_exploding(
    subject: &Subject,
    shown: &[Value],
    page: &str,
    limit: &str,
    exploded_ms: i64,
    report: &mut Report,
) -> anyhow::Result<()> {
    let target = shown.iter().find(|target| target["scrapePool"] == "exploding").context("the target is not listed")?;
    let of = |name: &str| target[name].as_str().unwrap_or_default();
    let (failed, shed) = (of("lastError"), of("lastShed"));
    let scrapes = stored(subject, "up{job=\"exploding\"}").await?;
    let since: Vec<(i64, f64)> =
        scrapes.iter().flat_map(samples).filter(|(time_ms, _)| *time_ms >= exploded_ms).collect();
    let base = numbered(subject, "trial_base", "line").await?;
    let kept: Vec<usize> =
        base.iter().map(|(_, samples)| samples.iter().filter(|(time_ms, _)| *time_ms >= exploded_ms).count()).collect();
    let stored_burst = subject.number("count(count_over_time(trial_burst[1h]))").await?.unwrap_or(0.0);
    #[expect(clippy::cast_precision_loss, reason = "counts of some minutes")]
    {
        report.figure(format!("{limit}: scrapes of the exploding target"), since.len() as f64);
        report.figure(format!("{limit}: new series of it that were stored, in all"), stored_burst);
        report.figure(format!("{limit}: series in memory"), sum(page, "plimsoll_collector_head_series", ""));
    }
    report.at_least(format!("{limit}: scrapes of it were tried"), f64::from(u32::try_from(since.len())?), 5.0);
    let counted = match limit {
        "series_limit" => {
            let lost: usize = kept.iter().map(|kept| since.len().saturating_sub(*kept)).sum();
            report.is_so(format!("{limit}: its known series are all there"), kept.len() == BASE);
            report.at_most(format!("{limit}: samples of them missing"), f64::from(u32::try_from(lost)?), 0.0);
            report.is_so(format!("{limit}: the target says why"), failed.is_empty() && shed.contains(limit));
            sum(page, "plimsoll_collector_samples_dropped_total", limit)
        }
        _ => {
            report.at_most(format!("{limit}: scrapes of it that went well"), since.iter().map(|(_, up)| up).sum(), 0.0);
            report.is_so(
                format!("{limit}: the target says why"),
                failed.contains("sample limit") || failed.contains(limit),
            );
            sum(page, "plimsoll_collector_scrapes_total", "failed")
        }
    };
    report.at_least(format!("{limit}: own metrics count it"), counted, 1.0);
    report.say(format!("{limit}: {failed}{shed}"));
    Ok(())
}

impl Exploding {
    /// Serves it for as long as the runtime lives; tells where.
    async fn listen(series: usize) -> anyhow::Result<(Arc<Self>, String)> {
        if series <= LIMIT {
            bail!("a target of {series} series does not explode: the limit is {LIMIT}");
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.context("no port is free")?;
        let address = listener.local_addr()?.to_string();
        let exploding = Arc::new(Self { series, has_exploded: AtomicBool::new(false), scrapes: AtomicUsize::new(0) });
        let routes = Router::new().route("/metrics", get(print)).with_state(Arc::clone(&exploding));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok((exploding, address))
    }

    fn text(&self) -> String {
        let scrape = self.scrapes.fetch_add(1, Ordering::Relaxed);
        let mut text = "# TYPE trial_base gauge\n".to_owned();
        for line in 0..BASE {
            writeln!(text, "trial_base{{line=\"{line}\"}} {scrape}").expect("a text takes everything");
        }
        if self.has_exploded.load(Ordering::Relaxed) {
            text.push_str("# TYPE trial_burst gauge\n");
            for one in BASE..self.series {
                writeln!(text, "trial_burst{{request=\"{scrape}-{one}\",path=\"/customers/{one}\"}} {one}")
                    .expect("a text takes everything");
            }
        }
        text
    }
}

/// Long texts are put together where they hold up no neighbour.
async fn print(State(exploding): State<Arc<Exploding>>) -> Response {
    match tokio::task::spawn_blocking(move || exploding.text()).await {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn it_explodes_once_told_and_has_others_each_time() {
        let exploding = Exploding { series: 2_000, has_exploded: AtomicBool::new(false), scrapes: AtomicUsize::new(0) };
        let series = |text: &str| -> HashSet<String> {
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            lines.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
        };
        assert_eq!(series(&exploding.text()).len(), BASE);
        exploding.has_exploded.store(true, Ordering::Relaxed);
        let (first, second) = (series(&exploding.text()), series(&exploding.text()));
        assert_eq!((first.len(), second.len(), first.intersection(&second).count()), (2_000, 2_000, BASE));
    }
}

//! A million samples in the log of a collector that is killed: from its start until it is ready again, and the most memory it
//! has until then and while it settles, beside what the one before had with the same samples when it was killed.

use std::time::Duration;

use crate::bench::generator::Generator;
use crate::bench::remote_write::{Span, fill};
use crate::subject::{Launch, Side, Usage};
use crate::trial::Ground;
use crate::trial::answers::count;
use crate::trial::printing::now_ms;
use crate::trial::report::Report;

/// Series and samples of each: many short ones, and few long ones. The product is a million.
const SHAPES: [(usize, u64); 2] = [(100_000, 10), (1_000, 1_000)];

/// Series of one target.
const PER_TARGET: usize = 1_000;

/// Seconds between the samples of a series: all within the hour that the head takes.
const INTERVAL: u64 = 3;

/// How long memory is left to settle: after the samples came in, and after the start, so that the first upkeep is seen too.
const SETTLED: Duration = Duration::from_secs(5);

/// Seconds since the last sample when all are counted.
const REACH: u64 = 600;

/// What was asked for.
const SECONDS_MAX: f64 = 5.0;
const PEAK_MAX: f64 = 1.1;

#[expect(clippy::cast_precision_loss, reason = "bytes of memory, and a million samples")]
pub async fn run(ground: &Ground, report: &mut Report) -> anyhow::Result<()> {
    for (series, samples) in SHAPES {
        let shape = format!("{series} series x {samples} samples");
        eprintln!("recovery of {shape}");
        let folder = ground.folder.join(format!("recovery-{series}"));
        std::fs::create_dir_all(&folder)?;
        let launch = Launch::new(Side::Ours, &ground.binary, &folder, "scrape_configs: []\n")?;
        let mut subject = launch.start()?;
        subject.ready().await?;
        let end = u64::try_from(now_ms() / 1_000)?;
        let span = Span { start: end - (samples - 1) * INTERVAL, end, interval: INTERVAL };
        let generator = Generator::new(PER_TARGET);
        fill(&subject, &generator, series / PER_TARGET, span).await?;
        tokio::time::sleep(SETTLED).await;
        let before = subject.usage()?;
        subject.kill()?;

        let mut subject = launch.start()?;
        let ready = subject.ready().await?;
        let at_once = subject.usage()?;
        tokio::time::sleep(SETTLED).await;
        let after = subject.usage()?;
        let found = count(&subject, &generator, samples * INTERVAL + REACH).await?;
        subject.stop().await?;
        std::fs::remove_dir_all(&folder)?;

        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        report.figure(format!("{shape}: RSS before the kill, MiB"), mebibytes(before.resident_bytes));
        report.figure(format!("{shape}: its peak until then, MiB"), mebibytes(before.peak_bytes));
        report.figure(format!("{shape}: RSS when ready again, MiB"), mebibytes(at_once.resident_bytes));
        report.figure(format!("{shape}: peak of the recovery, MiB"), mebibytes(after.peak_bytes));
        report.figure(format!("{shape}: CPU seconds until ready"), at_once.cpu_seconds);
        report.at_least(format!("{shape}: samples found"), found, (series as u64 * samples) as f64);
        report.at_most(format!("{shape}: seconds to ready"), ready.as_secs_f64(), SECONDS_MAX);
        report.at_most(format!("{shape}: peak to RSS before"), ratio(&after, &before), PEAK_MAX);
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "bytes of memory")]
fn ratio(after: &Usage, before: &Usage) -> f64 {
    after.peak_bytes as f64 / before.resident_bytes as f64
}

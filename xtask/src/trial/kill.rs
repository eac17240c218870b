//! Kills the collector at random moments, of its start too, while metrics come in by all ways, history is sealed and questions
//! are asked; after each restart all that was acknowledged must be there. Then: how long recovery takes, and how much memory.

mod recovery;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use tokio::task::JoinSet;

use super::Ground;
use super::ledger::Verdict;
use super::load::Load;
use super::printing::Printing;
use super::report::Report;
use super::sender::{FastClock, Plan, Sender, Times, Way};
use crate::subject::{Launch, Side, Subject};

/// History begins so long ago, within the retention.
const AGO: Duration = Duration::from_secs(30 * 86_400);

/// How long samples are kept: nothing that was sent is forgotten meanwhile.
const RETENTION: &str = "70d";

/// An hour a second: each life of the process brings a block or two to seal.
const FAST: i64 = 3_600;

/// Nothing is scraped while history comes in, as samples of now would make it too old; what is late goes its own way to blocks.
const HISTORY: &str = "storage: { tsdb: { out_of_order_time_window: 12h } }\nscrape_configs: []\n";

/// The longest that it is left alone after it was found well.
const LEFT_ALONE_MS: u64 = 2_500;

/// One kill in so many comes while it starts.
const STARTING: u32 = 3;

/// A kill during the start comes within so many times as long as the last start took, so that some hit what is done right after.
const START_TIMES: f64 = 3.0;

/// Targets that are scraped, their lines, and how often.
const TARGETS: usize = 4;
const LINES: usize = 100;
const INTERVAL: &str = "500ms";

/// After so many kills in the second half, history is compared again.
const HISTORY_EVERY: usize = 10;

/// What has happened so far.
#[derive(Default)]
struct Tally {
    kills: usize,
    kills_while_starting: usize,
    starts: Vec<Duration>,
    verified: u64,
    verdict: Verdict,
}

/// A collector that is killed, and those who go on sending.
struct Victim<'a> {
    launch: Launch,
    random: &'a mut StdRng,
    senders: Vec<Arc<Sender>>,
    printing: Option<Arc<Printing>>,
    tally: Tally,
}

/// Both halves, and recovery.
pub async fn run(mut ground: Ground, times: usize) -> anyhow::Result<Report> {
    let folder = ground.folder.join("killed");
    std::fs::create_dir_all(&folder)?;
    let launch = Launch::new(Side::Ours, &ground.binary, &folder, HISTORY)?.with(&["--retention", RETENTION]);
    let title = format!("kill: {times} times while history comes in, {times} times while targets are scraped");
    let mut report = Report::new(title, ground.seed);
    let mut tasks = JoinSet::new();
    let clock = FastClock::new(AGO, FAST);
    let senders = [
        ("trial_sent_0", 60, Way::RemoteWrite, Times::Past(clock)),
        ("trial_sent_1", 60, Way::RemoteWrite, Times::Past(clock)),
        ("trial_late", 20, Way::RemoteWrite, Times::PastAndLate(clock)),
        ("trial_exported", 30, Way::Otlp, Times::Past(clock)),
    ]
    .map(|(metric, series, way, times)| Sender::start(plan(metric, series, way, times), &launch, &mut tasks));
    let load = Load::start(&launch, 2, false, &mut tasks);
    let random = &mut ground.random;
    let mut victim = Victim { launch, random, senders: senders.to_vec(), printing: None, tally: Tally::default() };
    eprintln!("killing it {times} times while history comes in");
    victim.kill_often(times, &[]).await?;

    eprintln!("killing it {times} times while targets are scraped");
    let printing = Printing::listen("trial", TARGETS, LINES).await?;
    victim.launch.configure(&format!("scrape_configs:\n{}", printing.scrape_config(INTERVAL)))?;
    victim.printing = Some(Arc::clone(&printing));
    let launch = &victim.launch;
    let now = [
        ("trial_now_0", 60, Way::RemoteWrite),
        ("trial_now_1", 60, Way::RemoteWrite),
        ("trial_now_otlp", 30, Way::Otlp),
    ]
    .map(|(metric, series, way)| Sender::start(plan(metric, series, way, Times::Now), launch, &mut tasks));
    let spans = Load::start(launch, 0, true, &mut tasks);
    let history = std::mem::replace(&mut victim.senders, now.to_vec());
    victim.kill_often(times, &history).await?;

    for load in [&load, &spans] {
        load.errors.lock().iter().for_each(|error| report.say(error));
    }
    let errors = load.errors.lock().len() + spans.errors.lock().len();
    tasks.shutdown().await;
    victim.senders.extend(history);
    victim.report(&mut report);
    #[expect(clippy::cast_precision_loss, reason = "counts of some minutes")]
    {
        report.figure("scrapes of targets", printing.count() as f64);
        report.figure("questions answered beside", load.answered.load(Ordering::Relaxed) as f64);
        report.figure("exports of 50 spans beside", spans.exported.load(Ordering::Relaxed) as f64);
        report.at_most("answers that were errors", errors as f64, 0.0);
    }
    recovery::run(&ground, &mut report).await?;
    Ok(report)
}

fn plan(metric: &str, series: usize, way: Way, times: Times) -> Plan {
    Plan { metric: metric.to_owned(), series, per_request: 1, way, times, pause: Duration::from_millis(30) }
}

impl Victim<'_> {
    /// Kills it so often, then lets the senders finish and compares everything; `before` are senders that have finished.
    async fn kill_often(&mut self, times: usize, before: &[Arc<Sender>]) -> anyhow::Result<()> {
        for kill in 0..times {
            let mut subject = self.launch.start()?;
            if self.random.random_ratio(1, STARTING) {
                let last = self.tally.starts.last().copied().unwrap_or(Duration::from_millis(100));
                let moment = last.mul_f64(self.random.random_range(0.0..START_TIMES));
                tokio::time::sleep(moment).await;
                self.tally.kills_while_starting += 1;
            } else {
                self.tally.starts.push(subject.ready().await?);
                self.verify(&subject).await?;
                if kill % HISTORY_EVERY == 0 {
                    self.verify_all(before, &subject).await?;
                }
                tokio::time::sleep(Duration::from_millis(self.random.random_range(0..LEFT_ALONE_MS))).await;
            }
            subject.kill()?;
            self.tally.kills += 1;
            if let Some(printing) = &self.printing {
                printing.interrupted();
            }
            if (kill + 1) % 10 == 0 {
                eprintln!("killed {} times", kill + 1);
            }
        }
        let mut subject = self.launch.start()?;
        self.tally.starts.push(subject.ready().await?);
        for sender in &self.senders {
            sender.finish().await?;
        }
        self.verify(&subject).await?;
        self.verify_all(before, &subject).await?;
        subject.stop().await?;
        if let Some(printing) = &self.printing {
            printing.interrupted();
        }
        Ok(())
    }

    async fn verify(&mut self, subject: &Subject) -> anyhow::Result<()> {
        let senders = self.senders.clone();
        self.verify_all(&senders, subject).await?;
        if let Some(printing) = &self.printing {
            let verdict = printing.verify(subject, i64::MAX).await?;
            self.note(verdict);
        }
        Ok(())
    }

    async fn verify_all(&mut self, senders: &[Arc<Sender>], subject: &Subject) -> anyhow::Result<()> {
        for sender in senders {
            let verdict = sender.verify(subject).await?;
            self.note(verdict);
        }
        Ok(())
    }

    fn note(&mut self, verdict: Verdict) {
        if !verdict.is_well() {
            eprintln!("after {} kills: {verdict:?}", self.tally.kills);
        }
        self.tally.verified += verdict.expected;
        self.tally.verdict += verdict;
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of some minutes")]
    fn report(&self, report: &mut Report) {
        let tally = &self.tally;
        let log = self.launch.log();
        let said = |words: &str| log.lines().filter(|line| line.contains(words)).count() as f64;
        let longest = tally.starts.iter().max().copied().unwrap_or_default();
        report.figure("kills", tally.kills as f64);
        report.figure("of them while it started", tally.kills_while_starting as f64);
        report.figure(
            "samples acknowledged",
            self.senders.iter().map(|sender| sender.acknowledged()).sum::<u64>() as f64,
        );
        report.figure("samples compared, again after each start", tally.verified as f64);
        report.figure("torn ends of the log cut off", said("the write-ahead log is damaged from here on"));
        report.figure("blocks sealed on the way", said("samples in memory are sealed into a block"));
        report.figure("blocks merged on the way", said("blocks are merged"));
        report.figure("longest start, ms", longest.as_secs_f64() * 1_000.0);
        report.at_most("acknowledged samples missing", tally.verdict.missing as f64, 0.0);
        report.at_most("samples there twice", tally.verdict.twice as f64, 0.0);
        report.at_most("samples nobody sent", tally.verdict.invented as f64, 0.0);
        report.at_least("blocks sealed", said("samples in memory are sealed into a block"), 1.0);
        report.at_most("panics", said("panicked"), 0.0);
        let refusals: Vec<String> = self.senders.iter().filter_map(|sender| sender.refusal()).collect();
        report.at_most("senders that were refused", refusals.len() as f64, 0.0);
        tally.verdict.examples.iter().chain(&refusals).for_each(|words| report.say(words));
    }
}

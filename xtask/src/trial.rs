//! `cargo xtask trial`: the release binary as a process of its own through what operators fear, with figures and a verdict. Not
//! part of the gate, which has cheap variants of its own. Start at `Trial`.

mod answers;
mod disk;
mod explode;
mod kill;
mod ledger;
mod load;
mod namespace;
mod printing;
mod remote_write;
mod report;
mod schedule;
mod sender;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use rand::SeedableRng;
use rand::rngs::StdRng;

use self::report::Report;
use crate::bench;

/// What the collector is put through.
#[derive(Debug, Subcommand)]
pub enum Trial {
    /// `kill -9` at random moments of start and ingest: nothing acknowledged is missing, nothing is there twice, and it is soon
    /// back in no more memory than before.
    Kill {
        #[command(flatten)]
        setup: Setup,
        /// How often it is killed: so often while history comes in and is sealed, and so often while targets are scraped.
        #[arg(long, default_value_t = 50)]
        times: usize,
    },
    /// A disk that is full for a while: said, reads go on, nothing acknowledged is missing, and all goes on when there is room.
    Disk {
        #[command(flatten)]
        setup: Setup,
        /// Size of the disk, a tmpfs.
        #[arg(long, default_value_t = 96)]
        mebibytes: u64,
    },
    /// A target that grows to very many series at once, and to others each second, under a limit: its neighbours do not notice.
    Explode {
        #[command(flatten)]
        setup: Setup,
        /// How many series it has then.
        #[arg(long, default_value_t = 100_000)]
        series: usize,
        /// For how long, under each kind of limit.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// A Prometheus that sends to ours and ours that sends to it, for a while in peace and then while each is restarted.
    RemoteWrite {
        #[command(flatten)]
        setup: Setup,
        /// The Prometheus.
        #[arg(long, value_name = "PATH")]
        prometheus: PathBuf,
        /// How long they are left in peace.
        #[arg(long = "for", value_name = "DURATION", default_value = "10m", value_parser = protocol::duration::parse)]
        peace: Duration,
    },
}

/// What every trial is told.
#[derive(Debug, Args)]
pub struct Setup {
    /// Our binary; without it, it is built for release.
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// What chance begins with; without it another one each time, which is printed.
    #[arg(long)]
    seed: Option<u32>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    /// Leaves the folder with data and logs, and says where it is.
    #[arg(long)]
    keep: bool,
}

/// What a trial works with.
pub struct Ground {
    pub binary: PathBuf,
    pub folder: PathBuf,
    pub seed: u32,
    pub random: StdRng,
}

/// Runs one trial.
pub fn run(trial: &Trial) -> anyhow::Result<()> {
    if cfg!(debug_assertions) {
        return bench::for_release();
    }
    if matches!(trial, Trial::Disk { .. }) && !namespace::is_own() {
        return namespace::again();
    }
    let (Trial::Kill { setup, .. }
    | Trial::Disk { setup, .. }
    | Trial::Explode { setup, .. }
    | Trial::RemoteWrite { setup, .. }) = trial;
    let binary = match &setup.binary {
        Some(path) => path.clone(),
        None => bench::build()?,
    };
    let seed = setup.seed.unwrap_or_else(rand::random);
    eprintln!("seed {seed}");
    let folder = std::env::temp_dir().join(format!("plimsoll-trial-{}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let ground = Ground { binary, folder: folder.clone(), seed, random: StdRng::seed_from_u64(seed.into()) };
    let runtime = tokio::runtime::Runtime::new().context("cannot start")?;
    let report = runtime.block_on(async {
        match trial {
            Trial::Kill { times, .. } => kill::run(ground, *times).await,
            Trial::Disk { mebibytes, .. } => disk::run(ground, *mebibytes).await,
            Trial::Explode { series, seconds, .. } => explode::run(ground, *series, *seconds).await,
            Trial::RemoteWrite { prometheus, peace, .. } => remote_write::run(ground, prometheus, *peace).await,
        }
    });
    // What feeds the collector ends before its folder goes.
    drop(runtime);
    if setup.keep {
        eprintln!("data and logs are in {}", folder.display());
    } else {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    judge(&report?, setup.json)
}

fn judge(report: &Report, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", report.json()?);
    } else {
        print!("{}", report.table());
    }
    match report.broken() {
        0 => Ok(()),
        broken => bail!("{broken} claims do not hold; seed {}", report.seed),
    }
}

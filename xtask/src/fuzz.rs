//! Feeds made-up bytes to the ways in that package `fuzz` has, by libFuzzer on stable Rust: our own crates are instrumented, what
//! they depend on is built as ever. Says at the end how far each came; what broke a promise stays in `fuzz/artifacts`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use ::fuzz::{TARGETS, Target};
use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;
use tempfile::TempDir;

/// Where files are in memory: thousands of stores are opened each second.
const MEMORY: &str = "/dev/shm";

/// The longest that one input may take, in seconds: each has limits of its own, which are shorter.
const INPUT_SECONDS_MAX: u32 = 30;

/// The most memory of a target, in MiB: that of the largest requests which may be in flight together, several times over.
const MEMORY_MAX_MB: u32 = 1_024;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Ways in, such as exposition or wal; all if none is named.
    targets: Vec<String>,
    /// How long each is fed.
    #[arg(long = "for", value_name = "DURATION", default_value = "1m", value_parser = protocol::duration::parse)]
    time: Duration,
    /// Folders with further inputs to begin with.
    #[arg(long, value_name = "DIR")]
    corpus: Vec<PathBuf>,
}

/// How far a target came.
#[derive(Debug, Default, PartialEq, Eq)]
struct Progress {
    executions: u64,
    /// Edges of our code that were reached.
    edges: u64,
    /// Edges by how often, and comparisons: what libFuzzer is after.
    features: u64,
    memory_mb: u64,
    /// The input that broke a promise.
    finding: Option<String>,
}

/// Feeds the targets one after the other.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let named = arguments.targets.iter().map(|name| {
        let known = TARGETS.iter().find(|target| target.name == name);
        known.with_context(|| format!("there is no target {name:?}; there are {}", TARGETS.map(|t| t.name).join(", ")))
    });
    let mut targets = named.collect::<anyhow::Result<Vec<&Target>>>()?;
    if targets.is_empty() {
        targets = TARGETS.iter().collect();
    }
    let mut all = Vec::new();
    for target in targets {
        let binary = build(target)?;
        all.push((target.name, feed(target, &binary, arguments)?));
    }
    println!("{:14} {:>12} {:>8} {:>9} {:>7}", "target", "executions", "edges", "features", "MiB");
    for (name, progress) in &all {
        let Progress { executions, edges, features, memory_mb, finding } = progress;
        println!(
            "{name:14} {executions:12} {edges:8} {features:9} {memory_mb:7}  {}",
            finding.as_deref().unwrap_or("nothing found")
        );
    }
    let broken: Vec<&str> =
        all.iter().filter(|(_, progress)| progress.finding.is_some()).map(|(name, _)| *name).collect();
    if broken.is_empty() { Ok(()) } else { bail!("a promise is broken in: {}", broken.join(", ")) }
}

/// Builds a target; gives the binary.
fn build(target: &Target) -> anyhow::Result<PathBuf> {
    println!("== building {}", target.name);
    let output = Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked", "--package", "fuzz", "--features", "libfuzzer", "--bin", target.name])
        .args(["--message-format", "json-render-diagnostics"])
        .env("RUSTC_WORKSPACE_WRAPPER", crate::root().join("fuzz/rustc.sh"))
        .current_dir(crate::root())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo build")?;
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let binary = messages.find_map(|message| {
        let is_it = message["target"]["name"] == target.name && message["target"]["kind"][0] == "bin";
        message["executable"].as_str().filter(|_| is_it).map(PathBuf::from)
    });
    binary.filter(|_| output.status.success()).with_context(|| format!("the target {} cannot be built", target.name))
}

/// Feeds a target until the time is up or something is found.
fn feed(target: &Target, binary: &Path, arguments: &Arguments) -> anyhow::Result<Progress> {
    let home = crate::root().join("fuzz");
    let (corpus, artifacts) = (home.join("corpus").join(target.name), home.join("artifacts").join(target.name));
    for folder in [&corpus, &artifacts] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    for (i, seed) in (target.seeds)().iter().enumerate() {
        fs::write(corpus.join(format!("seed-{i:03}")), seed).context("cannot write a seed")?;
    }
    let scratch = scratch()?;
    let mut command = Command::new(binary);
    command.arg(&corpus).args(&arguments.corpus);
    if let Some(dictionary) = target.dictionary {
        let path = scratch.path().join("words.dict");
        fs::write(&path, dictionary).context("cannot write the dictionary")?;
        command.arg(format!("-dict={}", path.display()));
    }
    command
        .arg(format!("-max_total_time={}", arguments.time.as_secs().max(1)))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-rss_limit_mb={MEMORY_MAX_MB}"))
        .arg("-print_final_stats=1")
        .env("TMPDIR", scratch.path())
        .stderr(Stdio::piped());
    println!("== feeding {} for {}", target.name, protocol::duration::Display(arguments.time));
    let mut child = command.spawn().with_context(|| format!("cannot start {}", binary.display()))?;
    let mut progress = Progress::default();
    for line in BufReader::new(child.stderr.take().context("its messages are not to be had")?).split(b'\n') {
        let line = line.context("its messages cannot be read")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        progress.note(&line);
    }
    let status = child.wait().context("it cannot be waited for")?;
    if !status.success() && progress.finding.is_none() {
        progress.finding = Some(format!("it ended with {status}"));
    }
    Ok(progress)
}

/// A folder for what is written while a target runs.
fn scratch() -> anyhow::Result<TempDir> {
    let home = Some(PathBuf::from(MEMORY)).filter(|path| path.is_dir()).unwrap_or_else(std::env::temp_dir);
    tempfile::Builder::new().prefix("plimsoll-fuzz-").tempdir_in(home).context("cannot make a temporary folder")
}

impl Progress {
    /// Reads one of libFuzzer's messages.
    fn note(&mut self, line: &str) {
        if let Some((_, path)) = line.split_once("Test unit written to ") {
            self.finding = Some(path.trim().to_owned());
        }
        if line.starts_with('#') && line.contains("cov: ") {
            let mut words = line.split_whitespace();
            let number = |text: Option<&str>| {
                text.and_then(|text| text.trim_matches(|c: char| !c.is_ascii_digit()).parse().ok())
            };
            self.executions = number(words.next()).unwrap_or(self.executions);
            while let Some(word) = words.next() {
                match word {
                    "cov:" => self.edges = number(words.next()).unwrap_or(self.edges),
                    "ft:" => self.features = number(words.next()).unwrap_or(self.features),
                    "rss:" => self.memory_mb = number(words.next()).unwrap_or(self.memory_mb),
                    _ => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Progress;

    #[test]
    fn progress_is_read_from_libfuzzers_messages() {
        let mut progress = Progress::default();
        for line in [
            "INFO: Seed: 1",
            "#2\tINITED cov: 10 ft: 11 corp: 1/1b exec/s: 0 rss: 40Mb",
            "#1048576\tDONE   cov: 5123 ft: 20761 corp: 1420/310Kb lim: 4096 exec/s: 52428 rss: 412Mb",
        ] {
            progress.note(line);
        }
        let wanted = Progress { executions: 1_048_576, edges: 5_123, features: 20_761, memory_mb: 412, finding: None };
        assert_eq!(progress, wanted);
        progress.note("artifact_prefix='x/'; Test unit written to x/crash-1");
        assert_eq!(progress.finding.as_deref(), Some("x/crash-1"));
    }
}

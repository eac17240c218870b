//! The autoscaler's own binary beside the cluster, with the rights of the kubeconfig; what it tells about itself, and how much memory
//! it holds. Ends with its value.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use e2e::wait::until;
use tokio::process::{Child, Command};

/// Where it listens: a port that nothing usual takes.
const LISTEN: &str = "127.0.0.1:29091";
/// Ten thousand pods are listed first.
const READY_PATIENCE: Duration = Duration::from_secs(120);

/// A running autoscaler.
pub struct Autoscaler {
    child: Child,
}

impl Autoscaler {
    /// Starts it, and waits until it is ready.
    pub async fn start(program: &str, kubeconfig: &Path, collector: &str, interval: Duration) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.args(["autoscaler", "--listen", LISTEN, "--collector", collector, "--kubeconfig"]).arg(kubeconfig);
        command.args(["--interval", &format!("{}s", interval.as_secs())]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let autoscaler = Self { child: command.spawn().with_context(|| format!("cannot start {program}"))? };
        until("the autoscaler to be ready", READY_PATIENCE, async || {
            let answer = reqwest::get(format!("http://{LISTEN}/readyz")).await.map_err(|error| error.to_string())?;
            let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
            if status.is_success() { Ok(()) } else { Err(format!("{status}: {text}")) }
        })
        .await?;
        Ok(autoscaler)
    }

    /// A sample of its `/metrics` that has no labels.
    pub async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let text = reqwest::get(format!("http://{LISTEN}/metrics")).await?.text().await?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|value| value.split(' ').next()?.parse().ok()).with_context(|| format!("no {name} in /metrics"))
    }

    /// Resident memory in MiB: now, and at most so far.
    pub fn memory_mib(&self) -> anyhow::Result<(u64, u64)> {
        let Some(pid) = self.child.id() else { bail!("the autoscaler has ended") };
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        let both = kib("VmRSS:").zip(kib("VmHWM:")).context("no memory in /proc")?;
        Ok((both.0 / 1024, both.1 / 1024))
    }
}

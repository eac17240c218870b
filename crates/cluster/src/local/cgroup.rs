//! Limits and usage of replicas through control groups: `plimsoll-RUN/POD` below the cgroup of this process, version 2
//! or 1. Touches no cgroup that it did not make. Where none may be made, limits are not enforced, and that is said.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use protocol::quantity::Quantity;

use crate::Resources;

mod v1;
mod v2;

/// Begins the name of every cgroup of ours; the process id of the runtime and a number follow.
const PREFIX: &str = "plimsoll-";

/// Length of the window in which a CPU limit is counted: Kubernetes' default, and the kernel's.
const PERIOD_MICROS: i64 = 100_000;

/// The kernel accepts no smaller quota.
const QUOTA_MICROS_MIN: i64 = 1_000;

/// What a replica has used, from counters that only grow while its cgroup lives, except memory.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Usage {
    pub cpu_seconds: f64,
    /// Memory that cannot be dropped at once: cAdvisor's working set.
    pub memory_bytes: u64,
    /// `None` where nothing is enforced.
    pub throttling: Option<Throttling>,
    /// `None` where the kernel does not tell (cgroup v1, or built without pressure stall information).
    pub pressure: Option<Pressure>,
}

/// For how long some task of a replica has waited.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Pressure {
    pub cpu_seconds: f64,
    pub memory_seconds: f64,
}

/// How often the CPU limit was looked at, and how often it held a replica back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Throttling {
    pub periods: u64,
    pub throttled: u64,
    pub oom_kills: u64,
}

/// Where cgroups of this run are made.
#[derive(Debug)]
pub(super) enum Cgroups {
    V1(v1::Parents),
    V2(v2::Parent),
    /// Nowhere, for this reason.
    None {
        reason: String,
    },
}

impl Cgroups {
    /// Finds out what is possible here, removes what killed runs left behind, and makes the parent cgroup of this run.
    pub fn open() -> Self {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let run = format!("{PREFIX}{}-{}", std::process::id(), rand::random::<u16>());
        match v2::Parent::create(&own, &mounts, &run) {
            Ok(parent) => Self::V2(parent),
            Err(reason_v2) => match v1::Parents::create(&own, &mounts, &run) {
                Ok(parents) => Self::V1(parents),
                Err(reason_v1) => Self::None { reason: format!("{reason_v2}; {reason_v1}") },
            },
        }
    }

    /// Whether limits are enforced.
    pub fn enforce(&self) -> bool {
        !matches!(self, Self::None { .. })
    }

    /// In words, for status and log.
    pub fn describe(&self) -> String {
        match self {
            Self::V1(_) => "enforced by cgroup v1".to_owned(),
            Self::V2(_) => "enforced by cgroup v2".to_owned(),
            Self::None { reason } => format!("not enforced: {reason}"),
        }
    }

    /// The cgroup for one replica; `None` where there are none.
    pub fn replica(&self, pod: &str) -> io::Result<Option<Cgroup>> {
        let paths = match self {
            Self::V1(parents) => Paths::V1(parents.child(pod)?),
            Self::V2(parent) => Paths::V2(parent.child(pod)?),
            Self::None { .. } => return Ok(None),
        };
        Ok(Some(Cgroup { paths }))
    }

    /// Removes all cgroups of this run; fails while a process is still in one.
    pub fn remove(&self) -> io::Result<()> {
        let directories = match self {
            Self::V1(parents) => parents.directories(),
            Self::V2(parent) => vec![parent.directory()],
            Self::None { .. } => Vec::new(),
        };
        directories.iter().try_for_each(|directory| remove_tree(directory))
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            tracing::warn!(%error, "cgroups could not be removed; the next run does it");
        }
    }
}

#[derive(Debug)]
enum Paths {
    V1(v1::Paths),
    V2(PathBuf),
}

/// The cgroup of one replica.
#[derive(Debug)]
pub(super) struct Cgroup {
    paths: Paths,
}

impl Cgroup {
    /// Directories for a replica's process to enter, as `enter_cgroups` reads them.
    pub fn to_enter(&self) -> String {
        let directories: Vec<String> = self.directories().iter().map(|path| path.display().to_string()).collect();
        directories.join(":")
    }

    fn directories(&self) -> Vec<PathBuf> {
        match &self.paths {
            Paths::V1(paths) => paths.directories(),
            Paths::V2(directory) => vec![directory.clone()],
        }
    }

    /// Sets limits and weight. With `boosted` the CPU limit is left off.
    pub fn set(&self, resources: &Resources, boosted: bool) -> io::Result<()> {
        let cpu = if boosted { None } else { resources.cpu_limit.map(|limit| quota_micros(limit.millis())) };
        let memory = resources.memory_limit.map(Quantity::units);
        let weight_millis = resources.cpu_request.map_or(0, Quantity::millis);
        match &self.paths {
            Paths::V1(paths) => paths.set(cpu, memory, weight_millis),
            Paths::V2(directory) => v2::set(directory, cpu, memory, weight_millis),
        }
    }

    /// What was used so far; `None` when the counters cannot be read.
    pub fn usage(&self) -> Option<Usage> {
        match &self.paths {
            Paths::V1(paths) => paths.usage(),
            Paths::V2(directory) => v2::usage(directory),
        }
    }

    /// Processes killed for want of memory so far.
    pub fn oom_kills(&self) -> u64 {
        match &self.paths {
            Paths::V1(paths) => paths.oom_kills(),
            Paths::V2(directory) => v2::oom_kills(directory),
        }
    }

    /// Removes the cgroup; fails while a process is still in it.
    pub fn remove(&self) -> io::Result<()> {
        self.directories().iter().try_for_each(|directory| remove_tree(directory))
    }
}

fn quota_micros(limit_millis: i64) -> i64 {
    (limit_millis.saturating_mul(PERIOD_MICROS) / 1000).max(QUOTA_MICROS_MIN)
}

/// Removes a cgroup and those below it. Their files are the kernel's and go with them.
fn remove_tree(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path())?;
        }
    }
    match fs::remove_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", directory.display()))),
        Ok(()) => Ok(()),
    }
}

/// Removes cgroups of runs whose process no longer lives.
fn remove_stale(parent: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let Some(run) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        let Some(pid) = run.split('-').next().and_then(|pid| pid.parse::<u32>().ok()) else { continue };
        if !Path::new("/proc").join(pid.to_string()).exists()
            && let Err(error) = remove_tree(&entry.path())
        {
            tracing::debug!(path = %entry.path().display(), %error, "a stale cgroup could not be removed");
        }
    }
}

/// Writes one value to a cgroup's file, with the file in the error.
fn write(directory: &Path, file: &str, value: &str) -> io::Result<()> {
    let path = directory.join(file);
    fs::write(&path, value).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// A number from a file that holds only that.
fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The number after `key` in a file of `key number` lines.
fn keyed_number(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Seconds for which some task waited, from a file of pressure stall information: `some avg10=0.00 ... total=MICROSECONDS`.
fn waited_seconds(text: &str) -> Option<f64> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let total: u64 = some.split(' ').find_map(|part| part.strip_prefix("total="))?.parse().ok()?;
    Some(total as f64 / 1e6)
}

/// A line of `/proc/PID/mountinfo`, as far as it concerns cgroups.
#[derive(Debug, PartialEq, Eq)]
struct Mount<'a> {
    root: &'a str,
    point: &'a str,
    kind: &'a str,
    options: BTreeSet<&'a str>,
}

fn mounts(mountinfo: &str) -> impl Iterator<Item = Mount<'_>> {
    mountinfo.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        let (root, point) = (before.next()?, before.next()?);
        let mut after = after.split(' ');
        let (kind, _, options) = (after.next()?, after.next()?, after.next()?);
        kind.starts_with("cgroup").then(|| Mount { root, point, kind, options: options.split(',').collect() })
    })
}

/// Where a cgroup's path is found below a mount. In a container the path may lie outside of what is mounted; the mount
/// itself is then the nearest cgroup that can be seen.
fn locate(mount: &Mount<'_>, cgroup: &str) -> PathBuf {
    let inside = cgroup.strip_prefix(mount.root.trim_end_matches('/')).unwrap_or("");
    let directory = Path::new(mount.point).join(inside.trim_start_matches('/'));
    if directory.is_dir() { directory } else { PathBuf::from(mount.point) }
}

#[cfg(test)]
mod tests;

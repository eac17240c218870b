//! Control groups version 1: one hierarchy a controller, so a replica has up to three directories.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{PERIOD_MICROS, Throttling, Usage, keyed_number, locate, mounts, number, remove_stale, remove_tree, write};

/// The kernel's scale: one core's worth of weight. The smallest weight is 2.
const SHARES_PER_CORE: i64 = 1024;
const SHARES_MIN: i64 = 2;

/// The run's cgroup in each hierarchy. Two may be the same directory (`cpu,cpuacct`).
#[derive(Debug)]
pub(in crate::local) struct Parents(Paths);

/// Directories of one cgroup.
#[derive(Debug, Clone)]
pub(in crate::local) struct Paths {
    cpu: PathBuf,
    cpuacct: PathBuf,
    memory: PathBuf,
}

impl Parents {
    pub fn create(own: &str, mountinfo: &str, run: &str) -> Result<Self, String> {
        let find = |controller: &str| {
            let unavailable = || format!("cgroup v1 has no {controller} controller here");
            let mount = mounts(mountinfo)
                .find(|mount| mount.kind == "cgroup" && mount.options.contains(controller))
                .ok_or_else(unavailable)?;
            Ok::<_, String>(locate(&mount, own_path(own, controller).unwrap_or("/")))
        };
        let (cpu, cpuacct, memory) = (find("cpu")?, find("cpuacct")?, find("memory")?);
        for directory in BTreeSet::from([&cpu, &cpuacct, &memory]) {
            remove_stale(directory);
        }
        let paths = Paths { cpu: cpu.join(run), cpuacct: cpuacct.join(run), memory: memory.join(run) };
        paths.create().map_err(|error| format!("cgroup v1: {error}"))?;
        Ok(Self(paths))
    }

    pub fn child(&self, pod: &str) -> io::Result<Paths> {
        let Paths { cpu, cpuacct, memory } = &self.0;
        let paths = Paths { cpu: cpu.join(pod), cpuacct: cpuacct.join(pod), memory: memory.join(pod) };
        paths.create()?;
        Ok(paths)
    }

    pub fn directories(&self) -> Vec<PathBuf> {
        self.0.directories()
    }
}

/// The path after `N:controllers:` in `/proc/self/cgroup`.
fn own_path<'a>(own: &'a str, controller: &str) -> Option<&'a str> {
    own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let controllers = parts.next()?;
        controllers.split(',').any(|name| name == controller).then(|| parts.next())?
    })
}

impl Paths {
    fn create(&self) -> io::Result<()> {
        for directory in self.directories() {
            let created = fs::create_dir(&directory);
            if let Err(error) = created {
                let error = io::Error::new(error.kind(), format!("{}: {error}", directory.display()));
                // What was made in the other hierarchies is of no use alone.
                self.directories().iter().for_each(|made| drop(remove_tree(made)));
                return Err(error);
            }
        }
        Ok(())
    }

    pub fn directories(&self) -> Vec<PathBuf> {
        BTreeSet::from([self.cpu.clone(), self.cpuacct.clone(), self.memory.clone()]).into_iter().collect()
    }

    pub fn set(&self, quota: Option<i64>, memory: Option<i64>, weight_millis: i64) -> io::Result<()> {
        write(&self.cpu, "cpu.cfs_period_us", &PERIOD_MICROS.to_string())?;
        write(&self.cpu, "cpu.cfs_quota_us", &quota.unwrap_or(-1).to_string())?;
        let shares = (weight_millis.saturating_mul(SHARES_PER_CORE) / 1000).max(SHARES_MIN);
        write(&self.cpu, "cpu.shares", &shares.to_string())?;
        write(&self.memory, "memory.limit_in_bytes", &memory.unwrap_or(-1).to_string())
    }

    pub fn usage(&self) -> Option<Usage> {
        let nanos = number(&self.cpuacct.join("cpuacct.usage"))?;
        let memory = number(&self.memory.join("memory.usage_in_bytes"))?;
        let memory_stat = fs::read_to_string(self.memory.join("memory.stat")).ok()?;
        let inactive = keyed_number(&memory_stat, "total_inactive_file").unwrap_or(0);
        let cpu_stat = fs::read_to_string(self.cpu.join("cpu.stat")).ok()?;
        Some(Usage {
            cpu_seconds: nanos as f64 / 1e9,
            memory_bytes: memory.saturating_sub(inactive),
            throttling: Some(Throttling {
                periods: keyed_number(&cpu_stat, "nr_periods").unwrap_or(0),
                throttled: keyed_number(&cpu_stat, "nr_throttled").unwrap_or(0),
                oom_kills: self.oom_kills(),
            }),
            pressure: None,
        })
    }

    pub fn oom_kills(&self) -> u64 {
        oom_kills(&self.memory)
    }
}

fn oom_kills(memory: &Path) -> u64 {
    let control = fs::read_to_string(memory.join("memory.oom_control")).unwrap_or_default();
    keyed_number(&control, "oom_kill").unwrap_or(0)
}

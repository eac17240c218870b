//! Control groups version 2: one hierarchy, in which a cgroup either holds processes or hands controllers down. So the
//! run's cgroup is made below the nearest ancestor of this process that hands down cpu and memory already.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{
    PERIOD_MICROS, Pressure, Throttling, Usage, keyed_number, locate, mounts, number, remove_stale, remove_tree,
    waited_seconds, write,
};

/// The kernel's scale of weights, and what one core's worth is in Kubernetes' conversion of requests.
const WEIGHT_MIN: i64 = 1;
const WEIGHT_MAX: i64 = 10_000;

/// The run's cgroup.
#[derive(Debug)]
pub(in crate::local) struct Parent(PathBuf);

impl Parent {
    pub fn create(own: &str, mountinfo: &str, run: &str) -> Result<Self, String> {
        let mount = mounts(mountinfo).find(|mount| mount.kind == "cgroup2").ok_or("cgroup v2 is not mounted")?;
        let top = PathBuf::from(mount.point);
        let path = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
        let mut reason = "cgroup v2 hands no cpu and memory controllers down to this process".to_owned();
        for directory in locate(&mount, path).ancestors().take_while(|directory| directory.starts_with(&top)) {
            if !hands_down(directory) {
                continue;
            }
            match Self::create_in(directory, run) {
                Ok(parent) => return Ok(parent),
                Err(error) => reason = format!("cgroup v2: {error}"),
            }
        }
        Err(reason)
    }

    fn create_in(directory: &Path, run: &str) -> io::Result<Self> {
        remove_stale(directory);
        let path = directory.join(run);
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        fs::create_dir(&path).map_err(named)?;
        if let Err(error) = write(&path, "cgroup.subtree_control", "+cpu +memory") {
            drop(remove_tree(&path));
            return Err(error);
        }
        Ok(Self(path))
    }

    pub fn child(&self, pod: &str) -> io::Result<PathBuf> {
        let path = self.0.join(pod);
        fs::create_dir(&path)?;
        Ok(path)
    }

    pub fn directory(&self) -> PathBuf {
        self.0.clone()
    }
}

fn hands_down(directory: &Path) -> bool {
    let controllers = fs::read_to_string(directory.join("cgroup.subtree_control")).unwrap_or_default();
    let has = |wanted| controllers.split_whitespace().any(|name| name == wanted);
    has("cpu") && has("memory")
}

pub(super) fn set(directory: &Path, quota: Option<i64>, memory: Option<i64>, weight_millis: i64) -> io::Result<()> {
    let text = |value: Option<i64>| value.map_or_else(|| "max".to_owned(), |value| value.to_string());
    write(directory, "cpu.max", &format!("{} {PERIOD_MICROS}", text(quota)))?;
    write(directory, "cpu.weight", &weight(weight_millis).to_string())?;
    write(directory, "memory.max", &text(memory))
}

/// Kubernetes' conversion (KEP-2254): shares of 2 to 262,144 become weights of 1 to 10,000.
fn weight(millis: i64) -> i64 {
    let shares = (millis.saturating_mul(1024) / 1000).clamp(2, 262_144);
    (1 + (shares - 2) * 9_999 / 262_142).clamp(WEIGHT_MIN, WEIGHT_MAX)
}

pub(super) fn usage(directory: &Path) -> Option<Usage> {
    let cpu = fs::read_to_string(directory.join("cpu.stat")).ok()?;
    let memory = number(&directory.join("memory.current"))?;
    let memory_stat = fs::read_to_string(directory.join("memory.stat")).ok()?;
    Some(Usage {
        cpu_seconds: keyed_number(&cpu, "usage_usec")? as f64 / 1e6,
        memory_bytes: memory.saturating_sub(keyed_number(&memory_stat, "inactive_file").unwrap_or(0)),
        throttling: Some(Throttling {
            periods: keyed_number(&cpu, "nr_periods").unwrap_or(0),
            throttled: keyed_number(&cpu, "nr_throttled").unwrap_or(0),
            oom_kills: oom_kills(directory),
        }),
        pressure: pressure(directory),
    })
}

fn pressure(directory: &Path) -> Option<Pressure> {
    let waited = |file: &str| waited_seconds(&fs::read_to_string(directory.join(file)).ok()?);
    Some(Pressure { cpu_seconds: waited("cpu.pressure")?, memory_seconds: waited("memory.pressure")? })
}

pub(super) fn oom_kills(directory: &Path) -> u64 {
    let events = fs::read_to_string(directory.join("memory.events")).unwrap_or_default();
    keyed_number(&events, "oom_kill").unwrap_or(0)
}

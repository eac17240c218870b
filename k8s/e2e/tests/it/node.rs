//! What can be seen and done on the node itself, where its cgroups are visible from here (`PLIMSOLL_E2E_CGROUP_ROOT`).

use std::path::{Path, PathBuf};

use anyhow::Context;
use e2e::kubectl::text;
use serde_json::Value;

use crate::harness::shell;

/// The folder of the cgroup of a pod's first container.
pub fn cgroup_of(root: &Path, pod: &Value) -> anyhow::Result<PathBuf> {
    let id = text(pod, "/status/containerStatuses/0/containerID");
    let id = id.rsplit('/').next().filter(|id| !id.is_empty()).context("the container has no id yet")?;
    find(root, id).with_context(|| format!("no cgroup of the container {id} below {}", root.display()))
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        if !path.is_dir() {
            continue;
        }
        if path.file_name().is_some_and(|file| file.to_string_lossy().contains(name)) {
            return Some(path);
        }
        if let Some(found) = find(&path, name) {
            return Some(found);
        }
    }
    None
}

/// Kills the processes of a pod's first container without a word, as a node that loses its power does.
pub async fn kill(root: &Path, pod: &Value) -> anyhow::Result<()> {
    let file = cgroup_of(root, pod)?.join("cgroup.procs");
    let processes = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    for process in processes.split_whitespace() {
        shell("kill -KILL {process}", &[("process", process)]).await?;
    }
    Ok(())
}

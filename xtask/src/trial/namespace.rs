//! A mount namespace of our own, in which a disk of a few megabytes is mounted that nobody else sees and that is gone with us.
//! By util-linux' `unshare` and `mount`; as root, or where users may have namespaces of their own.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// Set in the process that is in a namespace of its own.
const OWN: &str = "PLIMSOLL_TRIAL_NAMESPACE";

/// Ways to get one.
const WAYS: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];

/// Whether we are in one.
pub fn is_own() -> bool {
    std::env::var_os(OWN).is_some()
}

/// Runs this program again, as it was called, in a namespace of its own.
pub fn again() -> anyhow::Result<()> {
    let mut refusals = Vec::new();
    for way in WAYS {
        let tried = Command::new("unshare").args(way).arg("true").stdin(Stdio::null()).output();
        match tried {
            Ok(output) if output.status.success() => return run(way),
            Ok(output) => refusals.push(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => refusals.push(format!("unshare: {error}")),
        }
    }
    bail!(
        "this trial fills a disk of its own, a tmpfs in a mount namespace, and none can be made here ({}); run it as root, or \
         where users may make namespaces, with util-linux installed",
        refusals.join("; ")
    )
}

fn run(way: &[&str]) -> anyhow::Result<()> {
    let own = std::env::current_exe().context("this program does not know where it is")?;
    let status = Command::new("unshare")
        .args(way)
        .arg(own)
        .args(std::env::args_os().skip(1))
        .env(OWN, "1")
        .status()
        .context("cannot run unshare")?;
    if !status.success() {
        bail!("it has failed");
    }
    Ok(())
}

/// Mounts an empty disk of so many mebibytes.
pub fn mount_disk(at: &Path, mebibytes: u64) -> anyhow::Result<()> {
    std::fs::create_dir_all(at)?;
    let size = format!("size={mebibytes}m");
    let output = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "plimsoll-trial"]).arg(at).output();
    let output = output.context("cannot run mount")?;
    if !output.status.success() {
        bail!("a tmpfs cannot be mounted at {}: {}", at.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Takes the disk away again.
pub fn unmount_disk(at: &Path) -> anyhow::Result<()> {
    let status = Command::new("umount").arg("--lazy").arg(at).status().context("cannot run umount")?;
    if !status.success() {
        bail!("the tmpfs at {} cannot be unmounted", at.display());
    }
    Ok(())
}

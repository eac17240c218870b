//! Rewrites what is generated from source, so that the tests which compare it pass again. Look at the diff before committing.

use anyhow::Context;

/// Writes the dashboards and their provisioning files.
pub fn run() -> anyhow::Result<()> {
    let dir = crate::root().join("dashboards").join("generated");
    dashboards::export(&dir).with_context(|| format!("cannot write {}", dir.display()))?;
    println!("written: {}", dir.display());
    Ok(())
}

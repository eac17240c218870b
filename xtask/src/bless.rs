//! Rewrites what is generated from source, so that the tests which compare it pass again. Look at the diff before committing.

use anyhow::Context;

/// Writes the dashboards with their provisioning files, and the custom resource.
pub fn run() -> anyhow::Result<()> {
    let dir = crate::root().join("dashboards").join("generated");
    dashboards::export(&dir).with_context(|| format!("cannot write {}", dir.display()))?;
    println!("written: {}", dir.display());
    let file = crate::root().join("k8s/crds/scalingpolicies.plimsoll.dev.yaml");
    std::fs::write(&file, autoscaler::policy::crd::yaml())
        .with_context(|| format!("cannot write {}", file.display()))?;
    println!("written: {}", file.display());
    Ok(())
}

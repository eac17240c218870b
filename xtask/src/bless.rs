//! Rewrites what is generated from source, so that the tests which compare it pass again. Look at the diff before committing.

use anyhow::Context;

/// Writes the dashboards with their provisioning files, the custom resource, and the schema of policy files.
pub fn run() -> anyhow::Result<()> {
    let dir = crate::root().join("dashboards").join("generated");
    dashboards::export(&dir).with_context(|| format!("cannot write {}", dir.display()))?;
    println!("written: {}", dir.display());
    for (file, text) in [
        ("k8s/crds/scalingpolicies.plimsoll.dev.yaml", autoscaler::policy::crd::yaml()),
        ("k8s/schemas/scalingpolicy.json", autoscaler::policy::json_schema::json()),
    ] {
        let file = crate::root().join(file);
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        println!("written: {}", file.display());
    }
    Ok(())
}

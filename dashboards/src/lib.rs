//! Grafana dashboards as typed Rust, and the JSON and provisioning files they export. Never talks to a Grafana.
//! Start at `shop_overview`; `export` writes what is committed under `generated/`, and a test compares the two.

mod model;
mod provisioning;
mod shop_overview;

use std::fs;
use std::io;
use std::path::Path;

pub use model::{Dashboard, Grid, Panel, PanelKind, Target, Unit};
pub use shop_overview::shop_overview;

/// Every file that is exported: path below the folder, and text.
pub fn files() -> Vec<(String, String)> {
    let dashboard = shop_overview();
    vec![
        (format!("dashboards/{}.json", dashboard.uid), dashboard.to_json()),
        ("provisioning/datasources/plimsoll.yaml".to_owned(), provisioning::DATASOURCES.to_owned()),
        ("provisioning/dashboards/plimsoll.yaml".to_owned(), provisioning::DASHBOARDS.to_owned()),
    ]
}

/// Writes every file below `dir`, which is made if need be.
///
/// # Errors
/// If a folder or file cannot be written.
pub fn export(dir: &Path) -> io::Result<()> {
    for (path, text) in files() {
        let file = dir.join(path);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(file, text)?;
    }
    Ok(())
}

/// Every query of every dashboard with the panel it belongs to, variables not yet filled in.
pub fn queries() -> Vec<(String, String)> {
    let panels = shop_overview().panels;
    panels
        .into_iter()
        .flat_map(|panel| {
            let title = panel.title;
            panel.targets.into_iter().map(move |target| (title.clone(), target.expr))
        })
        .collect()
}

#[cfg(test)]
mod tests;

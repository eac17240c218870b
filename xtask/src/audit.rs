//! Prints what the dependency graph costs: packages, duplicates, licences, and the slowest units of a timed build.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    license_file: Option<String>,
}

/// Licences whose terms would reach our own source.
const COPYLEFT: [&str; 4] = ["GPL", "AGPL", "LGPL", "MPL"];

/// Prints the audit; a copyleft licence without an alternative is an error.
pub fn run() -> anyhow::Result<()> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(crate::root())
        .output()
        .context("cannot start cargo metadata")?;
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("cannot read cargo metadata")?;
    println!("packages in the lock file: {}", metadata.packages.len());
    print_duplicates(&metadata.packages);
    let copyleft = print_licences(&metadata.packages);
    print_slowest(&metadata)?;
    if copyleft > 0 {
        bail!("{copyleft} packages have a copyleft licence only");
    }
    Ok(())
}

fn print_duplicates(packages: &[Package]) {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages {
        versions.entry(&package.name).or_default().push(&package.version);
    }
    let duplicates: Vec<_> = versions.into_iter().filter(|(_, v)| v.len() > 1).collect();
    println!("packages in more than one version: {}", duplicates.len());
    for (name, versions) in duplicates {
        println!("  {name}: {}", versions.join(", "));
    }
}

fn print_licences(packages: &[Package]) -> usize {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut copyleft = 0;
    for package in packages {
        let licence = package.license.as_deref().or(package.license_file.as_deref()).unwrap_or("none stated");
        *counts.entry(licence).or_default() += 1;
        if is_copyleft_only(licence) {
            println!("copyleft: {} {}: {licence}", package.name, package.version);
            copyleft += 1;
        }
    }
    println!("licences:");
    for (licence, count) in counts {
        println!("  {count:4} {licence}");
    }
    copyleft
}

/// Whether every choice that the expression leaves is copyleft; a slash is how old manifests write `OR`.
fn is_copyleft_only(licence: &str) -> bool {
    let expression = licence.replace('/', " OR ");
    expression.split(" OR ").all(|choice| COPYLEFT.iter().any(|name| choice.contains(name)))
}

/// Cargo writes its timings as HTML with the data as one JSON array.
fn print_slowest(metadata: &Metadata) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct Unit {
        name: String,
        duration: f64,
    }
    let report = metadata.target_directory.join("cargo-timings").join("cargo-timing.html");
    let Ok(html) = fs::read_to_string(&report) else {
        println!("slowest units: run `cargo build --release --timings` first");
        return Ok(());
    };
    let start = html.find("UNIT_DATA = ").context("no unit data in cargo's timings")? + "UNIT_DATA = ".len();
    let end = html[start..].find("];").context("unit data do not end")? + start + 1;
    let mut units: Vec<Unit> = serde_json::from_str(&html[start..end]).context("cannot read cargo's timings")?;
    units.sort_by(|a, b| b.duration.total_cmp(&a.duration));
    println!("slowest of {} units, {:.0} s in all:", units.len(), units.iter().map(|u| u.duration).sum::<f64>());
    for unit in units.iter().take(10) {
        println!("  {:6.1} s  {}", unit.duration, unit.name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::is_copyleft_only;

    #[test]
    fn one_permissive_choice_is_enough() {
        for (licence, expected) in [
            ("MIT OR Apache-2.0", false),
            ("Apache-2.0 / MIT / MPL-2.0", false),
            ("MIT OR LGPL-2.1-or-later", false),
            ("GPL-3.0-only", true),
            ("LGPL-3.0 OR MPL-2.0", true),
        ] {
            assert_eq!(is_copyleft_only(licence), expected, "{licence}");
        }
    }
}

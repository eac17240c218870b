//! Rules of the source tree: every file says what it is for, packages depend in one direction, heavy crates stay in
//! their home, the map in ARCHITECTURE.md names what exists, and k8s/ is of one piece.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

mod deployment;

/// Programs: they meet over HTTP and never depend on each other.
const PROGRAMS: [&str; 5] = ["collector", "autoscaler", "tui", "demo-services", "dashboards"];

/// Crates that only their home may name, with the folders that are home.
const HOMES: [(&str, &[&str]); 5] = [
    ("ratatui", &["tui/src"]),
    ("tantivy", &["demo-services/src/search"]),
    ("sqlx", &["demo-services/src"]),
    (
        "promql_parser",
        &["collector/src/promql", "collector/src/api", "crates/slo/src/promql.rs", "dashboards/src/tests.rs"],
    ),
    ("tonic", &["collector/src/otlp", "collector/tests", "fuzz/src/otlp.rs"]),
];

/// Checks all rules and prints every breach.
pub fn run() -> anyhow::Result<()> {
    let root = crate::root();
    let files = rust_files(&root)?;
    let mut breaches = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let name = file.strip_prefix(&root).unwrap_or(file).to_string_lossy().replace('\\', "/");
        breaches.extend(file_breaches(&name, &text));
    }
    breaches.extend(arrow_breaches(&root)?);
    breaches.extend(map_breaches(&root)?);
    breaches.extend(deployment::breaches(&root)?);
    if breaches.is_empty() {
        println!("== tidy: ok, {} source files", files.len());
        return Ok(());
    }
    for breach in &breaches {
        eprintln!("{breach}");
    }
    bail!("{} breaches of the rules of the source tree", breaches.len());
}

fn rust_files(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if name.ends_with(".rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn file_breaches(name: &str, text: &str) -> Vec<String> {
    let mut breaches = Vec::new();
    let first = text.lines().next().unwrap_or_default();
    if !first.starts_with("//! ") || first.len() < 20 {
        breaches.push(format!("{name}:1: begin the file with `//! ` and a sentence on what it is for"));
    }
    if name.ends_with("/mod.rs") {
        breaches.push(format!("{name}: call it after its folder: `foo.rs` beside `foo/`"));
    }
    if name.starts_with("xtask/") {
        return breaches;
    }
    for (krate, homes) in HOMES {
        let at_home = homes.iter().any(|home| name.starts_with(home));
        let names_it = |line: &str| line.contains(&format!("{krate}::")) && !line.trim_start().starts_with("//");
        if !at_home && let Some(line) = text.lines().position(names_it) {
            breaches.push(format!("{name}:{}: `{krate}` is at home in {}", line + 1, homes.join(", ")));
        }
    }
    breaches
}

fn arrow_breaches(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut breaches = Vec::new();
    let mut packages: Vec<String> = PROGRAMS.iter().map(|p| (*p).to_owned()).collect();
    for entry in fs::read_dir(root.join("crates"))? {
        packages.push(format!("crates/{}", entry?.file_name().to_string_lossy()));
    }
    for package in packages {
        let manifest = fs::read_to_string(root.join(&package).join("Cargo.toml"))
            .with_context(|| format!("cannot read the manifest of {package}"))?;
        let shipped = manifest.split("[dev-dependencies]").next().unwrap_or_default();
        for program in PROGRAMS {
            let depends = shipped.lines().any(|line| line.starts_with(&format!("{program}.")));
            if depends && package != program {
                breaches
                    .push(format!("{package}/Cargo.toml: depends on the program {program}: programs meet over HTTP"));
            }
        }
    }
    Ok(breaches)
}

/// Paths that ARCHITECTURE.md's map names in the first column of its tables must exist, and every module of a package must be named.
fn map_breaches(root: &Path) -> anyhow::Result<Vec<String>> {
    let map = fs::read_to_string(root.join("ARCHITECTURE.md")).context("cannot read ARCHITECTURE.md")?;
    let named: Vec<&str> = map
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|rest| rest.split('`').next())
        .filter(|path| path.contains('/'))
        .collect();
    let mut breaches: Vec<String> = named
        .iter()
        .filter(|path| !root.join(path).exists())
        .map(|path| format!("ARCHITECTURE.md: the map names {path}, which does not exist"))
        .collect();
    for package in [
        "plimsoll",
        "collector",
        "autoscaler",
        "tui",
        "demo-services",
        "dashboards",
        "crates/protocol",
        "crates/lifecycle",
        "crates/cluster",
        "crates/slo",
    ] {
        for entry in fs::read_dir(root.join(package).join("src"))? {
            let file = entry?.file_name().to_string_lossy().into_owned();
            let path = format!("{package}/src/{file}");
            let is_module = file.ends_with(".rs") && file != "lib.rs" && file != "main.rs";
            if is_module && !named.contains(&path.as_str()) {
                breaches.push(format!("ARCHITECTURE.md: the map does not name {path}"));
            }
        }
    }
    Ok(breaches)
}

#[cfg(test)]
mod tests {
    use super::file_breaches;

    #[test]
    fn a_file_without_a_header_is_a_breach() {
        assert_eq!(file_breaches("tui/src/app.rs", "use std::fmt;\n").len(), 1);
        assert_eq!(file_breaches("tui/src/app.rs", "//! What the screen knows, and how it changes.\n").len(), 0);
    }

    #[test]
    fn a_heavy_crate_away_from_home_is_a_breach() {
        let text = "//! What the planner decides about replicas.\nuse sqlx::Row;\n";
        assert_eq!(file_breaches("autoscaler/src/planner.rs", text).len(), 1);
    }
}

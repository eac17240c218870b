//! Runs decisions of Kubernetes' own Horizontal Pod Autoscaler (`*.jsonl`, one case a line) through the functions that the
//! live planner uses, and counts agreement file by file. Holds no rule of its own: it only translates cases and names.

mod behavior;
mod case;
mod metrics;
mod replicas;

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::Value;

/// Disagreements printed for each file; the rest is only counted.
const SHOWN_MAX: usize = 10;

/// What a case makes of the functions: nothing when they agree, else where they do not.
type Verdict = anyhow::Result<Vec<String>>;

/// Runs one case.
type Run = fn(&Value) -> Verdict;

/// The files and what runs a line of each.
const FILES: [(&str, Run); 3] =
    [("replicas.jsonl", replicas::run), ("metrics.jsonl", metrics::run), ("behavior.jsonl", behavior::run)];

/// Runs all files of a folder.
///
/// # Errors
/// If a file cannot be read, or at least one decision differs.
pub fn hpa(dir: &Path) -> anyhow::Result<()> {
    let (mut agreed_all, mut cases_all) = (0, 0);
    for (name, run) in FILES {
        let path = dir.join(name);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let (mut agreed, mut cases) = (0, 0);
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            cases += 1;
            let case: Value = serde_json::from_str(line).with_context(|| format!("{name}:{cases} is not JSON"))?;
            let id = case["id"].as_str().unwrap_or("?");
            let differences = run(&case).with_context(|| format!("{name}:{cases} ({id})"))?;
            if differences.is_empty() {
                agreed += 1;
            } else if cases - agreed <= SHOWN_MAX {
                println!("{name}: {id}: {}", differences.join("; "));
            }
        }
        println!("hpa {name}: {agreed}/{cases}");
        agreed_all += agreed;
        cases_all += cases;
    }
    println!("hpa: {agreed_all}/{cases_all}");
    if agreed_all < cases_all {
        bail!("{} of {cases_all} decisions differ from Kubernetes'", cases_all - agreed_all);
    }
    Ok(())
}

/// Notes a difference between what was found and what Kubernetes decided.
fn compare(differences: &mut Vec<String>, what: &str, found: &Value, expected: &Value) {
    if found != expected {
        differences.push(format!("{what} {found}, Kubernetes {expected}"));
    }
}

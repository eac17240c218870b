//! Runs OpenMetrics' own parser cases (`CASE/metrics`, `CASE/test.json`) against our strict parser; judges nothing itself.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use collector::exposition::strict_openmetrics;
use serde::Deserialize;

/// `test.json`; its other fields are remarks.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    file: String,
    should_parse: bool,
}

/// Prints each case that is judged wrongly, and how many are judged well.
///
/// # Errors
/// If a case is judged wrongly or cannot be read.
pub fn openmetrics(dir: &Path) -> anyhow::Result<()> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let mut cases: Vec<_> = entries.filter_map(|entry| entry.ok().map(|e| e.path())).filter(|p| p.is_dir()).collect();
    cases.sort();
    let mut passed = 0;
    for case in &cases {
        match judge(case)? {
            None => passed += 1,
            Some(complaint) => println!("FAIL {}: {complaint}", case.display()),
        }
    }
    println!("openmetrics: {passed} of {} cases judged as they should be", cases.len());
    if cases.is_empty() || passed < cases.len() {
        bail!("{} cases failed in {}", cases.len() - passed, dir.display());
    }
    Ok(())
}

/// What is wrong with our verdict, if anything.
fn judge(dir: &Path) -> anyhow::Result<Option<String>> {
    let description = dir.join("test.json");
    let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let case: Case = serde_json::from_slice(&read(&description)?)
        .with_context(|| format!("{} is no description of a case", description.display()))?;
    let text = read(&dir.join(&case.file))?;
    let verdict = match std::str::from_utf8(&text) {
        Ok(text) => strict_openmetrics(text).map_err(|problem| problem.to_string()),
        Err(error) => Err(error.to_string()),
    };
    Ok(match (case.should_parse, verdict) {
        (true, Err(reason)) => Some(format!("refused, but is good: {reason}")),
        (false, Ok(())) => Some("accepted, but is bad".to_owned()),
        _ => None,
    })
}

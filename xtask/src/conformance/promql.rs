//! Runs Prometheus' promqltest scripts against the collector's evaluator. Evaluations that touch native histograms are
//! counted apart, too.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use collector::promql::script;

/// How much of a reason is printed.
const REASON_CHARS_MAX: usize = 300;

/// Runs all `*.test` files of a folder and prints how each went.
///
/// # Errors
/// If a file cannot be read, or at least one evaluation gives something else than expected.
pub fn promql(dir: &Path) -> anyhow::Result<()> {
    let (mut passed, mut failed, mut native, mut native_passed) = (0, 0, 0, 0);
    for path in scripts(dir)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let report = script::run(&text).with_context(|| format!("cannot read {}", path.display()))?;
        let run = report.passed + report.failures.len();
        print_line(&name, (report.passed, run), (report.native_passed, report.native));
        for failure in &report.failures {
            let reason: String = failure.reason.chars().take(REASON_CHARS_MAX).collect();
            println!("  {name}:{}: {}\n    {reason}", failure.line, failure.query);
        }
        passed += report.passed;
        failed += report.failures.len();
        native += report.native;
        native_passed += report.native_passed;
    }
    print_line("all", (passed, passed + failed), (native_passed, native));
    if failed > 0 {
        bail!("{failed} evaluations differ from Prometheus'");
    }
    Ok(())
}

fn print_line(name: &str, (passed, run): (usize, usize), (native_passed, native): (usize, usize)) {
    let apart = format!("with native histograms {native_passed:4} of {native:4}");
    println!("{name:32} {passed:4} of {run:4} passed; of these {apart}");
}

fn scripts(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "test") {
            found.push(path);
        }
    }
    if found.is_empty() {
        bail!("{} holds no *.test file", dir.display());
    }
    found.sort();
    Ok(found)
}

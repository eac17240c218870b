//! The gate: every rule of the project that a machine can check, in the order in which it fails fastest.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};

/// The steps: what it is called, the cargo arguments, and the environment it needs.
const STEPS: [(&str, &[&str], &[(&str, &str)]); 4] = [
    ("formatting", &["fmt", "--all", "--check"], &[]),
    ("lints", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"], &[]),
    ("tests", &["test", "--workspace", "--locked"], &[]),
    ("documentation", &["doc", "--workspace", "--no-deps", "--locked"], &[("RUSTDOCFLAGS", "-D warnings")]),
];

/// Runs all steps and stops at the first that fails.
pub fn run() -> anyhow::Result<()> {
    crate::tidy::run()?;
    for (name, arguments, environment) in STEPS {
        let start = Instant::now();
        println!("== {name}: cargo {}", arguments.join(" "));
        let status = Command::new(env!("CARGO"))
            .args(arguments)
            .envs(environment.iter().copied())
            .current_dir(crate::root())
            .status()
            .with_context(|| format!("cannot start cargo for {name}"))?;
        if !status.success() {
            bail!("{name} failed: run `cargo {}` to see it alone", arguments.join(" "));
        }
        println!("== {name}: ok after {:.0} s", start.elapsed().as_secs_f64());
    }
    Ok(())
}

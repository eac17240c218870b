//! The gate: every rule of the project that a machine can check, in the order in which it fails fastest.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};

/// One call of cargo.
struct Step {
    name: &'static str,
    arguments: &'static [&'static str],
    /// Name and value of a variable that cargo needs to see.
    environment: Option<(&'static str, &'static str)>,
}

const STEPS: [Step; 4] = [
    Step { name: "formatting", arguments: &["fmt", "--all", "--check"], environment: None },
    Step {
        name: "lints",
        arguments: &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
        environment: None,
    },
    Step { name: "tests", arguments: &["test", "--workspace", "--locked"], environment: None },
    Step {
        name: "documentation",
        arguments: &["doc", "--workspace", "--no-deps", "--locked"],
        environment: Some(("RUSTDOCFLAGS", "-D warnings")),
    },
];

/// Runs all steps and stops at the first that fails.
pub fn run() -> anyhow::Result<()> {
    crate::tidy::run()?;
    crate::audit::run()?;
    for Step { name, arguments, environment } in STEPS {
        let start = Instant::now();
        println!("== {name}: cargo {}", arguments.join(" "));
        let status = Command::new(env!("CARGO"))
            .args(arguments)
            .envs(environment)
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

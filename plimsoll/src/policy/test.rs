//! `plimsoll policy test FILE...`: runs cases of policies and tells what went otherwise.

use std::path::PathBuf;

use autoscaler::cases;

use crate::outcome::Outcome;

/// The command line.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Files of cases.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// Runs the cases.
pub fn run(arguments: &Arguments) -> Outcome {
    let (mut all, mut failed, mut compared) = (0, 0, 0);
    for file in &arguments.files {
        let cases = match cases::load(file) {
            Ok(cases) => cases,
            Err(error) => return Outcome::bad_input(error),
        };
        let report = cases.run();
        for failure in &report.failures {
            print!("{}: {failure}", file.display());
        }
        all += report.cases;
        failed += report.failed;
        compared += report.compared;
    }
    if failed > 0 {
        return Outcome::failed(format!("{failed} of {all} cases went otherwise than expected"));
    }
    println!("ok: {all} {}, {compared} plans", if all == 1 { "case" } else { "cases" });
    Outcome::Done
}

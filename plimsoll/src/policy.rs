//! `plimsoll policy check FILE...`: says whether scaling policies are right, and where they are not.

use std::path::PathBuf;

use crate::outcome::Outcome;

/// The command line.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Reads policy files and reports every mistake with file, document and field.
    Check {
        /// Policy files.
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
}

/// Checks the files.
pub fn run(arguments: &Arguments) -> Outcome {
    let Action::Check { files } = &arguments.action;
    match autoscaler::policy::load(files) {
        Ok(policies) => {
            let noun = if policies.len() == 1 { "policy" } else { "policies" };
            let count = files.len();
            println!("ok: {} {noun} in {count} {}", policies.len(), if count == 1 { "file" } else { "files" });
            Outcome::Done
        }
        Err(error) => Outcome::bad_input(error),
    }
}

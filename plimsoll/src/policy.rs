//! `plimsoll policy`: checks scaling policies, makes them of others' autoscalers, and tests them. Each action is a file of its own.

mod explain;
mod import;
mod test;

use std::io::Write;
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
    /// Reads policy files and says what is wrong, with file, document and field.
    Check {
        /// Policy files.
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
    /// Prints HorizontalPodAutoscalers (autoscaling/v2) and KEDA's ScaledObjects as scaling policies; what has no equivalent is a
    /// warning that names the field.
    Import(import::Arguments),
    /// Prints the latest decision about a workload in words, and what would have made it another.
    Explain(explain::Arguments),
    /// Prints the JSON Schema of policy files, for editors.
    Schema,
    /// Runs cases: given these replicas and readings over time, is it planned as expected? Ends with exit code 1 if not.
    Test(test::Arguments),
}

/// Does as asked.
pub fn run(arguments: Arguments) -> Outcome {
    match arguments.action {
        Action::Check { files } => check(&files),
        Action::Import(arguments) => import::run(&arguments),
        Action::Explain(arguments) => explain::run(arguments),
        Action::Schema => print(&autoscaler::policy::json_schema::json()),
        Action::Test(arguments) => test::run(&arguments),
    }
}

/// Prints a text as it is.
fn print(text: &str) -> Outcome {
    let mut out = std::io::stdout().lock();
    Outcome::of(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

fn check(files: &[PathBuf]) -> Outcome {
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

//! `plimsoll dashboards`: writes the Grafana dashboards and their provisioning files into a folder.

use std::path::PathBuf;

use crate::outcome::Outcome;

/// The command line.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The folder to write into; it is made if need be.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Writes the files.
pub fn run(arguments: &Arguments) -> Outcome {
    match dashboards::export(&arguments.dir) {
        Ok(()) => {
            println!("written: {}", arguments.dir.display());
            Outcome::Done
        }
        Err(error) => Outcome::bad_input(format!("cannot write {}: {error}", arguments.dir.display())),
    }
}

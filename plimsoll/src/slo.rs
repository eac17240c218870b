//! `plimsoll slo`: service level objectives: checks files, takes over OpenSLO's and Sloth's, writes theirs, and prints Prometheus' rules.

use std::path::{Path, PathBuf};

use protocol::yaml::{DocumentError, read_file};
use slo::{Objective, export, import, rules};

use crate::outcome::Outcome;

/// The command line.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Reads files of objectives and reports the first mistake with file, document and field.
    Check {
        /// Files of objectives.
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
    /// Prints objectives from OpenSLO v1 and Sloth prometheus/v1 files as a file of our own; what is taken in another way than it is
    /// written is said on standard error.
    Import {
        /// OpenSLO and Sloth files; what refers to one another has to be among them.
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// The namespace of the services: neither tool knows one.
        #[arg(long, value_name = "NS", default_value = "default")]
        namespace: String,
    },
    /// Prints objectives as files of another tool.
    Export {
        /// Files of objectives.
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// Whose.
        #[arg(long, value_name = "TOOL", default_value = "openslo")]
        to: Tool,
    },
    /// Prints Prometheus' recording and alerting rules: several windows, several burn rates, after the SRE workbook.
    Rules {
        /// Files of objectives.
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Tool {
    Openslo,
    Sloth,
}

/// Does what is asked.
pub fn run(arguments: Arguments) -> Outcome {
    match arguments.action {
        Action::Check { files } => with(&files, |objectives| {
            let noun = if objectives.len() == 1 { "objective" } else { "objectives" };
            let count = files.len();
            format!("ok: {} {noun} in {count} {}\n", objectives.len(), if count == 1 { "file" } else { "files" })
        }),
        Action::Export { files, to: Tool::Openslo } => with(&files, export::openslo),
        Action::Export { files, to: Tool::Sloth } => with(&files, export::sloth),
        Action::Rules { files } => with(&files, rules::yaml),
        Action::Import { files, namespace } => match imported(&files, &namespace) {
            Ok(imported) => {
                imported.notes.iter().for_each(|note| eprintln!("note: {note}"));
                print!("{}", export::plimsoll(&imported.objectives));
                Outcome::Done
            }
            Err(error) => Outcome::bad_input(error),
        },
    }
}

fn with(files: &[PathBuf], print: impl FnOnce(&[Objective]) -> String) -> Outcome {
    match slo::load(files) {
        Ok(objectives) => {
            print!("{}", print(&objectives));
            Outcome::Done
        }
        Err(error) => Outcome::bad_input(error),
    }
}

fn imported(files: &[PathBuf], namespace: &str) -> Result<import::Imported, DocumentError> {
    let mut documents = Vec::new();
    for file in files {
        documents.extend(read_file(file)?);
    }
    let imported = import::import(&documents, namespace)?;
    if imported.objectives.is_empty() {
        let file = files.first().map_or(Path::new("-"), PathBuf::as_path).to_owned();
        let message = "there is no SLO in these files".to_owned();
        return Err(DocumentError { file, document: 0, field: String::new(), message });
    }
    Ok(imported)
}

//! `plimsoll policy import FILE...`: others' autoscalers as scaling policies on standard output, warnings beside it.

use std::path::PathBuf;

use autoscaler::policy::import::{Imported, import};

use crate::outcome::Outcome;

/// The command line.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Files with HorizontalPodAutoscalers and ScaledObjects, as `kubectl get -o yaml` prints them.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// PromQL for a metric of type Pods, Object or External, which only an adapter knows how to read; may be given several times.
    #[arg(long, value_name = "METRIC=QUERY", value_parser = metric_and_query)]
    promql: Vec<(String, String)>,
}

/// Prints the policies.
pub fn run(arguments: &Arguments) -> Outcome {
    let mut documents = Vec::new();
    for file in &arguments.files {
        match protocol::yaml::read_file(file) {
            Ok(read) => documents.extend(read),
            Err(error) => return Outcome::bad_input(error),
        }
    }
    match import(&documents, &arguments.promql.iter().cloned().collect()) {
        Ok(Imported { yaml, warnings, .. }) => {
            warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
            super::print(&yaml)
        }
        Err(error) => Outcome::bad_input(error),
    }
}

fn metric_and_query(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((metric, query)) if !metric.is_empty() && !query.is_empty() => Ok((metric.to_owned(), query.to_owned())),
        _ => Err(format!("{text:?} is not of the form METRIC=QUERY, such as 'queue_length=sum(queue_length)'")),
    }
}

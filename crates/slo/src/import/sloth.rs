//! Sloth's `prometheus/v1`: a service, its SLOs by events or by a raw ratio. Alerts are ours, so its alerting is noted and left out.

use std::collections::BTreeMap;

use protocol::yaml::{Document, DocumentError};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Imported;
use crate::objective::{Indicator, Objective, Subject, Target};
use crate::promql::Template;
use crate::windows::BUDGET_WINDOW_DEFAULT;

/// The value of `version`.
pub(super) const VERSION: &str = "prometheus/v1";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    #[serde(rename = "version")]
    _version: String,
    service: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    slo_plugins: Option<IgnoredAny>,
    slos: Vec<Slo>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Slo {
    name: String,
    #[serde(rename = "description")]
    _description: Option<String>,
    objective: f64,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    plugins: Option<IgnoredAny>,
    sli: Sli,
    alerting: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sli {
    raw: Option<Raw>,
    events: Option<Events>,
    plugin: Option<IgnoredAny>,
    denominator_corrected: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    error_ratio_query: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Events {
    error_query: String,
    total_query: String,
}

/// Reads one file's worth.
pub(super) fn import(document: &Document, namespace: &str, imported: &mut Imported) -> Result<(), DocumentError> {
    let spec: Spec = document.parse()?;
    if spec.slo_plugins.is_some() {
        imported.note(document, "slo_plugins", "plugins are Sloth's own and not taken");
    }
    if !spec.labels.is_empty() {
        imported.note(document, "labels", "rules have the labels of the objective alone; these are not taken");
    }
    for (index, slo) in spec.slos.into_iter().enumerate() {
        let field = format!("slos[{index}]");
        let Some(target) = Target::from_share(slo.objective / 100.0) else {
            let message = format!("found {}, expected percent above 0 and below 100", slo.objective);
            return Err(document.error(&format!("{field}.objective"), &message));
        };
        for (name, is_there, text) in [
            ("alerting", slo.alerting.is_some(), "alerts are those of `plimsoll slo rules`; this is not taken"),
            ("plugins", slo.plugins.is_some(), "plugins are Sloth's own and not taken"),
            ("labels", !slo.labels.is_empty(), "rules have the labels of the objective alone; these are not taken"),
        ] {
            if is_there {
                imported.note(document, &format!("{field}.{name}"), text);
            }
        }
        let indicator = indicator(document, &format!("{field}.sli"), slo.sli)?;
        imported.objectives.push(Objective {
            name: slo.name,
            subject: Subject::Service { namespace: namespace.to_owned(), name: spec.service.clone() },
            target,
            window: BUDGET_WINDOW_DEFAULT,
            indicator,
            packing: false,
        });
    }
    Ok(())
}

fn indicator(document: &Document, field: &str, sli: Sli) -> Result<Indicator, DocumentError> {
    let template = |name: &str, text: &str| {
        Template::new(text).map_err(|error| document.error(&format!("{field}.{name}"), &error))
    };
    match (sli.events, sli.raw, sli.plugin.or(sli.denominator_corrected)) {
        (Some(events), None, None) => Ok(Indicator::Events {
            bad: template("events.error_query", &events.error_query)?,
            total: template("events.total_query", &events.total_query)?,
        }),
        (None, Some(raw), None) => {
            Ok(Indicator::ErrorRatio { ratio: template("raw.error_ratio_query", &raw.error_ratio_query)? })
        }
        (None, None, Some(_)) => {
            Err(document.error(field, "needs Sloth to be worked out; write the queries it makes as events or raw"))
        }
        _ => Err(document.error(field, "expected exactly one of events and raw")),
    }
}

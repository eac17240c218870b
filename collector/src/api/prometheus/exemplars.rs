//! Exemplars of the series that a query selects.

use std::sync::Arc;

use axum::extract::State;
use protocol::number::{self, Exponent};
use protocol::prometheus::LabelMap;
use serde::Serialize;

use super::Shared;
use super::answer::{ApiError, Json, label_map, seconds, success};
use super::browse::times;
use super::params::Params;
use crate::api::views::{Exemplar, SeriesExemplars};
use crate::promql::selectors;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireSeries {
    series_labels: LabelMap,
    exemplars: Vec<WireExemplar>,
}

#[derive(Serialize)]
struct WireExemplar {
    labels: LabelMap,
    value: String,
    timestamp: f64,
}

/// `/api/v1/query_exemplars`
pub(super) async fn exemplars(State(shared): State<Arc<Shared>>, params: Params) -> Result<Json, ApiError> {
    let (start_ms, end_ms) = times(&params)?;
    if end_ms < start_ms {
        return Err(ApiError::parameter("end", "end timestamp must not be before start timestamp"));
    }
    let selectors = selectors(params.query())?;
    let Some(source) = shared.api.exemplars.clone() else { return success(Vec::<WireSeries>::new()) };
    let timeout = shared.api.engine.options().timeout;
    let work = move |_: &_, _: &_| {
        let found = if selectors.is_empty() { Vec::new() } else { source.exemplars(&selectors, start_ms, end_ms) };
        success(found.iter().map(wire_series).collect::<Vec<WireSeries>>())
    };
    shared.on_thread(timeout, work).await
}

fn wire_series(series: &SeriesExemplars) -> WireSeries {
    WireSeries {
        series_labels: label_map(&series.labels),
        exemplars: series.exemplars.iter().map(wire_exemplar).collect(),
    }
}

fn wire_exemplar(exemplar: &Exemplar) -> WireExemplar {
    WireExemplar {
        labels: label_map(&exemplar.labels),
        value: number::text(exemplar.value, Exponent::Json),
        timestamp: seconds(exemplar.timestamp_ms),
    }
}

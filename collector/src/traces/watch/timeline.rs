//! `/api/v1/faults/timeline`: what began, ended and changed in the last hour. Judges nothing.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use protocol::faults::Timeline;
use serde::Deserialize;
use serde_json::json;

use super::super::Core;

#[derive(Debug, Deserialize)]
pub(in crate::traces) struct Params {
    since_ms: Option<String>,
    limit: Option<String>,
}

pub(in crate::traces) async fn get(State(core): State<Arc<Core>>, Query(params): Query<Params>) -> Response {
    match select(&core.watched.timeline.load(), &params) {
        Ok(timeline) => Json(timeline).into_response(),
        Err(error) => {
            let body = json!({ "status": "error", "errorType": "bad_data", "error": error });
            (StatusCode::BAD_REQUEST, Json(body)).into_response()
        }
    }
}

/// What is asked for: the newest so many since then, oldest first.
fn select(timeline: &Timeline, params: &Params) -> Result<Timeline, String> {
    let since_ms: i64 =
        number("since_ms", params.since_ms.as_deref(), "milliseconds since the epoch")?.unwrap_or(i64::MIN);
    let limit: usize = number("limit", params.limit.as_deref(), "a number of events")?.unwrap_or(usize::MAX);
    let events = &timeline.events[timeline.events.partition_point(|event| event.at_ms < since_ms)..];
    Ok(Timeline { events: events[events.len().saturating_sub(limit)..].to_vec() })
}

fn number<T: std::str::FromStr>(name: &str, text: Option<&str>, expected: &str) -> Result<Option<T>, String> {
    let read =
        |text: &str| text.parse().map_err(|_| format!("{name}: {text:?} is no whole number; expected {expected}"));
    text.filter(|text| !text.is_empty()).map(read).transpose()
}

#[cfg(test)]
mod tests {
    use protocol::faults::{TimelineEvent, TimelineKind};

    use super::*;

    fn asked(since_ms: Option<&str>, limit: Option<&str>) -> Result<Vec<i64>, String> {
        let event = |at_ms| TimelineEvent {
            at_ms,
            kind: TimelineKind::Replicas,
            service: "order".to_owned(),
            text: String::new(),
            from: None,
            to: None,
        };
        let timeline = Timeline { events: [10, 20, 20, 30].map(event).into() };
        let params = Params { since_ms: since_ms.map(str::to_owned), limit: limit.map(str::to_owned) };
        select(&timeline, &params).map(|found| found.events.iter().map(|event| event.at_ms).collect())
    }

    #[test]
    fn the_newest_events_since_a_time_are_given_oldest_first() {
        assert_eq!(asked(None, None), Ok(vec![10, 20, 20, 30]));
        assert_eq!(asked(Some("20"), None), Ok(vec![20, 20, 30]));
        assert_eq!(asked(Some("11"), Some("2")), Ok(vec![20, 30]));
        assert_eq!(asked(Some("31"), None), Ok(vec![]));
        assert_eq!(asked(None, Some("0")), Ok(vec![]));
        let error = "since_ms: \"soon\" is no whole number; expected milliseconds since the epoch";
        assert_eq!(asked(Some("soon"), None), Err(error.to_owned()));
        assert!(asked(None, Some("-1")).is_err());
    }
}

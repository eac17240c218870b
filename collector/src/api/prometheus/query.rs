//! Evaluates queries for requests: on threads of their own, not too many at once, and no longer than anyone waits.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use tokio::time::{Instant, timeout_at};

use super::Shared;
use super::answer::{ApiError, Json, query_answer, success};
use super::params::Params;
use crate::promql::{self, Engine, EngineOptions, QueryError, QueryOutput, Stop};
use crate::series::Queryable;

/// The most steps of a range query: enough for one a minute over a week or one an hour over a year. Prometheus' limit.
const STEPS_MAX: i64 = 11_000;

/// `/api/v1/query`
pub(super) async fn instant(State(shared): State<Arc<Shared>>, params: Params) -> Result<Json, ApiError> {
    let at_ms = params.time("time")?.unwrap_or_else(|| shared.api.clock.now_ms());
    let limit = params.limit("limit")?;
    let engine = engine(&shared, &params)?;
    let timeout = params.timeout(engine.options().timeout)?;
    let query = params.query().to_owned();
    let work =
        move |store: &dyn Queryable, stop: &Stop| answer(engine.instant_until(store, &query, at_ms, stop), limit);
    shared.on_thread(timeout, work).await
}

/// `/api/v1/query_range`
pub(super) async fn range(State(shared): State<Arc<Shared>>, params: Params) -> Result<Json, ApiError> {
    let times = range_times(&params)?;
    let limit = params.limit("limit")?;
    let engine = engine(&shared, &params)?;
    let timeout = params.timeout(engine.options().timeout)?;
    let query = params.query().to_owned();
    let work = move |store: &dyn Queryable, stop: &Stop| answer(engine.range_until(store, &query, times, stop), limit);
    shared.on_thread(timeout, work).await
}

/// `/api/v1/format_query`
pub(super) async fn format(params: Params) -> Result<Json, ApiError> {
    success(promql::prettified(params.query())?)
}

fn answer(output: Result<QueryOutput, QueryError>, limit: usize) -> Result<Json, ApiError> {
    Ok(query_answer(output?, limit))
}

/// Start, end and step.
fn range_times(params: &Params) -> Result<(i64, i64, i64), ApiError> {
    let start_ms = params.required_time("start")?;
    let end_ms = params.required_time("end")?;
    if end_ms < start_ms {
        return Err(ApiError::parameter("end", "end timestamp must not be before start timestamp"));
    }
    let step_ms = params
        .duration_ms("step")?
        .ok_or_else(|| ApiError::parameter("step", "cannot parse \"\" to a valid duration"))?;
    if step_ms <= 0 {
        let reason = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(ApiError::parameter("step", reason));
    }
    if end_ms.saturating_sub(start_ms) / step_ms > STEPS_MAX {
        let text = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution \
                    (?step=XX)";
        return Err(ApiError::BadData(text.to_owned()));
    }
    Ok((start_ms, end_ms, step_ms))
}

/// The engine, looking back as far as the request says.
fn engine(shared: &Shared, params: &Params) -> Result<Engine, ApiError> {
    let engine = shared.api.engine.clone();
    match params.duration_ms("lookback_delta")? {
        // As in Prometheus, what is not positive stands for the default.
        None | Some(..=0) => Ok(engine),
        Some(millis) => {
            let lookback = Duration::from_millis(u64::try_from(millis).unwrap_or(0));
            let options = EngineOptions { lookback, ..engine.options().clone() };
            Ok(engine.with_options(options))
        }
    }
}

impl Shared {
    /// Does work on the store on a thread where it may block. It is told to stop when the request is dropped, which is when
    /// the client has gone, or when the time is up.
    pub(super) async fn on_thread(
        &self,
        timeout: Duration,
        work: impl FnOnce(&dyn Queryable, &Stop) -> Result<Json, ApiError> + Send + 'static,
    ) -> Result<Json, ApiError> {
        let stop = Stop::after(timeout);
        let _cancel_with_request = stop.guard();
        let queued = timeout_at(Instant::now() + timeout, Arc::clone(&self.permits).acquire_owned()).await;
        let permit = match queued {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(ApiError::Internal("queries are no longer taken".to_owned())),
            Err(_) => return Err(ApiError::Timeout("query timed out in query queue".to_owned())),
        };
        let store = Arc::clone(&self.api.store);
        let task = tokio::task::spawn_blocking(move || {
            let _one_of_many = permit;
            work(&*store, &stop)
        });
        task.await.unwrap_or_else(|_| Err(ApiError::Internal("the evaluation of the query failed".to_owned())))
    }
}

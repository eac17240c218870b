//! Which series and labels there are.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};

use super::Shared;
use super::answer::{ApiError, Json, cut, label_map, success_with};
use super::params::Params;
use crate::promql::{Engine, QueryError, Stop, parse_selector};
use crate::series::{Labels, Matcher, Queryable};

/// What a request looks for, and when.
struct Search {
    /// Series that fit all matchers of at least one; none means all series.
    selectors: Vec<Vec<Matcher>>,
    start_ms: i64,
    end_ms: i64,
    limit: usize,
}

impl Search {
    fn of(params: &Params) -> Result<Self, ApiError> {
        let selectors = params
            .all("match[]")
            .map(|text| parse_selector(text).map_err(|reason| ApiError::parameter("match[]", reason)));
        let (start_ms, end_ms) = times(params)?;
        let limit = params.limit("limit")?;
        Ok(Self { selectors: selectors.collect::<Result<_, _>>()?, start_ms, end_ms, limit })
    }

    fn series(&self, store: &dyn Queryable, engine: &Engine, stop: &Stop) -> Result<BTreeSet<Labels>, QueryError> {
        let everything = [Vec::new()];
        let selectors = if self.selectors.is_empty() { &everything[..] } else { &self.selectors };
        let budget = engine.budget(stop);
        let mut found = BTreeSet::new();
        for matchers in selectors {
            let fitting = store.series(matchers, self.start_ms, self.end_ms, &budget);
            found.extend(fitting.map_err(|error| budget.why(&error))?);
        }
        Ok(found)
    }
}

/// The start and end of a search; without them it is over all time.
pub(super) fn times(params: &Params) -> Result<(i64, i64), ApiError> {
    // Far beyond any time, and far from the ends of the type, so that a store may add to them.
    const START_MS: i64 = i64::MIN / 4;
    const END_MS: i64 = i64::MAX / 4;
    Ok((params.time("start")?.unwrap_or(START_MS), params.time("end")?.unwrap_or(END_MS)))
}

/// `/api/v1/series`
pub(super) async fn series(State(shared): State<Arc<Shared>>, params: Params) -> Result<Json, ApiError> {
    let search = Search::of(&params)?;
    if search.selectors.is_empty() {
        return Err(ApiError::BadData("no match[] parameter provided".to_owned()));
    }
    let engine = shared.api.engine.clone();
    let timeout = engine.options().timeout;
    let work = move |store: &dyn Queryable, stop: &Stop| {
        let mut found: Vec<_> = search.series(store, &engine, stop)?.iter().map(label_map).collect();
        let mut warnings = Vec::new();
        cut(&mut found, search.limit, &mut warnings);
        success_with(found, warnings)
    };
    shared.on_thread(timeout, work).await
}

/// `/api/v1/labels`
pub(super) async fn labels(State(shared): State<Arc<Shared>>, params: Params) -> Result<Json, ApiError> {
    let search = Search::of(&params)?;
    let engine = shared.api.engine.clone();
    let timeout = engine.options().timeout;
    let work = move |store: &dyn Queryable, stop: &Stop| {
        let mut names = BTreeSet::new();
        for labels in search.series(store, &engine, stop)? {
            for (name, _) in labels.pairs() {
                if !names.contains(name) {
                    names.insert(Arc::clone(name));
                }
            }
        }
        texts(names, search.limit)
    };
    shared.on_thread(timeout, work).await
}

/// `/api/v1/label/{name}/values`
pub(super) async fn label_values(
    State(shared): State<Arc<Shared>>,
    name: Result<Path<String>, PathRejection>,
    params: Params,
) -> Result<Json, ApiError> {
    let Path(name) = name.map_err(|reason| ApiError::BadData(format!("invalid label name: {reason}")))?;
    let name = unescaped(&name);
    if name.is_empty() {
        return Err(ApiError::BadData(format!("invalid label name: {name:?}")));
    }
    let search = Search::of(&params)?;
    let engine = shared.api.engine.clone();
    let timeout = engine.options().timeout;
    let work = move |store: &dyn Queryable, stop: &Stop| {
        let mut values: BTreeSet<Arc<str>> = BTreeSet::new();
        for labels in search.series(store, &engine, stop)? {
            values
                .extend(labels.pairs().iter().find(|(known, _)| **known == *name).map(|(_, value)| Arc::clone(value)));
        }
        texts(values, search.limit)
    };
    shared.on_thread(timeout, work).await
}

fn texts(found: BTreeSet<Arc<str>>, limit: usize) -> Result<Json, ApiError> {
    let mut found: Vec<Arc<str>> = found.into_iter().collect();
    let mut warnings = Vec::new();
    cut(&mut found, limit, &mut warnings);
    success_with(found.iter().map(|text| &**text).collect::<Vec<&str>>(), warnings)
}

/// Grafana writes names that are not plain as `U__`, with `__` for an underscore and `_2e_` for a character by its number.
fn unescaped(name: &str) -> String {
    let read = |escaped: &str| {
        let mut plain = String::new();
        let mut rest = escaped;
        while let Some((before, after)) = rest.split_once('_') {
            plain.push_str(before);
            let (code, after) = after.split_once('_')?;
            plain.push(if code.is_empty() { '_' } else { char::from_u32(u32::from_str_radix(code, 16).ok()?)? });
            rest = after;
        }
        plain.push_str(rest);
        Some(plain)
    };
    name.strip_prefix("U__").and_then(read).unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::unescaped;

    #[test]
    fn escaped_names_are_read() {
        for (escaped, plain) in [
            ("job", "job"),
            ("U__http_2e_route", "http.route"),
            ("U__a__b_2e_c", "a_b.c"),
            ("U__broken_zz_", "U__broken_zz_"),
            ("U__open_2", "U__open_2"),
        ] {
            assert_eq!(unescaped(escaped), plain);
        }
    }
}

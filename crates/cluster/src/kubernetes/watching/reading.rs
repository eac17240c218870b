//! Reads what the API server lists and tells, object by object where it must: one of an unexpected shape costs only itself, and is
//! named. Pure.

use kube::api::WatchEvent;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::kubernetes::state::Key;
use crate::kubernetes::wire::{List, ListMeta};

/// An object of an unexpected shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Odd {
    pub key: Key,
    /// Its resourceVersion.
    pub version: String,
    pub reason: String,
}

impl Odd {
    fn of(object: &Value, error: &serde_json::Error) -> Self {
        let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default();
        let key = Key::new(text("namespace"), text("name"));
        Self { key, version: text("resourceVersion").to_owned(), reason: error.to_string() }
    }
}

/// A page of a list.
#[derive(Debug)]
pub(super) struct Page<W> {
    pub metadata: ListMeta,
    pub objects: Vec<W>,
    pub odd: Vec<Odd>,
}

/// Reads a page.
///
/// # Errors
/// When it is no list at all.
pub(super) fn page<W: DeserializeOwned>(text: &str) -> Result<Page<W>, String> {
    if let Ok(List { metadata, items }) = serde_json::from_str::<List<W>>(text) {
        return Ok(Page { metadata, objects: items.unwrap_or_default(), odd: Vec::new() });
    }
    let list: List<Value> = serde_json::from_str(text).map_err(|error| format!("the answer is odd: {error}"))?;
    let (mut objects, mut odd) = (Vec::new(), Vec::new());
    for object in list.items.unwrap_or_default() {
        match W::deserialize(&object) {
            Ok(read) => objects.push(read),
            Err(error) => odd.push(Odd::of(&object, &error)),
        }
    }
    Ok(Page { metadata: list.metadata, objects, odd })
}

/// A line of a watch.
pub(super) enum Line<W> {
    /// What happened.
    Event(WatchEvent<W>),
    /// Something happened to an object of an unexpected shape.
    Odd(Odd),
    /// One of them went.
    OddGone(Odd),
}

/// Reads a line; `None` if its end is missing, because the connection broke.
///
/// # Errors
/// When it tells of no object.
pub(super) fn line<W: DeserializeOwned>(text: &[u8]) -> Result<Option<Line<W>>, String> {
    let error = match serde_json::from_slice::<WatchEvent<W>>(text) {
        Ok(event) => return Ok(Some(Line::Event(event))),
        Err(error) if error.is_eof() => return Ok(None),
        Err(error) => error,
    };
    let told: Value = serde_json::from_slice(text).map_err(|error| format!("the watch says something odd: {error}"))?;
    let odd = || Odd::of(&told["object"], &error);
    match told["type"].as_str() {
        Some("ADDED" | "MODIFIED") => Ok(Some(Line::Odd(odd()))),
        Some("DELETED") => Ok(Some(Line::OddGone(odd()))),
        // An API server that is in trouble may answer with a bare Status.
        _ => Err(told["message"]
            .as_str()
            .map_or_else(|| format!("the watch says something odd: {error}"), str::to_owned)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::wire::Pod;

    #[test]
    fn an_odd_object_costs_only_itself() {
        let good = r#"{"metadata":{"namespace":"shop","name":"a"}}"#;
        let bad = r#"{"metadata":{"namespace":"shop","name":"b","resourceVersion":"7"},"spec":{"containers":7}}"#;
        let list = format!(r#"{{"metadata":{{"resourceVersion":"9"}},"items":[{good},{bad},7]}}"#);
        let page = page::<Pod>(&list).unwrap();
        assert_eq!((page.metadata.resource_version.as_str(), page.objects.len(), page.odd.len()), ("9", 1, 2));
        assert_eq!((page.odd[0].key.clone(), page.odd[0].version.as_str()), (Key::new("shop", "b"), "7"));
        assert!(page.odd[0].reason.contains("expected a sequence"), "{}", page.odd[0].reason);
        assert!(super::page::<Pod>("7").is_err());
    }

    #[test]
    fn a_line_is_an_event_an_odd_object_a_broken_end_or_nothing() {
        let told =
            |kind: &str, object: &str| line::<Pod>(format!(r#"{{"type":"{kind}","object":{object}}}"#).as_bytes());
        let bad = r#"{"metadata":{"namespace":"shop","name":"b","resourceVersion":"7"},"spec":7}"#;
        assert!(matches!(told("ADDED", "{}"), Ok(Some(Line::Event(WatchEvent::Added(_))))));
        assert!(matches!(told("MODIFIED", bad), Ok(Some(Line::Odd(odd))) if odd.version == "7"));
        assert!(matches!(told("DELETED", bad), Ok(Some(Line::OddGone(odd))) if odd.key == Key::new("shop", "b")));
        let gone = r#"{"kind":"Status","code":410,"reason":"Expired","message":"too old","status":"Failure"}"#;
        assert!(matches!(told("ERROR", gone), Ok(Some(Line::Event(WatchEvent::Error(status)))) if status.code == 410));
        assert!(matches!(line::<Pod>(br#"{"type":"ADDED","obj"#), Ok(None)));
        assert!(matches!(line::<Pod>(br#"{"kind":"Status","message":"etcd"}"#), Err(reason) if reason == "etcd"));
        assert!(line::<Pod>(b"hello").is_err());
    }
}

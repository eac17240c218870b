//! Whether a trace is whole: one root, and every span's parent is there. Pure.

use std::collections::BTreeSet;

use protocol::jaeger::Trace;

/// What is missing from a trace, in words; empty when it is whole.
pub fn breaks(trace: &Trace) -> Vec<String> {
    let ids: BTreeSet<&str> = trace.spans.iter().map(|span| span.span_id.as_str()).collect();
    let mut breaks = Vec::new();
    let mut roots = 0;
    for span in &trace.spans {
        match span.parent_id() {
            None => roots += 1,
            Some(parent) if ids.contains(parent) => {}
            Some(parent) => breaks.push(format!(
                "trace {}: the parent {parent} of {} {:?} is missing",
                trace.trace_id,
                trace.service_of(span),
                span.operation_name
            )),
        }
    }
    if roots != 1 && breaks.is_empty() {
        breaks.push(format!("trace {}: {roots} roots", trace.trace_id));
    }
    breaks
}

/// The services that made spans of a trace.
pub fn services(trace: &Trace) -> BTreeSet<&str> {
    trace.spans.iter().map(|span| trace.service_of(span)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use protocol::jaeger::{Process, Reference, Span};

    fn span(id: &str, parent: Option<&str>) -> Span {
        let reference =
            |id: &str| Reference { ref_type: "CHILD_OF".to_owned(), trace_id: "t".to_owned(), span_id: id.to_owned() };
        Span {
            trace_id: "t".to_owned(),
            span_id: id.to_owned(),
            operation_name: "GET /".to_owned(),
            references: parent.map(reference).into_iter().collect(),
            start_time: 0,
            duration: 1,
            tags: Vec::new(),
            logs: Vec::new(),
            process_id: "p1".to_owned(),
            warnings: None,
        }
    }

    fn trace(spans: Vec<Span>) -> Trace {
        let process = Process { service_name: "order".to_owned(), tags: Vec::new() };
        let processes = BTreeMap::from([("p1".to_owned(), process)]);
        Trace { trace_id: "t".to_owned(), spans, processes, warnings: None }
    }

    #[test]
    fn an_orphan_breaks_a_trace() {
        assert!(breaks(&trace(vec![span("1", None), span("2", Some("1"))])).is_empty());
        let broken = breaks(&trace(vec![span("1", None), span("3", Some("2"))]));
        assert_eq!(broken, ["trace t: the parent 2 of order \"GET /\" is missing"]);
        assert_eq!(breaks(&trace(vec![span("1", None), span("2", None)])), ["trace t: 2 roots"]);
    }
}

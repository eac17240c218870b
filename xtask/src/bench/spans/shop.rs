//! Spans of a shop as its services export them: each service a request with its part of many traces. A request is written once;
//! ids, times and outcomes are put in anew for every sending, so that making spans costs little beside taking them in.

use crate::wire::{field, varint};

/// Spans of one trace.
pub const SPANS_PER_TRACE: u64 = 10;

/// Calls between services in one trace, and those to the database.
pub const CALLS_PER_TRACE: u64 = 4;

/// One trace in so many has failed.
const FAILING: u64 = 100;

const SERVER: u8 = 2;
const CLIENT: u8 = 3;
const INTERNAL: u8 = 1;

/// A span of every trace: service, own number, its parent's, kind, name, attributes, offset and length in milliseconds.
struct Shape {
    service: usize,
    number: u8,
    parent: u8,
    kind: u8,
    name: &'static str,
    attributes: &'static [(&'static str, &'static str)],
    offset_ms: u64,
    length_ms: u64,
}

const SERVICES: [&str; 4] = ["gateway", "order", "payment", "search"];

const IN: &[(&str, &str)] = &[
    ("http.request.method", "POST"),
    ("url.scheme", "http"),
    ("url.path", "/api/v1/checkout"),
    ("http.route", "/api/v1/checkout"),
    ("server.address", "shop.example"),
    ("client.address", "10.1.2.3"),
    ("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"),
    ("network.protocol.version", "1.1"),
];

const OUT: &[(&str, &str)] = &[
    ("http.request.method", "POST"),
    ("url.full", "http://order.shop.svc.cluster.local:8080/orders"),
    ("server.address", "order.shop.svc.cluster.local"),
    ("network.protocol.version", "1.1"),
    ("http.request.header.x_request", "checkout"),
];

const DATABASE: &[(&str, &str)] = &[
    ("db.system.name", "postgresql"),
    ("db.namespace", "orders"),
    ("db.operation.name", "INSERT"),
    ("db.query.text", "INSERT INTO orders (id, customer, total) VALUES ($1, $2, $3)"),
    ("server.address", "postgres.shop.svc.cluster.local"),
];

const WORK: &[(&str, &str)] = &[("code.function.name", "shop::order::price"), ("thread.name", "tokio-worker-3")];

const SHAPES: [Shape; SPANS_PER_TRACE as usize] = [
    shape(0, 1, 0, SERVER, "POST /api/v1/checkout", IN, 0, 40),
    shape(0, 2, 1, CLIENT, "POST", OUT, 1, 28),
    shape(1, 3, 2, SERVER, "POST /orders", IN, 2, 26),
    shape(1, 4, 3, INTERNAL, "price", WORK, 3, 2),
    shape(1, 5, 3, CLIENT, "POST", OUT, 6, 12),
    shape(2, 6, 5, SERVER, "POST /charges", IN, 7, 10),
    shape(2, 7, 6, INTERNAL, "authorise", WORK, 8, 8),
    shape(1, 8, 3, CLIENT, "INSERT orders", DATABASE, 20, 5),
    shape(0, 9, 1, CLIENT, "GET", OUT, 30, 8),
    shape(3, 10, 9, SERVER, "GET /search", IN, 31, 6),
];

#[expect(clippy::too_many_arguments, reason = "a row of the table above")]
const fn shape(
    service: usize,
    number: u8,
    parent: u8,
    kind: u8,
    name: &'static str,
    attributes: &'static [(&'static str, &'static str)],
    offset_ms: u64,
    length_ms: u64,
) -> Shape {
    Shape { service, number, parent, kind, name, attributes, offset_ms, length_ms }
}

/// Where in a request what changes stands.
#[derive(Debug, Clone, Copy)]
struct Place {
    trace: u64,
    shape: usize,
    trace_id: usize,
    id: usize,
    parent: usize,
    start: usize,
    end: usize,
    status: usize,
}

/// A service's request with its part of many traces.
pub struct Request {
    bytes: Vec<u8>,
    places: Vec<Place>,
}

/// The requests of all services for so many traces.
pub fn requests(traces: u64, instance: usize) -> Vec<Request> {
    (0..SERVICES.len()).map(|service| Request::of(service, traces, instance, None)).collect()
}

/// A request of spans each of which has another name.
pub fn misnamed(from: u64, spans: u64) -> Request {
    Request::of(3, spans, 0, Some(from))
}

impl Request {
    fn of(service: usize, traces: u64, instance: usize, names_from: Option<u64>) -> Self {
        let (mut scope, mut places) = (Vec::new(), Vec::new());
        field(&mut scope, 1, &[&[10, 9][..], b"plimsolls"].concat());
        for trace in 0..traces {
            for (number, shape) in SHAPES.iter().enumerate().filter(|(_, shape)| shape.service == service) {
                let name = names_from.map(|from| format!("GET /search/{}", from + trace));
                let (span, mut place) = span(shape, name.as_deref().unwrap_or(shape.name));
                field(&mut scope, 2, &span);
                let at = scope.len() - span.len();
                for offset in place.offsets() {
                    *offset += at;
                }
                places.push(Place { trace, shape: number, ..place });
            }
        }
        let mut resource = Vec::new();
        let instance = format!("{}-{instance}", SERVICES[service]);
        let told =
            [("service.name", SERVICES[service]), ("service.instance.id", &instance), ("k8s.pod.name", &instance)];
        let sdk = [("telemetry.sdk.language", "rust"), ("telemetry.sdk.name", "opentelemetry")];
        for (key, value) in told.into_iter().chain(sdk) {
            field(&mut resource, 1, &text_attribute(key, value));
        }
        let mut all = Vec::new();
        field(&mut all, 1, &resource);
        field(&mut all, 2, &scope);
        let mut message = Vec::new();
        field(&mut message, 1, &all);
        // Everything before the scope's content has moved it.
        let moved = message.len() - scope.len();
        places.iter_mut().flat_map(Place::offsets).for_each(|offset| *offset += moved);
        Self { bytes: message, places }
    }

    /// How many spans it has.
    pub fn spans(&self) -> u64 {
        self.places.len() as u64
    }

    /// The request for traces from this one on, that ended just now.
    pub fn fill(&self, first_trace: u64, now_ns: u64) -> Vec<u8> {
        let mut out = self.bytes.clone();
        for place in &self.places {
            let shape = &SHAPES[place.shape];
            let trace = mixed(first_trace + place.trace);
            let id = |number: u8| {
                if number == 0 { 0 } else { trace.rotate_left(7).wrapping_add(u64::from(number)) | 1 << 63 }
            };
            let start = now_ns - 50_000_000 + shape.offset_ms * 1_000_000 + (trace & 0xf_ffff);
            // One in five hundred takes ten times as long.
            let factor = if (trace >> 20).is_multiple_of(500) { 10 } else { 1 };
            let length = (shape.length_ms * 1_000_000 + (trace >> 8 & 0x7_ffff)) * factor;
            let words = [(place.trace_id, trace.to_be_bytes()), (place.trace_id + 8, mixed(trace).to_be_bytes())];
            let ids = [(place.id, id(shape.number).to_be_bytes()), (place.parent, id(shape.parent).to_be_bytes())];
            let times = [(place.start, start.to_le_bytes()), (place.end, (start + length).to_le_bytes())];
            for (at, word) in words.into_iter().chain(ids).chain(times) {
                out[at..at + 8].copy_from_slice(&word);
            }
            out[place.status] = if (trace >> 32).is_multiple_of(FAILING) { 2 } else { 0 };
        }
        out
    }
}

impl Place {
    fn offsets(&mut self) -> [&mut usize; 6] {
        [&mut self.trace_id, &mut self.id, &mut self.parent, &mut self.start, &mut self.end, &mut self.status]
    }
}

/// A span with zeros for what changes, and where that stands in it.
fn span(shape: &Shape, name: &str) -> (Vec<u8>, Place) {
    let mut out = Vec::new();
    let fixed = |out: &mut Vec<u8>, number: u8| {
        out.push(number << 3 | 1);
        out.extend([0; 8]);
        out.len() - 8
    };
    field(&mut out, 1, &[0; 16]);
    let trace_id = out.len() - 16;
    field(&mut out, 2, &[0; 8]);
    let id = out.len() - 8;
    field(&mut out, 4, &[0; 8]);
    let parent = out.len() - 8;
    field(&mut out, 5, name.as_bytes());
    out.extend([6 << 3, shape.kind]);
    let start = fixed(&mut out, 7);
    let end = fixed(&mut out, 8);
    for (key, value) in shape.attributes {
        field(&mut out, 9, &text_attribute(key, value));
    }
    for (key, value) in [("http.response.status_code", 200), ("server.port", 8_080)] {
        if shape.kind != INTERNAL {
            let mut number = vec![3 << 3];
            varint(&mut number, value);
            field(&mut out, 9, &attribute(key, &number));
        }
    }
    field(&mut out, 15, &[3 << 3, 0]);
    let status = out.len() - 1;
    (out, Place { trace: 0, shape: 0, trace_id, id, parent, start, end, status })
}

fn text_attribute(key: &str, value: &str) -> Vec<u8> {
    let mut any = Vec::new();
    field(&mut any, 1, value.as_bytes());
    attribute(key, &any)
}

fn attribute(key: &str, any: &[u8]) -> Vec<u8> {
    let mut pair = Vec::new();
    field(&mut pair, 1, key.as_bytes());
    field(&mut pair, 2, any);
    pair
}

/// A number that looks like chance, never 0.
fn mixed(number: u64) -> u64 {
    let mut bits = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x632b_e59b_d9b4_e019;
    for factor in [0xff51_afd7_ed55_8ccd_u64, 0xc4ce_b9fe_1a85_ec53] {
        bits = (bits ^ (bits >> 33)).wrapping_mul(factor);
    }
    (bits ^ (bits >> 33)) | 1
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use prost::Message;

    use super::*;

    #[test]
    fn requests_are_what_an_exporter_sends() {
        let (mut ids, mut spans, mut parents) = (HashMap::new(), 0, 0);
        let filled: Vec<_> = requests(20, 3).iter().map(|r| (r.fill(1_000, 1 << 60), r.spans())).collect();
        for (bytes, count) in &filled {
            let message = ExportTraceServiceRequest::decode(bytes.as_slice()).unwrap();
            let resource = message.resource_spans[0].resource.as_ref().unwrap();
            assert_eq!(resource.attributes.len(), 5);
            let found = &message.resource_spans[0].scope_spans[0].spans;
            assert_eq!(found.len() as u64, *count);
            for span in found {
                assert!(span.end_time_unix_nano > span.start_time_unix_nano && span.attributes.len() >= 2);
                *ids.entry(span.trace_id.clone()).or_insert(0) += 1;
                spans += 1;
            }
            parents += found.iter().filter(|span| span.parent_span_id == [0; 8]).count();
        }
        assert_eq!((ids.len(), spans, parents), (20, 20 * SPANS_PER_TRACE, 20));
        assert!(ids.values().all(|count| *count == SPANS_PER_TRACE));
        let message = ExportTraceServiceRequest::decode(misnamed(5, 3).fill(0, 1 << 60).as_slice()).unwrap();
        let names: Vec<_> =
            message.resource_spans[0].scope_spans[0].spans.iter().map(|span| span.name.as_str()).collect();
        assert_eq!(names, ["GET /search/5", "GET /search/6", "GET /search/7"]);
    }
}

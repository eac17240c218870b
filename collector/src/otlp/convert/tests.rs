//! Claims about converting OTLP.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as WireValue;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::resource::v1::Resource as WireResource;
use opentelemetry_proto::tonic::trace::v1::span::{Event as WireEvent, Link as WireLink};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as WireSpan, Status as WireStatus};
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::traces::span::Value;

fn converted(request: &ExportTraceServiceRequest) -> Converted {
    convert(&request.encode_to_vec(), &mut Interner::default()).unwrap()
}

fn request(spans: Vec<WireSpan>) -> ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] }
}

fn wire() -> WireSpan {
    WireSpan {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: "GET /".into(),
        kind: 2,
        start_time_unix_nano: 1_000,
        end_time_unix_nano: 3_000,
        ..WireSpan::default()
    }
}

fn pair(key: &str, value: WireValue) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

#[test]
fn a_span_without_proper_ids_is_none() {
    let spans = vec![
        wire(),
        WireSpan { trace_id: vec![], ..wire() },
        WireSpan { trace_id: vec![0; 16], ..wire() },
        WireSpan { trace_id: vec![1; 8], ..wire() },
        WireSpan { span_id: vec![0; 8], ..wire() },
        WireSpan { span_id: vec![1; 16], ..wire() },
        WireSpan { parent_span_id: vec![1; 3], span_id: vec![9; 8], ..wire() },
    ];
    let converted = converted(&request(spans));
    assert_eq!((converted.spans.len(), converted.invalid), (2, 5));
    assert_eq!(converted.spans[1].1.parent, 0);
}

#[test]
fn fields_arrive_as_sent() {
    let mut message = request(vec![WireSpan {
        attributes: vec![
            pair("n", WireValue::IntValue(5)),
            pair(
                "list",
                WireValue::ArrayValue(ArrayValue {
                    values: vec![AnyValue { value: Some(WireValue::BoolValue(true)) }, AnyValue { value: None }],
                }),
            ),
            pair("map", WireValue::KvlistValue(KeyValueList { values: vec![pair("a", WireValue::DoubleValue(0.5))] })),
        ],
        status: Some(WireStatus { message: "broken".into(), code: 2 }),
        end_time_unix_nano: 500,
        ..wire()
    }]);
    message.resource_spans[0].resource = Some(WireResource {
        attributes: vec![
            pair("service.name", WireValue::StringValue("order".into())),
            pair("k8s.pod.name", WireValue::StringValue("order-0".into())),
        ],
        ..WireResource::default()
    });
    let converted = converted(&message);
    let (trace, span) = &converted.spans[0];
    assert_eq!(*trace, u128::from_be_bytes([1; 16]));
    assert_eq!(
        (span.id, span.kind, span.status, span.duration_ns),
        (u64::from_be_bytes([2; 8]), Kind::Server, Status::Error, 0)
    );
    assert_eq!((&**span.service(), span.process.attributes.len()), ("order", 1));
    let values: Vec<_> = span.attributes.iter().map(|a| a.value.clone()).collect();
    assert_eq!(values, [Value::Int(5), Value::Json("[true,null]".into()), Value::Json(r#"{"a":0.5}"#.into())]);
    let detail = span.detail.as_ref().expect("it has a message");
    assert_eq!(detail.status_message.as_deref(), Some("broken"));
    assert_eq!(detail.warnings.len(), 1);
}

#[test]
fn a_resource_without_a_name_is_an_unknown_service() {
    assert_eq!(&**converted(&request(vec![wire()])).spans[0].1.service(), "unknown_service");
}

#[test]
fn scope_events_and_links_arrive_as_sent() {
    let event = WireEvent {
        time_unix_nano: 1_500,
        name: "retry".into(),
        attributes: vec![pair("n", WireValue::IntValue(-2))],
        ..WireEvent::default()
    };
    let links = vec![
        WireLink { trace_id: vec![3; 16], span_id: vec![4; 8], ..WireLink::default() },
        WireLink { trace_id: vec![3; 2], span_id: vec![4; 8], ..WireLink::default() },
    ];
    let mut message = request(vec![WireSpan { events: vec![event], links, trace_state: "a=b".into(), ..wire() }]);
    message.resource_spans[0].scope_spans[0].scope =
        Some(InstrumentationScope { name: "shop".into(), version: "1".into(), ..InstrumentationScope::default() });
    let span = &converted(&message).spans[0].1;
    let detail = span.detail.as_ref().unwrap();
    assert_eq!(span.scope.as_ref().map(|scope| (&*scope.name, &*scope.version)), Some(("shop", "1")));
    assert_eq!((detail.events.len(), detail.events[0].at_ns, &*detail.events[0].name), (1, 1_500, "retry"));
    assert_eq!(detail.events[0].attributes[0].value, Value::Int(-2));
    assert_eq!(detail.links.iter().map(|link| link.span).collect::<Vec<_>>(), [u64::from_be_bytes([4; 8])]);
    assert_eq!((detail.trace_state.as_deref(), detail.warnings.len()), (Some("a=b"), 0));
}

#[test]
fn the_resource_may_stand_behind_its_spans() {
    let mut first = request(vec![wire()]);
    let mut bytes = first.resource_spans.remove(0).encode_to_vec();
    let attributes = vec![pair("service.name", WireValue::StringValue("order".into()))];
    let named = ResourceSpans {
        resource: Some(WireResource { attributes, ..WireResource::default() }),
        ..ResourceSpans::default()
    };
    bytes.extend(named.encode_to_vec());
    let mut message = vec![10];
    prost::encode_length_delimiter(bytes.len(), &mut message).unwrap();
    message.extend(bytes);
    let converted = convert(&message, &mut Interner::default()).unwrap();
    assert_eq!(&**converted.spans[0].1.service(), "order");
}

#[test]
fn texts_that_are_no_utf8_cost_nothing_else() {
    let mut bytes = request(vec![wire()]).encode_to_vec();
    let at = bytes.windows(5).position(|window| window == b"GET /").unwrap();
    bytes[at] = 0xff;
    let converted = convert(&bytes, &mut Interner::default()).unwrap();
    assert_eq!(&*converted.spans[0].1.name, "\u{fffd}ET /");
}

#[test]
fn too_much_of_a_span_is_cut_and_said() {
    let long = "é".repeat(TEXT_BYTES_MAX);
    let texts = (0..200).map(|i| pair(&format!("k{i}"), WireValue::StringValue(long.clone()))).collect();
    let many = (0..200).map(|i| pair(&format!("k{i}"), WireValue::IntValue(i))).collect();
    let events = vec![WireEvent { name: "e".into(), ..WireEvent::default() }; 200];
    let nested = WireValue::ArrayValue(ArrayValue { values: vec![AnyValue::default(); 100_000] });
    let cases = [
        ("texts", WireSpan { attributes: texts, name: format!("x{long}"), ..wire() }, 3, 0),
        ("attributes", WireSpan { attributes: many, ..wire() }, 128, 0),
        ("events", WireSpan { events, ..wire() }, 0, EVENTS_MAX),
        ("nested", WireSpan { attributes: vec![pair("n", nested)], ..wire() }, 0, 0),
    ];
    for (name, wire, attributes, events) in cases {
        let converted = converted(&request(vec![wire]));
        let span = &converted.spans[0].1;
        let detail = span.detail.as_ref().unwrap();
        assert_eq!((span.attributes.len(), detail.events.len()), (attributes, events), "{name}");
        assert_eq!((&detail.warnings[..], converted.cut), (&[CUT][..], 1), "{name}");
        assert!(span.name.len() <= NAME_BYTES_MAX && span.estimated_bytes() < 80 << 10, "{name}");
    }
}

#[test]
fn a_span_of_a_resource_that_was_cut_counts_as_cut() {
    let resources = [
        ("text", vec![pair("k", WireValue::StringValue("x".repeat(TEXT_BYTES_MAX + 1)))], 1),
        ("attributes", (0..200).map(|i| pair(&format!("k{i}"), WireValue::IntValue(i))).collect(), 128),
        ("service", vec![pair("service.name", WireValue::StringValue("x".repeat(NAME_BYTES_MAX + 1)))], 0),
    ];
    for (name, attributes, kept) in resources {
        let mut message = request(vec![wire(), WireSpan { span_id: vec![3; 8], ..wire() }]);
        message.resource_spans[0].resource = Some(WireResource { attributes, ..WireResource::default() });
        // One that was not is beside it.
        message.resource_spans.extend(request(vec![WireSpan { span_id: vec![4; 8], ..wire() }]).resource_spans);
        let converted = converted(&message);
        assert_eq!((converted.cut, converted.spans[0].1.process.attributes.len()), (2, kept), "{name}");
        assert!(converted.spans[0].1.service().len() <= NAME_BYTES_MAX);
        let is_said = |span: &Arc<Span>| span.detail.as_ref().is_some_and(|detail| detail.warnings == [CUT]);
        assert_eq!(
            converted.spans.iter().map(|(_, span)| is_said(span)).collect::<Vec<_>>(),
            [true, true, false],
            "{name}"
        );
    }
}

#[test]
fn lists_inside_of_lists_end_somewhere() {
    let mut value = WireValue::BoolValue(true);
    for _ in 0..1_000 {
        value = WireValue::ArrayValue(ArrayValue { values: vec![AnyValue { value: Some(value) }] });
    }
    let converted = converted(&request(vec![WireSpan { attributes: vec![pair("n", value)], ..wire() }]));
    let Value::Json(text) = &converted.spans[0].1.attributes[0].value else { panic!("it is a list") };
    assert!(text.ends_with(&format!("[null{}", "]".repeat(32))), "{text}");
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = convert(&bytes, &mut Interner::default());
        let _ = serde_json::from_slice::<ExportTraceServiceRequest>(&bytes);
    }

    #[test]
    fn a_damaged_request_never_panics_and_what_prost_takes_is_taken(
        at in 0usize..200,
        byte in any::<u8>(),
        cut in 0usize..200,
        kind in any::<i32>(),
        times in any::<(u64, u64)>(),
    ) {
        let wire = WireSpan {
            kind,
            start_time_unix_nano: times.0,
            end_time_unix_nano: times.1,
            attributes: vec![pair("http.route", WireValue::StringValue("/orders/{id}".into()))],
            status: Some(WireStatus { message: "broken".into(), code: kind }),
            ..wire()
        };
        let mut bytes = request(vec![wire]).encode_to_vec();
        let (at, cut) = (at % bytes.len(), bytes.len() - cut % bytes.len());
        bytes[at] = byte;
        let converted = convert(&bytes[..cut], &mut Interner::default());
        if let Ok(request) = ExportTraceServiceRequest::decode(&bytes[..cut]) {
            let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
            let spans: usize = scopes.map(|scope| scope.spans.len()).sum();
            match converted {
                Ok(found) => prop_assert_eq!(found.spans.len() + found.invalid as usize, spans),
                // Groups, which prost skips and nobody writes.
                Err(error) => prop_assert!(matches!(error, Malformed::WireType(3 | 4)), "{error}"),
            }
        }
    }
}

//! Claims about converting OTLP.

use opentelemetry_proto::tonic::common::v1::{ArrayValue, KeyValueList};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use proptest::prelude::*;
use prost::Message;

use super::*;

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
    let converted = convert(request(spans), &mut Interner::default());
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
    message.resource_spans[0].resource = Some(Resource {
        attributes: vec![
            pair("service.name", WireValue::StringValue("order".into())),
            pair("k8s.pod.name", WireValue::StringValue("order-0".into())),
        ],
        ..Resource::default()
    });
    let converted = convert(message, &mut Interner::default());
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
    let converted = convert(request(vec![wire()]), &mut Interner::default());
    assert_eq!(&**converted.spans[0].1.service(), "unknown_service");
}

#[test]
fn too_much_of_a_span_is_cut() {
    let long = "é".repeat(VALUE_BYTES_MAX);
    let attributes = (0..ATTRIBUTES_MAX + 10).map(|i| pair(&format!("k{i}"), WireValue::StringValue(long.clone())));
    let wire = WireSpan { attributes: attributes.collect(), name: format!("x{long}"), ..wire() };
    let converted = convert(request(vec![wire]), &mut Interner::default());
    let span = &converted.spans[0].1;
    assert_eq!(span.attributes.len(), ATTRIBUTES_MAX);
    assert_eq!(span.attributes[0].value.heap_bytes(), VALUE_BYTES_MAX);
    assert_eq!(span.name.len(), VALUE_BYTES_MAX - 1);
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(request) = ExportTraceServiceRequest::decode(bytes.as_slice()) {
            convert(request, &mut Interner::default());
        }
        let _ = serde_json::from_slice::<ExportTraceServiceRequest>(&bytes);
    }

    #[test]
    fn a_damaged_request_never_panics(
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
        if let Ok(request) = ExportTraceServiceRequest::decode(&bytes[..cut]) {
            convert(request, &mut Interner::default());
        }
    }
}

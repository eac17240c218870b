//! What exporters post: any bytes as traces or metrics, in protobuf or JSON, packed or not. Answered with a status that the
//! specification has, in the request's own language; what was taken can be asked for, and is there when the store is opened anew.
//!
//! Input: a byte of choices, then the body, in which a piece may be repeated (`input::repeated`).

use std::io::Write;
use std::sync::Arc;

use axum::body::Body;
use collector::config::Config;
use collector::otlp::http_routes;
use collector::otlp::metrics::MetricSink;
use collector::remote::receiver::Writer;
use collector::scrape::ScrapeReport;
use collector::store::Store;
use collector::traces::{Limits, Traces};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{Request, header};
use lifecycle::{Clock, ManualClock};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use serde::de::DeserializeOwned;
use serde_json::{Value, from_slice, from_str};
use tokio::sync::watch;

use crate::http_client::ask;
use crate::input::{repeated, seed};
use crate::stored::{NOW_MS, everything, folder, open};

const TRACES: &str = "/v1/traces";

const METRICS: &str = "/v1/metrics";

/// What is asked of the traces then.
const QUESTIONS: [&str; 6] = [
    "/api/services",
    "/api/services/shop/operations",
    "/api/traces?service=shop&limit=20",
    "/api/traces/0af7651916cd43dd8448eb211c80319c",
    "/api/dependencies?endTs=1700000000000&lookback=86400000",
    "/api/v1/graph?window=60s",
];

/// Two spans of a trace.
pub const TRACE: &str = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}},
{"key":"n","value":{"intValue":"7"}}]},"scopeSpans":[{"scope":{"name":"s"},"spans":[
{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","name":"GET /","kind":2,
"startTimeUnixNano":"1699999198000000000","endTimeUnixNano":"1699999199000000000","status":{"code":2,"message":"no"},
"attributes":[{"key":"a","value":{"arrayValue":{"values":[{"boolValue":true},{"doubleValue":1.5}]}}}],
"events":[{"name":"e","timeUnixNano":"1699999198500000000"}],
"links":[{"traceId":"0af7651916cd43dd8448eb211c80319d","spanId":"b7ad6b7169203332"}]},
{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203333","parentSpanId":"b7ad6b7169203331","name":"call",
"kind":3,"startTimeUnixNano":"1699999198200000000","endTimeUnixNano":"18446744073709551615"}]}]}]}"#;

const METRIC: &str = r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}},
{"key":"service.instance.id","value":{"stringValue":"a"}}]},"scopeMetrics":[{"scope":{"name":"s","version":"1"},"metrics":[
{"name":"orders","unit":"1","description":"Orders.","sum":{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[
{"startTimeUnixNano":"1699999000000000000","timeUnixNano":"1699999199000000000","asInt":"5",
"attributes":[{"key":"http.route","value":{"stringValue":"/"}}],
"exemplars":[{"timeUnixNano":"1699999199000000000","asDouble":1,"traceId":"0af7651916cd43dd8448eb211c80319c"}]}]}},
{"name":"temp.c","unit":"Cel","gauge":{"dataPoints":[{"timeUnixNano":"1699999199000000000","asDouble":-1.5,"flags":1}]}},
{"name":"latency","unit":"ms","histogram":{"aggregationTemporality":2,"dataPoints":[{"timeUnixNano":"1699999199000000000",
"count":"3","sum":4.5,"bucketCounts":["1","2","0"],"explicitBounds":[1,2],"min":0.5,"max":2}]}},
{"name":"fine","exponentialHistogram":{"aggregationTemporality":2,"dataPoints":[{"timeUnixNano":"1699999199000000000",
"count":"6","sum":9,"scale":20,"zeroCount":"1","positive":{"offset":-3,"bucketCounts":["1","0","3"]},
"negative":{"offset":1073741824,"bucketCounts":["1"]}}]}},
{"name":"s","summary":{"dataPoints":[{"timeUnixNano":"1699999199000000000","count":"1","sum":2,
"quantileValues":[{"quantile":0.5,"value":2}]}]}}]}]}]}"#;

/// Exports.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (way, json, protobuf) in [
        (0, TRACE, protobuf::<ExportTraceServiceRequest>(TRACE)),
        (1, METRIC, protobuf::<ExportMetricsServiceRequest>(METRIC)),
    ] {
        seeds.push(seed(&[way | 2], json));
        seeds.push(seed(&[way | 2 | 4], json));
        seeds.push(seed(&[way], &protobuf));
        seeds.push(seed(&[way | 0x40], &protobuf));
    }
    // Values inside of values, in both languages.
    seeds.push(b"\x02\x1e\x0c{\"a\":[\x1e".to_vec());
    let value = "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"a\",\"value\":\x1e\x06{\"arrayValue\":{\"values\":[\x1e{}";
    seeds.push(seed(&[2], value));
    seeds.push(b"\x00\x1e\x0c\x0a\x80\x01\x1e".to_vec());
    seeds.push(b"\x04\x1e\x10\x0a\x02\x0a\x00\x1e".to_vec());
    seeds
}

/// The same message in protobuf.
fn protobuf<M: Message + DeserializeOwned>(json: &str) -> Vec<u8> {
    from_str::<M>(json).expect("the seeds are requests").encode_to_vec()
}

/// See the file's head.
pub fn run(bytes: &[u8]) {
    let (choices, body) = bytes.split_first().map_or((0, bytes), |(first, rest)| (*first, rest));
    let body = repeated(body);
    let path = if choices & 1 == 0 { TRACES } else { METRICS };
    let is_json = choices & 2 != 0;
    let dir = folder();
    let store = Arc::new(open(dir.path()).0);
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(NOW_MS));
    let traces = Traces::new(Limits::default(), clock.clone());
    let (_configs, config) = watch::channel(Arc::new(Config::default()));
    let writer = Arc::new(writer(&store, clock));
    let metrics = MetricSink::new(writer, config, traces.sink().admission().clone());
    let request = Request::post(path);
    let request =
        request.header(header::CONTENT_TYPE, if is_json { "application/json" } else { "application/x-protobuf" });
    let request = match choices & 0x0c {
        0x04 => request.header(header::CONTENT_ENCODING, "gzip").body(Body::from(packed(&body))),
        // Said to be packed, and is not.
        0x08 => request.header(header::CONTENT_ENCODING, "gzip").body(Body::from(body.into_owned())),
        _ => request.body(Body::from(body.into_owned())),
    };
    let answer = ask(http_routes(traces.sink(), Some(Arc::new(metrics))), request.expect("the headers are ours"));
    let status = answer.status.as_u16();
    assert!([200, 400, 413].contains(&status), "{status} {:?}", answer.body);
    assert!(!is_json || from_slice::<Value>(&answer.body).is_ok(), "{status} {:?}", answer.body);
    if path == TRACES {
        return QUESTIONS.iter().for_each(|question| look(&traces, question));
    }
    if choices & 0x40 != 0 {
        let before = everything(&*store);
        drop(store);
        assert_eq!(everything(&open(dir.path()).0), before, "the store, opened anew");
    }
}

fn writer(store: &Arc<Store>, clock: Arc<dyn Clock>) -> Writer {
    let report = Arc::new(ScrapeReport::new(String::new(), NOW_MS));
    Writer::new(store.clone(), report, clock, 86_400_000)
}

fn packed(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).and_then(|()| encoder.finish()).expect("memory takes all")
}

fn look(traces: &Traces, question: &str) {
    let request = Request::get(question).body(Body::empty()).expect("the questions are ours");
    let answer = ask(traces.routes(), request);
    assert!([200, 404].contains(&answer.status.as_u16()), "{question} is answered {:?}", answer.body);
    assert!(from_slice::<Value>(&answer.body).is_ok(), "{question} is answered {:?}", answer.body);
}

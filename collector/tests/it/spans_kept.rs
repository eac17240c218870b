//! Traces on disk: what was acknowledged is there after `kill -9`, and Grafana's questions are answered over memory and disk.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use collector::otlp::http_routes;
use collector::traces::{Limits, SpanRetention, Traces};
use http_body_util::BodyExt;
use lifecycle::{CancellationToken, ManualClock};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tower::ServiceExt;

use super::running::Running;

/// Set in the process that is killed: the folder of its traces.
const FOLDER: &str = "PLIMSOLL_TEST_SPANS";

const START_MS: i64 = 1_700_000_000_000;

/// Times it is killed.
const KILLS: usize = 4;

/// Between two requests: a few hundred until the keeper has written.
const PACE: Duration = Duration::from_millis(2);

/// Traces of each request.
const TRACES: u64 = 5;

fn open(folder: &Path, clock: &ManualClock) -> Arc<Traces> {
    // A sample that falls on everything: what is missing was lost.
    let limits = Limits { ordinary_per_second: u32::MAX, ..Limits::default() };
    Traces::open(limits, Arc::new(clock.clone()), folder, SpanRetention::default()).unwrap()
}

/// A request with traces of two spans, in OTLP's JSON.
fn request(number: u64, second: i64) -> Value {
    let start_ns = (START_MS + second * 1_000) * 1_000_000;
    let spans = (0..TRACES).flat_map(|trace| {
        let id = format!("{:032x}", number * TRACES + trace + 1);
        let span = |own: u64, parent: &str, kind: u8| {
            json!({
                "traceId": id, "spanId": format!("{own:016x}"), "parentSpanId": parent, "kind": kind, "name": format!("GET /{kind}"),
                "startTimeUnixNano": start_ns.to_string(), "endTimeUnixNano": (start_ns + 5_000_000).to_string(),
                "attributes": [{"key": "number", "value": {"intValue": number.to_string()}}],
            })
        };
        [span(1, "", 2), span(2, "0000000000000001", 3)]
    });
    let name = json!({"key": "service.name", "value": {"stringValue": "gateway"}});
    json!({"resourceSpans": [{"resource": {"attributes": [name]}, "scopeSpans": [{"spans": spans.collect::<Vec<_>>()}]}]})
}

async fn post(traces: &Traces, request: &Value) {
    let post = axum::http::Request::post("/v1/traces").header("content-type", "application/json");
    let post = post.body(axum::body::Body::from(request.to_string())).unwrap();
    let answer = http_routes(traces.sink(), None).oneshot(post).await.unwrap();
    assert_eq!(answer.status(), 200);
}

async fn get(traces: &Traces, path: &str) -> (u16, Value) {
    let request = axum::http::Request::get(path).body(axum::body::Body::empty()).unwrap();
    let answer = traces.routes().oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap())
}

/// Not a test of its own: takes traces in, acknowledging each request on standard output, until it is killed.
#[tokio::test(flavor = "multi_thread")]
async fn takes_traces_in_until_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let from: u64 = std::env::var("PLIMSOLL_TEST_FROM").unwrap().parse().unwrap();
    let clock = ManualClock::at(START_MS + from as i64 * 1_000);
    let traces = open(Path::new(&folder), &clock);
    let mut tasks = JoinSet::new();
    tasks.spawn(traces.keeper().unwrap().run(CancellationToken::new()));
    for number in from.. {
        post(&traces, &request(number, number as i64)).await;
        println!("acknowledged {number}");
        // Traces rest after some of these, and are written by the keeper while others come in.
        clock.advance_ms(1_000);
        tokio::time::sleep(PACE).await;
    }
}

fn has_segment(folder: &Path) -> bool {
    let Ok(mut files) = std::fs::read_dir(folder) else { return false };
    files.any(|file| file.is_ok_and(|file| file.path().extension().is_some_and(|extension| extension == "spans")))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_trace_is_lost_when_it_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["spans_kept::takes_traces_in_until_killed", "--exact", "--nocapture"])
            .env(FOLDER, folder.path())
            .env("PLIMSOLL_TEST_FROM", acknowledged.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let number = |line: std::io::Result<String>| line.ok()?.split_once("acknowledged ")?.1.parse::<u64>().ok();
        // Each time a little later; the last time when some traces are decided upon and written.
        let goes_on = |seen: usize| seen < 20 + 50 * kill || (kill + 1 == KILLS && !has_segment(folder.path()));
        let seen = lines.by_ref().filter_map(number).zip(0..).take_while(|(_, seen)| goes_on(*seen));
        let (last, _) = seen.last().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged = lines.filter_map(number).last().unwrap_or(last) + 1;
    }
    let clock = ManualClock::at(START_MS + acknowledged as i64 * 1_000);
    let traces = open(folder.path(), &clock);
    for number in 0..acknowledged {
        for trace in 0..TRACES {
            let id = number * TRACES + trace + 1;
            let (status, body) = get(&traces, &format!("/api/traces/{id:032x}")).await;
            assert_eq!((status, body["data"][0]["spans"].as_array().map(Vec::len)), (200, Some(2)), "{number} {id}");
        }
    }
    let (_, body) = get(&traces, "/api/traces?service=gateway&tags=%7B%22number%22%3A%223%22%7D&limit=100").await;
    assert_eq!(body["total"], TRACES, "of what is on disk, each once");
}

/// What Grafana's Jaeger data source sends, and decodes.
#[tokio::test]
async fn grafanas_questions_are_answered_after_a_restart_too() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let first = Running::start(&mut tasks, folder.path(), "scrape_configs: []\n").await;
    let now_ms = lifecycle::Clock::now_ms(&lifecycle::SystemClock);
    for number in 0..3 {
        let mut request = request(number, (now_ms - START_MS) / 1_000 - 60);
        if number == 1 {
            request["resourceSpans"][0]["scopeSpans"][0]["spans"][1]["status"] =
                json!({"code": 2, "message": "no stock"});
        }
        let post = reqwest::Client::new().post(format!("http://{}/v1/traces", first.endpoints.otlp_http));
        let answer = post.header("content-type", "application/json").body(request.to_string()).send().await.unwrap();
        assert!(answer.status().is_success());
    }
    answers_grafana(&first, now_ms).await;
    drop(first);
    tasks.shutdown().await;
    let mut tasks = JoinSet::new();
    let again = Running::start(&mut tasks, folder.path(), "scrape_configs: []\n").await;
    answers_grafana(&again, now_ms).await;
}

async fn answers_grafana(running: &Running, now_ms: i64) {
    let ask = async |path: String| {
        let (status, body) = running.get(&path).await;
        (
            status.as_u16(),
            serde_json::from_str::<Value>(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}")),
        )
    };
    // The list of services, which is the health check too.
    let (status, services) = ask("/api/services".into()).await;
    assert_eq!((status, &services["data"], &services["errors"]), (200, &json!(["gateway"]), &Value::Null));
    let (status, operations) = ask("/api/services/gateway/operations".into()).await;
    assert_eq!((status, &operations["data"]), (200, &json!(["GET /2", "GET /3"])));
    // Parameters are in order of their names, as Go writes them; tags are JSON made of logfmt.
    let (start_us, end_us) = ((now_ms - 3_600_000) * 1_000, now_ms * 1_000);
    let searches = [
        ("limit=20&service=gateway".to_owned(), 15),
        ("limit=4&operation=GET+%2F2&service=gateway".to_owned(), 4),
        (format!("end={end_us}&limit=20&lookback=custom&service=gateway&start={start_us}"), 15),
        ("limit=20&maxDuration=1s&minDuration=1ms&operation=GET+%2F3&service=gateway".to_owned(), 15),
        ("limit=20&minDuration=100ms&service=gateway".to_owned(), 0),
        ("limit=20&service=gateway&tags=%7B%22error%22%3A%22true%22%7D".to_owned(), 1),
        ("limit=20&service=gateway&tags=%7B%22number%22%3A%222%22%2C%22span.kind%22%3A%22client%22%7D".to_owned(), 5),
        ("limit=20&service=nobody".to_owned(), 0),
    ];
    for (query, expected) in searches {
        let (status, body) = ask(format!("/api/traces?{query}")).await;
        let traces = body["data"].as_array().unwrap();
        assert_eq!((status, traces.len()), (200, expected), "{query}");
        for trace in traces {
            assert_decodes(trace);
        }
    }
    let id = "0000000000000000000000000000000b";
    for query in [String::new(), format!("?end={end_us}&start={start_us}")] {
        let (status, body) = ask(format!("/api/traces/{id}{query}")).await;
        assert_eq!((status, body["data"].as_array().map(Vec::len)), (200, Some(1)));
        assert_eq!(body["data"][0]["traceID"], id);
        assert_decodes(&body["data"][0]);
    }
    // Grafana takes the first of the list without looking whether there is one.
    let (status, body) = ask("/api/traces/ffffffffffffffff".into()).await;
    assert_eq!((status, &body["data"]), (404, &Value::Null));
    let (status, body) = ask(format!("/api/dependencies?endTs={now_ms}&lookback=3600000")).await;
    assert_eq!((status, body["data"].is_array()), (200, true));
}

/// The fields that Grafana reads, in the types that it decodes.
fn assert_decodes(trace: &Value) {
    assert!(trace["traceID"].is_string() && trace["processes"].is_object(), "{trace}");
    let spans = trace["spans"].as_array().unwrap();
    assert_eq!(spans.len(), 2, "{trace}");
    for span in spans {
        assert!(span["spanID"].is_string() && span["operationName"].is_string(), "{span}");
        assert!(span["startTime"].is_u64() && span["duration"].is_u64(), "{span}");
        assert!(span["references"].is_array() && span["logs"].is_array() && span["tags"].is_array(), "{span}");
        let process = &trace["processes"][span["processID"].as_str().unwrap()];
        assert!(process["serviceName"].is_string() && process["tags"].is_array(), "{trace}");
    }
}

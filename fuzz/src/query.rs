//! What a client asks of the API: any PromQL, any parameters. The answer is JSON, of a status that is documented, within the time
//! limit; the same query written in another way has the same answer, and so has the same data in another place.
//!
//! Input: a byte of choices, then texts with `NEXT` between them: the query or selector, then `name=value` of parameters. A
//! piece may be repeated (`input::repeated`).

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use collector::api::prometheus::{self, PrometheusApi, ServerFacts};
use collector::promql::{self, Engine, EngineOptions};
use collector::rules::Overview;
use collector::rules::delivery::Delivery;
use collector::scrape::ScrapeReport;
use collector::series::Queryable;
use collector::store::Store;
use collector::traces::{self, Traces};
use http::{Method, Request, StatusCode, header};
use lifecycle::{Clock, ManualClock};
use serde_json::Value;
use url::{Url, form_urlencoded};

use crate::http_client::{Answer, ask};
use crate::input::{repeated, seed};
use crate::scene;
use crate::stored::{NOW_MS, folder, open};

/// Between the query and the parameters.
const NEXT: u8 = 0x1f;

/// The limit of the engine here.
const TIMEOUT: Duration = Duration::from_secs(1);

/// How long an answer may take on a machine that does other things as well: the limit is looked at between series, and clocks
/// run on while others compute.
const ANSWER_MAX: Duration = Duration::from_secs(8);

/// What an input may ask, and the parameter that its first text is.
const WAYS: [(&str, &str); 16] = [
    ("/api/v1/query", "query"),
    ("/api/v1/query_range", "query"),
    ("/api/v1/query_exemplars", "query"),
    ("/api/v1/format_query", "query"),
    ("/api/v1/series", "match[]"),
    ("/api/v1/labels", "match[]"),
    ("/api/v1/label//values", "match[]"),
    ("/api/v1/rules", "match[]"),
    ("/api/v1/metadata", "metric"),
    ("/api/v1/targets", "state"),
    ("/api/v1/status/tsdb", "limit"),
    ("/api/traces", "service"),
    ("/api/traces/", "prettyPrint"),
    ("/api/dependencies", "endTs"),
    ("/api/v1/graph", "window"),
    ("/api/v1/alerts", "query"),
];

/// Of a name in a path: a client cannot even make an address of 64 KiB, and each byte may take three.
const NAME_BYTES_MAX: usize = 20_000;

struct Scene {
    stored: Router,
    in_memory: Router,
}

static SCENE: LazyLock<Scene> = LazyLock::new(|| {
    let dir = folder();
    let store = open(dir.path()).0;
    scene::append(&store, 0..scene::STEPS);
    store.tend(&|| false);
    assert!(store.stats().blocks > 0, "a part of the scene is sealed");
    // The folder goes here: what the store reads it holds open.
    let store = Arc::new(store);
    Scene { stored: routes(store.clone(), &store), in_memory: routes(Arc::new(scene::in_memory()), &store) }
});

fn routes(queryable: Arc<dyn Queryable>, store: &Arc<Store>) -> Router {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(NOW_MS));
    let external_url = Arc::new(Url::parse("http://fuzz/").expect("it is a URL"));
    let engine = Engine::new(EngineOptions {
        samples_max: 200_000,
        samples_total_max: 200_000,
        series_max: 2_000,
        queries_max: 4,
        timeout: TIMEOUT,
        ..EngineOptions::default()
    });
    let api = PrometheusApi {
        store: queryable,
        engine,
        targets: Arc::new(ScrapeReport::new(String::new(), NOW_MS)),
        rules: Arc::new(Overview {
            report: Arc::default(),
            delivery: Arc::new(Delivery::new(clock.clone(), external_url)),
        }),
        exemplars: Some(store.clone()),
        clock: clock.clone(),
        server: ServerFacts::default(),
    };
    prometheus::routes(api)
        .merge(prometheus::storage_routes(store.clone(), false))
        .merge(Traces::new(traces::Limits::default(), clock).routes())
}

/// Questions.
pub fn seeds() -> Vec<Vec<u8>> {
    const QUERIES: [&str; 40] = [
        "up",
        "requests_total{code=~\"5..|404\",instance!=\"b:2\"} offset 5m",
        "sum by (code) (rate(requests_total[5m])) / on () group_left sum(rate(requests_total[5m]))",
        "histogram_quantile(0.9, sum by (le) (rate(latency_bucket[10m])))",
        "histogram_quantile(0.5, rate(native[10m])) + histogram_avg(native) - histogram_fraction(0, 0.2, custom)",
        "native </ 0.5",
        "sum(native) >/ 2",
        "topk(2, temperature) or bottomk by (room) (1, -temperature)",
        "max_over_time((temperature ^ 2)[30m:1m] @ end()) unless sometimes",
        "label_replace(up, \"x\", \"$1-${name}\", \"instance\", \"(?P<name>.*):(.*)\")",
        "label_join(requests_total, \"all\", \"/\", \"job\", \"instance\", \"code\")",
        "count_values(\"v\", requests_total) > bool 2",
        "quantile_over_time(0.3, temperature[1h]) % 7 atan2 3",
        "absent(nothing{a=\"b\"}) or absent_over_time(sometimes[1m])",
        "predict_linear(temperature[1h], 3600) - deriv(temperature[1h])",
        "{__name__=~\"re.*|na.*\",job=\"shop\"}",
        "{\"od.d\",\"la bel\"!=\"\"}",
        "vector(1e-3) == bool 0x1F + Inf - NaN * -1.5e+3",
        "sort_desc(changes(up[2h])) and resets(requests_total[2h])",
        "avg without (instance) (increase(requests_total[1h:30s] offset -10m))",
        "stddev(temperature) + stdvar by (room) (temperature)",
        "month(vector(1700000000)) * day_of_year() - hour(timestamp(up))",
        "double_exponential_smoothing(temperature[1h], 0.5, 0.5)",
        "irate(requests_total[5m] @ 1699999000.5) - idelta(temperature[5m])",
        "\"text \\\" \\u00e9\"",
        "mixed[2h]",
        "clamp(round(temperature, 0.5), -5, 5) != 0",
        "group by (job) (up) * ignoring (instance) group_right (version) target_info",
        "last_over_time(sometimes[1h]) + present_over_time(sometimes[1h]) + mad_over_time(temperature[1h])",
        "limitk(2, requests_total) or limit_ratio(0.5, requests_total)",
        "sum_over_time(level[30m]) / histogram_count(level)",
        "rate(mixed[20m])",
        "((((((1))))))",
        "# comment\nup # another",
        "\x1e\x09(\x1eup",
        "\x1e\x0a-\x1eup",
        "\x1e\x0bup+\x1eup",
        "{a=~\"\x1e\x0c(a|b)*\x1e\"}",
        "rate(requests_total[9223372036]) offset 1e9",
        "up{job=~\"(?i:SHOP)|.+\\\\d{2,}\"}[1d:1ms]",
    ];
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for (i, query) in (0u8..).zip(QUERIES) {
        seeds.push(seed(&[(i % 2) | ((i % 4) << 6)], query));
    }
    for (way, text) in [
        (1, "up\x1fstart=1699998000\x1fend=2023-11-14T22:00:00Z\x1fstep=15s\x1flimit=3"),
        (1, "temperature\x1fstep=0.001\x1flookback_delta=1m\x1ftimeout=10ms"),
        (2, "up + on () {a=\"b\"}"),
        (3, "sum(rate(x[5m]))by(a)"),
        (4, "{job=~\"s.*\"}\x1fmatch[]=up\x1fstart=0"),
        (5, "up\x1flimit=2"),
        (6, "up\x1fname=U__la_20_bel"),
        (6, "\x1fname=instance"),
        (7, "{a=\"b\"}\x1ftype=alert\x1frule_name[]=x\x1fgroup_limit=1\x1fgroup_next_token=abc"),
        (8, "up\x1flimit=1\x1flimit_per_metric=1"),
        (10, "5"),
        (11, "shop\x1foperation=x\x1ftags={\"a\":\"b\"}\x1fminDuration=1.5ms\x1flookback=1h\x1flimit=20"),
        (12, "true\x1fname=0123456789abcdef"),
        (13, "1700000000000\x1flookback=60000"),
        (14, "30s"),
    ] {
        seeds.push(seed(&[way], text));
    }
    seeds
}

/// See the file's head.
pub fn run(bytes: &[u8]) {
    let (choices, text) = bytes.split_first().map_or((0, bytes), |(first, rest)| (*first, rest));
    let text = repeated(text);
    let text = String::from_utf8_lossy(&text);
    let mut texts = text.split(char::from(NEXT));
    let first = texts.next().unwrap_or_default();
    let parameters: Vec<(&str, &str)> = texts.filter_map(|text| text.split_once('=')).collect();
    let (way, name) = WAYS[usize::from(choices & 0x0f)];
    let question = Question { way, name, parameters, posted: choices & 0x10 != 0 };
    let answer = question.ask(&SCENE.stored, first);
    if name != "query" {
        return;
    }
    let is_evaluated =
        answer.status == StatusCode::OK && way.starts_with("/api/v1/query") && !way.ends_with("exemplars");
    let written = rewritten(first);
    if let Some(written) = written.filter(|_| is_evaluated && choices & 0x80 != 0) {
        let again = question.ask(&SCENE.stored, &written);
        same(first, &answer, &again, &format!("it is written {written:?}"));
    }
    if is_evaluated && choices & 0x40 != 0 {
        let in_memory = question.ask(&SCENE.in_memory, first);
        same(first, &answer, &in_memory, "the data are in memory");
    }
}

struct Question<'a> {
    way: &'a str,
    /// Of the parameter that the first text is.
    name: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    posted: bool,
}

impl Question<'_> {
    fn ask(&self, router: &Router, first: &str) -> Answer {
        let began = Instant::now();
        let answer = ask(router.clone(), self.request(first));
        let took = began.elapsed();
        let of = format!("{} {first:?} {:?}", self.way, self.parameters);
        assert!(took < ANSWER_MAX, "{of} took {took:?} with a limit of {TIMEOUT:?}");
        judge(&of, &answer);
        answer
    }

    fn request(&self, first: &str) -> Request<Body> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair(self.name, first).extend_pairs(&self.parameters);
        // The first value of a name counts, so these are what is asked for if the input says nothing else.
        let now = (NOW_MS / 1_000).to_string();
        let before = ((NOW_MS - 40 * scene::STEP_MS) / 1_000).to_string();
        form.extend_pairs([("time", &*now), ("start", &before), ("end", &now), ("step", "60")]);
        let form = form.finish();
        let name = self.parameters.iter().find(|(name, value)| *name == "name" && !value.is_empty());
        let name = name.map_or("job", |(_, value)| *value);
        let name = &name.as_bytes()[..name.len().min(NAME_BYTES_MAX)];
        let name: String = form_urlencoded::byte_serialize(name).collect();
        let path = self.way.replace("//", &format!("/{}/", name.replace('+', "%20")));
        let path = if path.ends_with('/') { format!("{path}{name}") } else { path };
        let address = if self.posted { path.clone() } else { format!("{path}?{form}") };
        let request = Request::builder().method(if self.posted { Method::POST } else { Method::GET });
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        match request.uri(address).body(Body::from(form.clone())) {
            Ok(request) => request,
            // Too long for an address: so it is posted.
            Err(_) => Request::post(path)
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(Body::from(form))
                .expect("a path of ours is short"),
        }
    }
}

/// Whether an answer is one of those that are documented.
fn judge(of: &str, answer: &Answer) {
    let status = answer.status.as_u16();
    if status == 405 || (status == 404 && of.starts_with("/api/traces/")) {
        return;
    }
    let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else {
        panic!("{of} is answered {status} with {:?}", String::from_utf8_lossy(&answer.body));
    };
    if !of.starts_with("/api/v1/") || of.starts_with("/api/v1/graph") {
        return assert!([200, 400].contains(&status), "{of} is answered {status} {body}");
    }
    let kinds: &[&str] = match status {
        200 => &["success"],
        400 => &["bad_data"],
        422 => &["execution"],
        503 => &["timeout"],
        _ => &[],
    };
    let kind = if status == 200 { &body["status"] } else { &body["errorType"] };
    assert!(kind.as_str().is_some_and(|kind| kinds.contains(&kind)), "{of} is answered {status} {body}");
}

/// A query as it is kept of rules, if it is one. Printed for machines or for people, it is still the same query.
fn rewritten(query: &str) -> Option<String> {
    let expr = promql::parse(query).ok()?;
    let written = promql::canonical(query).expect("it is a query");
    let pretty = promql::prettified(query).expect("it is a query");
    for printed in [&written, &pretty] {
        match promql::parse(printed) {
            Ok(again) => assert!(again == expr, "{query:?} is printed as another query: {printed:?}"),
            Err(error) => panic!("{query:?} is printed {printed:?}: {error}"),
        }
    }
    assert_eq!(promql::canonical(&written).as_ref(), Ok(&written), "{query:?}, printed twice");
    Some(written)
}

/// Whether two answers hold the same; where a limit was met only in one of them, nothing is said.
fn same(query: &str, one: &Answer, other: &Answer, why: &str) {
    if [422, 503].contains(&other.status.as_u16()) {
        return;
    }
    let data = |answer: &Answer| serde_json::from_slice::<Value>(&answer.body).map(|mut body| body["data"].take()).ok();
    assert_eq!((other.status, data(other)), (one.status, data(one)), "{query:?} when {why}");
}

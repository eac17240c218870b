//! What goes on beside: questions and spans. Nothing of it is compared, but no answer may be an error.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::json;
use tokio::task::JoinSet;

use super::printing::now_ms;
use crate::subject::Launch;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Wait where nobody is there.
const AWAY: Duration = Duration::from_millis(20);

/// Between two questions of one asker, and between two exports of spans.
const PAUSE: Duration = Duration::from_millis(10);

/// What is asked again and again, cheap and dear, over memory and blocks: path, query, how many seconds back it begins, step.
const QUESTIONS: [(&str, &str, i64, &str); 5] = [
    ("query", "sum(rate(trial_printed[1m]))", 0, ""),
    ("query", "count by (__name__) ({__name__=~\"trial_.*\"})", 0, ""),
    ("query", "topk(3, max_over_time(trial_sent_0[40d]))", 0, ""),
    ("query_range", "sum(rate(trial_sent_1[1h]))", 40 * 86_400, "1h"),
    ("query_range", "quantile(0.9, trial_printed)", 3_600, "15s"),
];

/// Spans of one export.
const SPANS: u64 = 50;

/// Who asks, and who sends spans.
#[derive(Default)]
pub struct Load {
    pub answered: AtomicU64,
    pub exported: AtomicU64,
    /// Answers that were errors.
    pub errors: Mutex<Vec<String>>,
}

impl Load {
    /// Begins with so many askers.
    pub fn start(launch: &Launch, askers: usize, with_spans: bool, tasks: &mut JoinSet<()>) -> Arc<Self> {
        let load = Arc::<Self>::default();
        for first in 0..askers {
            let (load, address) = (Arc::clone(&load), launch.address.clone());
            tasks.spawn(async move { load.ask(&address, first).await });
        }
        if with_spans {
            let (load, address) = (Arc::clone(&load), launch.otlp.clone());
            tasks.spawn(async move { load.export(&address).await });
        }
        load
    }

    async fn ask(&self, address: &str, first: usize) {
        let client = reqwest::Client::new();
        for (path, query, back, step) in QUESTIONS.iter().cycle().skip(first) {
            let now = now_ms() / 1_000;
            let (start, end) = ((now - back).to_string(), now.to_string());
            let form = [("query", *query), ("start", &start), ("end", &end), ("step", step)];
            let request = client.post(format!("http://{address}/api/v1/{path}")).form(&form);
            self.count(request, &self.answered).await;
        }
    }

    async fn export(&self, address: &str) {
        let client = reqwest::Client::new();
        for number in 0_u64.. {
            let end = u64::try_from(now_ms()).unwrap_or(0) * 1_000_000;
            let span = |one: u64| {
                let id = number * SPANS + one + 1;
                json!({
                    "traceId": format!("{id:032x}"), "spanId": format!("{id:016x}"), "name": format!("GET /{}", one % 7),
                    "kind": 2, "startTimeUnixNano": (end - 1_000_000 * (one + 1)).to_string(),
                    "endTimeUnixNano": end.to_string(),
                })
            };
            let spans: Vec<_> = (0..SPANS).map(span).collect();
            let name = json!({"key": "service.name", "value": {"stringValue": "trial"}});
            let message = json!({"resourceSpans": [{
                "resource": {"attributes": [name]}, "scopeSpans": [{"spans": spans}],
            }]});
            let request = client.post(format!("http://{address}/v1/traces"));
            let request = request.header("content-type", "application/json").body(message.to_string());
            self.count(request, &self.exported).await;
        }
    }

    async fn count(&self, request: reqwest::RequestBuilder, well: &AtomicU64) {
        let Ok(answer) = request.timeout(TIMEOUT).send().await else { return tokio::time::sleep(AWAY).await };
        let (status, url) = (answer.status(), answer.url().clone());
        // A process that is killed breaks off within an answer, too.
        let Ok(text) = answer.text().await else { return };
        if status.is_success() {
            well.fetch_add(1, Ordering::Relaxed);
        } else {
            self.errors.lock().push(format!("{url} answered {status}: {}", text.chars().take(300).collect::<String>()));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

//! What is queued, what is repeated, and what is posted.

use std::time::Duration;

use serde_json::{Value, json};

use super::payload::{for_alertmanager, for_webhook};
use super::queue::{BATCH_MAX, Queue};
use super::receiver::{Language, Parts};
use super::repeat::Repeat;
use super::*;
use crate::config::http::HttpOptions;
use crate::discovery::relabel::Action;
use crate::rules::file::Texts;
use crate::transport::Transport;

const MINUTE_MS: i64 = 60_000;

fn notice(name: &str, starts_minute: i64, ends_minute: i64, is_resolved: bool) -> Notice {
    Notice {
        labels: Labels::new([("alertname", name), ("severity", "page")]),
        annotations: Texts::from([("summary".to_owned(), "s".to_owned())]),
        starts_at_ms: starts_minute * MINUTE_MS,
        ends_at_ms: ends_minute * MINUTE_MS,
        is_resolved,
        generator_url: "http://h/graph?g0.expr=up&g0.tab=1".to_owned(),
    }
}

fn names(notices: &[Notice]) -> Vec<&str> {
    notices.iter().map(payload::name).collect()
}

#[test]
fn a_queue_is_bounded_and_loses_the_oldest() {
    let mut queue = Queue::default();
    let dropped: usize = (0..QUEUE_MAX + 7).map(|i| queue.push(notice(&format!("a{i:06}"), 0, 10, false))).sum();
    assert_eq!((dropped, queue.len()), (7, QUEUE_MAX));
    let batch = queue.take(0);
    assert_eq!((batch.notices.len(), names(&batch.notices)[0]), (BATCH_MAX, "a000007"));
    assert_eq!(queue.put_back(batch.notices), 0);
    assert_eq!(names(&queue.take(0).notices)[..2], ["a000007", "a000008"]);
}

#[test]
fn an_event_that_is_said_again_waits_once_with_its_newest_words() {
    let mut queue = Queue::default();
    queue.push(notice("a", 0, 4, false));
    queue.push(notice("b", 0, 4, false));
    queue.push(notice("a", 0, 5, false));
    queue.push(notice("a", 0, 6, true));
    let batch = queue.take(0).notices;
    let told: Vec<_> = batch.iter().map(|n| (payload::name(n), n.ends_at_ms / MINUTE_MS, n.is_resolved)).collect();
    assert_eq!(told, [("a", 5, false), ("b", 4, false), ("a", 6, true)]);
    // What was said again while it was on its way is newer than what comes back.
    queue.push(notice("b", 0, 9, false));
    assert_eq!(queue.put_back(batch), 0);
    let again: Vec<_> = queue.take(0).notices.iter().map(|n| n.ends_at_ms / MINUTE_MS).collect();
    assert_eq!(again, [5, 6, 9]);
}

#[test]
fn what_is_not_true_any_more_is_not_told() {
    let mut queue = Queue::default();
    queue.push(notice("firing", 0, 4, false));
    queue.push(notice("ended", 0, 4, true));
    let batch = queue.take(5 * MINUTE_MS);
    assert_eq!((names(&batch.notices), batch.expired), (vec!["ended"], 1));
    queue.push(notice("ended", 0, 4, true));
    assert_eq!(queue.take(20 * MINUTE_MS).expired, 1);
}

#[test]
fn what_waits_is_renewed_and_what_does_not_stays_away() {
    let mut queue = Queue::default();
    queue.push(notice("a", 0, 4, false));
    queue.renew(notice("a", 0, 8, false));
    queue.renew(notice("b", 0, 8, false));
    let batch = queue.take(5 * MINUTE_MS);
    assert_eq!((names(&batch.notices), batch.expired), (vec!["a"], 0));
}

#[test]
fn receivers_of_one_name_are_counted_as_one() {
    let url: Arc<Url> = Arc::new("http://h/".parse().unwrap());
    let delivery = Delivery::new(Arc::new(lifecycle::SystemClock), url.clone());
    let receiver = || {
        Arc::new(Receiver::new(Parts {
            name: "http://h/".to_owned(),
            url: (*url).clone(),
            language: Language::Alertmanager,
            transport: Arc::new(Transport::new(HttpOptions::default())),
            timeout: Duration::from_secs(1),
            alert_relabel: Vec::new(),
            counts: delivery.counts.clone(),
            external_url: url.clone(),
        }))
    };
    delivery.routing.store(Arc::new(Routing { receivers: vec![receiver(), receiver()], ..Routing::default() }));
    delivery.send(vec![notice("a", 0, 4, false)]);
    let status = ReceiverStatus { name: "http://h/".to_owned(), sent: 0, errors: 0, queued: 2 };
    assert_eq!(delivery.receivers(), [status]);
}

#[test]
fn a_webhook_hears_of_each_event_once_and_of_what_lasts_again() {
    let mut repeat = Repeat::new(60 * MINUTE_MS, true);
    let mut told = Vec::new();
    for minute in 0..150 {
        let now_ms = minute * MINUTE_MS;
        let heard = if minute < 130 { notice("a", 0, minute + 4, false) } else { notice("a", 0, 130, true) };
        if repeat.admits(&heard, now_ms) {
            told.push((minute, heard.is_resolved));
        }
    }
    assert_eq!(told, [(0, false), (60, false), (120, false), (130, true)]);
    assert!(repeat.admits(&notice("a", 200, 204, false), 200 * MINUTE_MS), "it fires anew");
    assert!(!repeat.admits(&notice("b", 0, 3, true), 200 * MINUTE_MS), "nobody was told that it fired");
    let mut silent = Repeat::new(60 * MINUTE_MS, false);
    assert!(silent.admits(&notice("a", 0, 4, false), 0) && !silent.admits(&notice("a", 0, 1, true), MINUTE_MS));
}

#[test]
fn an_alertmanager_is_posted_what_its_api_takes() {
    let body: Value = serde_json::from_slice(&for_alertmanager(&[notice("a", 1, 5, false)])).unwrap();
    let wanted = json!([{
        "labels": { "alertname": "a", "severity": "page" },
        "annotations": { "summary": "s" },
        "startsAt": "1970-01-01T00:01:00Z",
        "endsAt": "1970-01-01T00:05:00Z",
        "generatorURL": "http://h/graph?g0.expr=up&g0.tab=1",
    }]);
    assert_eq!(body, wanted);
}

#[test]
fn a_webhook_is_posted_what_alertmanager_posts() {
    let mut other = notice("a", 2, 6, true);
    other.labels = Labels::new([("alertname", "a"), ("severity", "ticket")]);
    let body = for_webhook(&[notice("a", 1, 5, false), other], "webhooks[0]", "http://h");
    let mut body: Value = serde_json::from_slice(&body).unwrap();
    let alerts = body["alerts"].take();
    let wanted = json!({
        "version": "4", "groupKey": "{}:{alertname=\"a\"}", "truncatedAlerts": 0, "status": "firing",
        "receiver": "webhooks[0]", "groupLabels": { "alertname": "a" }, "commonLabels": { "alertname": "a" },
        "commonAnnotations": { "summary": "s" }, "externalURL": "http://h", "alerts": null,
    });
    assert_eq!(body, wanted);
    assert_eq!((&alerts[0]["status"], &alerts[0]["endsAt"]), (&json!("firing"), &json!("0001-01-01T00:00:00Z")));
    assert_eq!((&alerts[1]["status"], &alerts[1]["endsAt"]), (&json!("resolved"), &json!("1970-01-01T00:06:00Z")));
    assert_eq!(alerts[0]["fingerprint"].as_str().map(str::len), Some(16));
}

#[test]
fn external_labels_are_added_before_relabelling_and_never_win() {
    let external = Labels::new([("site", "x"), ("severity", "none")]);
    let mut drop = RelabelRule::new(Action::Drop, "x").unwrap();
    drop.source_labels = vec!["site".to_owned()];
    let labels = relabelled(notice("a", 0, 1, false), &external, &[]).unwrap().labels;
    assert_eq!(labels.to_string(), "{alertname=\"a\", severity=\"page\", site=\"x\"}");
    assert_eq!(relabelled(notice("a", 0, 1, false), &external, &[drop]), None);
}

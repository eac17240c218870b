//! What an answer means.

use super::*;
use crate::config::http::HttpOptions;
use crate::config::remote_write::{MetadataOptions, QueueOptions};

fn config(message: RemoteMessage, retry_on_429: bool) -> RemoteWrite {
    RemoteWrite {
        url: "http://receiver/api/v1/write".parse().unwrap(),
        name: "r".into(),
        timeout: Duration::from_secs(1),
        headers: vec![(http::HeaderName::from_static("x-scope"), HeaderValue::from_static("me"))],
        relabel: Vec::new(),
        http: HttpOptions::default(),
        message,
        send_exemplars: false,
        send_native_histograms: false,
        queue: QueueOptions { retry_on_429, ..QueueOptions::default() },
        metadata: MetadataOptions::default(),
    }
}

fn answer(config: &RemoteWrite, status: u16, header: Option<(&'static str, &str)>) -> Answer {
    let mut headers = HeaderMap::new();
    if let Some((name, value)) = header {
        headers.insert(name, value.parse().unwrap());
    }
    judge(config, StatusCode::from_u16(status).unwrap(), &headers, "why", true)
}

#[test]
fn answers_are_retried_or_not_as_the_specification_has_it() {
    let v1 = config(RemoteMessage::V1, false);
    let again = |wait| Answer::Again("the receiver answered 503 Service Unavailable: why".into(), wait);
    assert_eq!(answer(&v1, 204, None), Answer::Written);
    assert_eq!(answer(&v1, 200, None), Answer::Written);
    assert_eq!(answer(&v1, 503, None), again(None));
    assert_eq!(answer(&v1, 503, Some(("retry-after", "7"))), again(Some(Duration::from_secs(7))));
    assert_eq!(answer(&v1, 503, Some(("retry-after", "99999"))), again(Some(RETRY_AFTER_MAX)));
    assert_eq!(answer(&v1, 503, Some(("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"))), again(None));
    for status in [400, 401, 404, 413, 415, 429] {
        assert!(matches!(answer(&v1, status, None), Answer::Refused(_)), "{status}");
    }
    assert!(matches!(answer(&config(RemoteMessage::V1, true), 429, None), Answer::Again(..)));
}

#[test]
fn a_receiver_that_reads_nothing_in_the_second_version_is_found_out() {
    let v2 = config(RemoteMessage::V2, false);
    assert!(matches!(answer(&v2, 204, None), Answer::Refused(reason) if reason.contains("prometheus.WriteRequest")));
    let written = Some(("x-prometheus-remote-write-samples-written", "3"));
    assert_eq!(answer(&v2, 204, written), Answer::Written);
}

#[test]
fn requests_carry_what_the_specification_asks_for() {
    let asked = |message, attempt| request(&config(message, false), Bytes::new(), attempt).unwrap();
    let header = |request: &Request<Full<Bytes>>, name| request.headers().get(name).cloned();
    let first = asked(RemoteMessage::V1, 0);
    assert_eq!(header(&first, "content-type").unwrap(), "application/x-protobuf");
    assert_eq!(header(&first, "content-encoding").unwrap(), "snappy");
    assert_eq!(header(&first, "x-prometheus-remote-write-version").unwrap(), "0.1.0");
    assert_eq!(header(&first, "user-agent").unwrap(), USER_AGENT);
    assert_eq!(header(&first, "x-scope").unwrap(), "me");
    assert_eq!(header(&first, "retry-attempt"), None);
    let second = asked(RemoteMessage::V2, 2);
    assert_eq!(header(&second, "content-type").unwrap(), "application/x-protobuf;proto=io.prometheus.write.v2.Request");
    assert_eq!(header(&second, "x-prometheus-remote-write-version").unwrap(), "2.0.0");
    assert_eq!(header(&second, "retry-attempt").unwrap(), "2");
}

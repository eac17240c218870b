//! Claims about who hears what.

use futures::{FutureExt, StreamExt};
use protocol::faults::JourneyRole;
use protocol::faults::Role;

use super::*;

fn faults(at_ms: i64, window_seconds: f64) -> Arc<Faults> {
    Arc::new(Faults { at_ms, window_seconds, watched_seconds: at_ms as f64, ..Faults::default() })
}

fn newest() -> ArcSwap<Faults> {
    ArcSwap::new(faults(1, 10.0))
}

fn at_ms(json: &str) -> i64 {
    serde_json::from_str::<Faults>(json).unwrap().at_ms
}

#[tokio::test]
async fn what_is_known_is_told_at_once_and_then_what_differs_and_the_slow_get_the_newest() {
    let channel = Channel::default();
    let mut stream = std::pin::pin!(channel.listen(&newest()).unwrap());
    assert_eq!(stream.next().await.map(|json| at_ms(&json)), Some(1));
    assert!(stream.next().now_or_never().is_none());
    channel.tell(&faults(2, 10.0));
    assert_eq!(stream.next().await.map(|json| at_ms(&json)), Some(2));
    channel.tell(&faults(3, 10.0));
    assert!(stream.next().now_or_never().is_none(), "only time has passed");
    for second in 4..9 {
        channel.tell(&faults(second, second as f64));
    }
    assert_eq!(stream.next().await.map(|json| at_ms(&json)), Some(8));
    assert!(stream.next().now_or_never().is_none());
}

#[tokio::test]
async fn places_are_bounded_and_given_back() {
    let channel = Channel::default();
    let mut streams: Vec<_> = (0..CLIENTS_MAX).map(|_| channel.listen(&newest()).unwrap()).collect();
    assert!(channel.listen(&newest()).is_none());
    assert_eq!(channel.clients(), CLIENTS_MAX);
    streams.pop();
    assert!(channel.listen(&newest()).is_some());
}

#[tokio::test]
async fn streams_end_with_what_feeds_them() {
    let channel = Channel::default();
    let mut stream = std::pin::pin!(channel.listen(&newest()).unwrap());
    let end = channel.ends_with();
    assert!(stream.next().await.is_some());
    assert!(stream.next().now_or_never().is_none());
    drop(end);
    assert!(stream.next().await.is_none());
}

#[test]
fn how_many_requests_go_well_just_now_is_no_news_and_a_role_is() {
    let journey = |rate, role| JourneyRole {
        service: "gateway".to_owned(),
        operation: "GET /".to_owned(),
        role,
        because_of: String::new(),
        rate,
        error_ratio: 0.0,
    };
    let with = |rate, role| Faults { journeys: vec![journey(rate, role)], ..Faults::default() };
    assert_eq!(gist(&with(1.0, Role::Unaffected)), gist(&with(2.0, Role::Unaffected)));
    assert_ne!(gist(&with(1.0, Role::Unaffected)), gist(&with(1.0, Role::Victim)));
}

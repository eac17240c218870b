//! When the picture of the cluster may be planned on, and when it may be again.

use std::sync::Arc;
use std::time::Duration;

use lifecycle::ManualClock;
use tokio::time::advance;

use super::{Board, Health};

fn board() -> Board {
    Board::new(Arc::new(ManualClock::at(1_000_000)))
}

fn reason(health: &Health) -> String {
    health.trouble().unwrap()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_planned_before_everything_was_read() {
    let board = board();
    assert!(matches!(board.judge(), Health::NotSynced { .. }));
    let pods = board.register("pods".to_owned(), true);
    let hpas = board.register("horizontalpodautoscalers".to_owned(), false);
    board.connected(pods, 0);
    assert_eq!(reason(&board.judge()), "the cluster is being read: waiting for horizontalpodautoscalers");
    board.broken(hpas, "forbidden");
    assert!(reason(&board.judge()).ends_with("waiting for horizontalpodautoscalers: forbidden"));
    board.settle(hpas);
    assert_eq!(board.judge(), Health::Well);
}

#[tokio::test(start_paused = true)]
async fn a_silent_api_server_blinds_after_a_while_and_all_watch_anew_when_it_answers() {
    let board = board();
    let pods = board.register("pods".to_owned(), true);
    board.connected(pods, 0);
    let mut epoch = board.epoch();
    advance(Duration::from_secs(10)).await;
    board.answered();
    assert!(!epoch.has_changed().unwrap(), "a short silence means nothing");
    advance(Duration::from_secs(15)).await;
    board.unanswered("connection refused");
    assert_eq!(board.judge(), Health::Well);
    advance(Duration::from_secs(1)).await;
    let said = reason(&board.judge());
    assert_eq!(said, "the API server has not answered for 16 s: connection refused");
    board.answered();
    assert!(epoch.has_changed().unwrap());
    epoch.mark_unchanged();
    assert!(matches!(board.judge(), Health::Blind { .. }), "what happened meanwhile is not known yet");
    board.connected(pods, 0);
    assert!(matches!(board.judge(), Health::Blind { .. }), "what was resumed before it was read anew says nothing");
    board.connected(pods, 1);
    assert_eq!(board.judge(), Health::Well);
}

#[tokio::test(start_paused = true)]
async fn a_broken_watch_blinds_if_nothing_can_be_planned_without_it() {
    let board = board();
    let (pods, nodes) = (board.register("pods".to_owned(), true), board.register("nodes".to_owned(), false));
    for id in [pods, nodes] {
        board.connected(id, 0);
        board.broken(id, "reset");
    }
    for _ in 0..3 {
        advance(Duration::from_secs(6)).await;
        board.answered();
    }
    assert_eq!(reason(&board.judge()), "pods cannot be watched: reset");
    board.connected(pods, 0);
    assert_eq!(board.judge(), Health::Well);
}

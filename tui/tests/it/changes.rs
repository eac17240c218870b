//! Pausing and resuming against an autoscaler that takes it, asks for a token, fails or hangs; and what a policy's page is made of.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use lifecycle::CancellationToken;
use tui::change::Change;
use tui::feed::backends::Backends;
use tui::feed::changes::Changes;
use tui::picture::Wants;

use crate::{DEADLINE, Running, fake, order, turn_on, url};

fn pause() -> Change {
    Change { policy: order(), pause: true }
}

fn resume() -> Change {
    Change { policy: order(), pause: false }
}

#[tokio::test]
async fn a_policy_is_paused_and_resumed_by_one_call_each() {
    let (address, switches) = fake::start().await;
    let backends = Backends::new(&url(address), Some(&url(address)));
    assert_eq!(backends.change(&pause()).await, Ok(()));
    assert!(switches.paused.load(Ordering::SeqCst));
    assert_eq!(backends.change(&resume()).await, Ok(()));
    assert!(!switches.paused.load(Ordering::SeqCst));
    assert_eq!(switches.changes.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn who_may_not_is_told_what_to_do() {
    let (address, switches) = fake::start().await;
    turn_on(&switches.wants_token);
    let file = std::env::temp_dir().join(format!("plimsoll-tui-token-{}", std::process::id()));
    let with_token = |text: Option<&str>| {
        let file = text.map(|text| {
            std::fs::write(&file, text).unwrap();
            file.clone()
        });
        Backends::new(&url(address), Some(&url(address))).with_api_token(file)
    };
    let refused = with_token(None).change(&pause()).await.unwrap_err();
    assert!(refused.contains("--api-token-file") && refused.contains("$PLIMSOLL_API_TOKEN_FILE"), "{refused}");
    let wrong = with_token(Some("guessed")).change(&pause()).await.unwrap_err();
    assert!(wrong.contains("another token") && wrong.contains(file.to_str().unwrap()), "{wrong}");
    let asked = switches.changes.load(Ordering::SeqCst);
    let empty = with_token(Some("\n")).change(&pause()).await.unwrap_err();
    assert!(empty.contains("it is empty"), "{empty}");
    let gone = Backends::new(&url(address), Some(&url(address))).with_api_token(Some(PathBuf::from("/nowhere/token")));
    let gone = gone.change(&pause()).await.unwrap_err();
    assert!(gone.contains("/nowhere/token") && gone.contains("cannot be read"), "{gone}");
    assert_eq!(switches.changes.load(Ordering::SeqCst), asked, "without its token nothing is sent");
    assert!(!switches.paused.load(Ordering::SeqCst));
    // The same backends: a file that is exchanged is read anew.
    let backends = with_token(Some("a-token\n"));
    assert_eq!(backends.change(&pause()).await, Ok(()));
    std::fs::write(&file, "old").unwrap();
    assert!(backends.change(&resume()).await.is_err());
    std::fs::remove_file(&file).unwrap();
}

#[tokio::test]
async fn what_another_answer_means_is_said() {
    let (address, switches) = fake::start().await;
    let backends = Backends::new(&url(address), Some(&url(address)));
    let unknown = Change { policy: protocol::scaling::ObjectName { name: "cart".to_owned(), ..order() }, pause: true };
    assert!(backends.change(&unknown).await.is_err());
    turn_on(&switches.fails);
    assert_eq!(backends.change(&pause()).await, Err("no".to_owned()));
    let none = Backends::new(&url(address), None).change(&pause()).await.unwrap_err();
    assert!(none.contains("--autoscaler"), "{none}");
    let unused = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let refused = Backends::new(&url(address), Some(&url(unused))).change(&pause()).await.unwrap_err();
    assert!(refused.to_lowercase().contains("refused") && refused.contains("the list will show it"), "{refused}");
}

#[tokio::test]
async fn a_change_is_waited_for_when_the_screen_is_left_and_sent_once() {
    let (address, switches) = fake::start().await;
    let shutdown = CancellationToken::new();
    let backends = Backends::new(&url(address), Some(&url(address)));
    let (sender, ask, mut answers) = Changes::new(backends, shutdown.clone());
    ask.send(pause()).await.unwrap();
    shutdown.cancel();
    tokio::time::timeout(DEADLINE, sender.run()).await.expect("it ends").unwrap();
    let answer = answers.recv().await.unwrap();
    assert_eq!((answer.change, answer.result), (pause(), Ok(())));
    assert_eq!(switches.changes.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_autoscaler_that_hangs_is_given_up_and_holds_no_source_up() {
    let (address, switches) = fake::start().await;
    let (other, hanging) = fake::start().await;
    turn_on(&hanging.hangs);
    let began = Instant::now();
    let change =
        tokio::spawn(
            async move { Backends::new(&url(address), Some(&url(other))).change(&pause()).await.unwrap_err() },
        );
    let mut feed = Running::start(address, Some(address));
    feed.until("the others", |p| p.metrics.data.is_some() && p.scaling.data.is_some()).await;
    let words = change.await.unwrap();
    assert!(words.contains("no answer in time") && words.contains("the list will show it"), "{words}");
    assert!(began.elapsed() < DEADLINE);
    assert_eq!((hanging.changes.load(Ordering::SeqCst), switches.changes.load(Ordering::SeqCst)), (0, 0));
}

#[tokio::test]
async fn what_would_change_a_decision_is_fetched_while_its_page_shows() {
    let (address, switches) = fake::start().await;
    let mut feed = Running::start(address, Some(address));
    feed.until("decisions", |p| p.scaling.data.is_some() && p.workloads.data.is_some()).await;
    assert_eq!(switches.explanations.load(Ordering::SeqCst), 0);
    feed.wants.send(Wants { policy: Some(order()), ..Wants::default() }).unwrap();
    let picture = feed.until("explained", |p| p.explanation.data.is_some()).await;
    let explained = picture.explanation.data.unwrap();
    assert_eq!((&explained.policy, explained.explanation.up[0].value), (&order(), 72.0));
    feed.wants.send(Wants::default()).unwrap();
    // The last one may be under way still; after that nobody asks.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let asked = switches.explanations.load(Ordering::SeqCst);
    tokio::time::sleep(tui::feed::INTERVAL + Duration::from_millis(300)).await;
    assert_eq!(switches.explanations.load(Ordering::SeqCst), asked);
}

//! Claims about forwards, against an API server that answers from a script and speaks the port-forward protocol.

mod fake;

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::*;
use fake::{Fake, Port};

/// Longer than any machine needs; shorter than anybody waits.
const DEADLINE: Duration = Duration::from_secs(15);

fn goal() -> Goal {
    Goal { namespace: "plimsoll".to_owned(), selector: "app=collector".to_owned(), port: "http".to_owned() }
}

/// A forward that runs until the test ends.
struct Running {
    forward: Forward,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), Infallible>>,
}

impl Running {
    async fn start(fake: &Fake) -> Self {
        let speaker = Speaker { server: "https://api".to_owned(), user: "ada".to_owned() };
        let (forward, forwarding) = Forward::through(fake.client(), speaker, goal()).await.unwrap();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(forwarding.run(shutdown.clone()));
        Self { forward, shutdown, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.forward.address).await.unwrap()
    }

    /// What comes back for a word: everything until the connection or the answer ends.
    async fn ask(&self, word: &str) -> String {
        exchange(&mut self.connect().await, word).await
    }

    async fn trouble(&self) -> String {
        let mut trouble = self.forward.trouble.clone();
        let told = tokio::time::timeout(DEADLINE, trouble.wait_for(|words| !words.is_empty())).await;
        told.expect("trouble is told").expect("the forward runs").clone()
    }
}

async fn exchange(connection: &mut TcpStream, word: &str) -> String {
    let mut answer = vec![0; 1_000];
    let exchanged = async {
        connection.write_all(word.as_bytes()).await.ok()?;
        connection.read(&mut answer).await.ok()
    };
    let length = tokio::time::timeout(DEADLINE, exchanged).await.expect("an end");
    String::from_utf8(answer[..length.unwrap_or(0)].to_vec()).unwrap()
}

#[tokio::test]
async fn bytes_go_both_ways_and_the_pod_is_kept() {
    let fake = Fake::start(&[("a", Port::Answers), ("b", Port::Answers)]).await;
    let running = Running::start(&fake).await;
    let mut first = running.connect().await;
    assert_eq!(exchange(&mut first, "one").await, "a heard one");
    assert_eq!(exchange(&mut first, "two").await, "a heard two");
    assert_eq!(running.ask("three").await, "a heard three");
    assert_eq!(fake.lists(), 1);
    assert_eq!(*running.forward.trouble.borrow(), "");
}

#[tokio::test]
async fn another_pod_takes_over_when_the_first_is_gone() {
    let fake = Fake::start(&[("a", Port::Answers)]).await;
    let running = Running::start(&fake).await;
    let mut first = running.connect().await;
    assert_eq!(exchange(&mut first, "one").await, "a heard one");
    fake.replace(&[("b", Port::Answers)]);
    assert_eq!(exchange(&mut first, "two").await, "", "the pod's end ends its connections");
    assert_eq!(running.ask("three").await, "b heard three");
}

#[tokio::test]
async fn a_pod_whose_port_refuses_is_left_for_another() {
    let fake = Fake::start(&[("a", Port::Refuses), ("b", Port::Answers)]).await;
    let running = Running::start(&fake).await;
    assert_eq!(running.ask("one").await, "");
    let words = "pod a cannot be reached at its port http: dial tcp 127.0.0.1:9090: connect: connection refused";
    assert_eq!(running.trouble().await, words);
    assert_eq!(running.ask("two").await, "b heard two");
    assert_eq!(*running.forward.trouble.borrow(), "");
}

#[tokio::test]
async fn a_pod_that_does_not_answer_is_named_when_the_asker_gives_up() {
    let fake = Fake::start(&[("a", Port::Hangs)]).await;
    let running = Running::start(&fake).await;
    let mut connection = running.connect().await;
    connection.write_all(b"one").await.unwrap();
    fake.until_heard().await;
    drop(connection);
    assert_eq!(running.trouble().await, "pod a does not answer through the API server https://api");
}

#[tokio::test]
async fn a_pod_whose_node_dies_is_left_for_another_within_ten_seconds() {
    let fake = Fake::start(&[("a", Port::Answers), ("b", Port::Answers)]).await;
    let running = Running::start(&fake).await;
    let (mut asking, mut idle) = (running.connect().await, running.connect().await);
    for connection in [&mut asking, &mut idle] {
        assert_eq!(exchange(connection, "one").await, "a heard one");
    }
    fake.set("a", Port::Lost);
    let began = std::time::Instant::now();
    assert_eq!(exchange(&mut asking, "two").await, "", "an answer that cannot come any more is not waited for");
    assert_eq!(running.trouble().await, "pod a does not answer through the API server https://api");
    assert_eq!(exchange(&mut idle, "two").await, "", "nor is what is open to it used again");
    assert_eq!(running.ask("three").await, "b heard three");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(*running.forward.trouble.borrow(), "");
    assert_eq!(running.ask("four").await, "b heard four", "and a, though it is listed as ready, is not tried again");
}

#[tokio::test]
async fn who_connects_anew_while_a_node_is_gone_is_not_kept_waiting_for_it() {
    let fake = Fake::start(&[("a", Port::Lost), ("b", Port::Lost), ("c", Port::Answers)]).await;
    let running = Running::start(&fake).await;
    assert_eq!(running.ask("one").await, "", "two of them are too many for one try");
    assert_eq!(running.ask("two").await, "c heard two");
}

#[tokio::test]
async fn a_pod_that_is_slow_and_can_be_reached_is_waited_for() {
    let fake = Fake::start(&[("a", Port::Hangs)]).await;
    let running = Running::start(&fake).await;
    let mut connection = running.connect().await;
    connection.write_all(b"one").await.unwrap();
    let mut piece = [0; 8];
    let ended = tokio::time::timeout(STALL + CONNECT_PATIENCE, connection.read(&mut piece)).await;
    assert!(ended.is_err(), "{ended:?}");
}

#[tokio::test]
async fn what_is_wrong_is_told_with_its_remedy() {
    let not_ready = "no pod with app=collector in namespace plimsoll is ready: a is Pending (ImagePullBackOff)";
    let right = "not allowed: grant get and create on pods/portforward in namespace plimsoll to ada";
    type Arrange = fn(&Fake);
    let cases: [(Arrange, &str); 6] = [
        (|f| f.replace(&[]), "no pod with app=collector in namespace plimsoll: is it installed there?"),
        (|f| f.replace(&[("a", Port::NotReady)]), not_ready),
        (|f| f.fail_lists(403), "not allowed: grant list on pods in namespace plimsoll to ada"),
        (|f| f.fail_forwards(403), right),
        (|f| f.fail_lists(401), "the API server https://api does not accept these credentials any more (no): log in"),
        (|f| f.fail_forwards(500), "the API server https://api answered 500: no"),
    ];
    for (arrange, expected) in cases {
        let fake = Fake::start(&[("a", Port::Answers)]).await;
        arrange(&fake);
        let running = Running::start(&fake).await;
        assert_eq!(running.ask("one").await, "", "{expected}");
        let words = running.trouble().await;
        assert!(words.starts_with(expected), "{words}");
    }
}

#[tokio::test]
async fn an_api_server_that_is_away_is_told_and_found_again() {
    let mut fake = Fake::start(&[("a", Port::Answers)]).await;
    let running = Running::start(&fake).await;
    assert_eq!(running.ask("one").await, "a heard one");
    fake.stop().await;
    assert_eq!(running.ask("two").await, "");
    let words = running.trouble().await;
    assert!(words.starts_with("the API server https://api does not answer: Connection refused"), "{words}");
    fake.start_again().await;
    assert_eq!(running.ask("three").await, "a heard three");
    assert_eq!(*running.forward.trouble.borrow(), "");
}

#[tokio::test]
async fn an_api_server_that_says_nothing_is_given_up_before_the_asker_gives_up() {
    let fake = Fake::start(&[("a", Port::Answers)]).await;
    fake.hang();
    let running = Running::start(&fake).await;
    let began = std::time::Instant::now();
    assert_eq!(running.ask("one").await, "");
    assert_eq!(running.trouble().await, "the API server https://api does not answer: nothing within 4 s");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn connections_beyond_the_limit_are_refused_and_the_others_go_on() {
    let fake = Fake::start(&[("a", Port::Answers)]).await;
    let running = Running::start(&fake).await;
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let mut connection = running.connect().await;
        assert_eq!(exchange(&mut connection, "one").await, "a heard one");
        open.push(connection);
    }
    assert_eq!(running.ask("two").await, "");
    assert_eq!(exchange(&mut open[0], "three").await, "a heard three");
    drop(open);
    let deadline = std::time::Instant::now() + DEADLINE;
    while running.ask("four").await != "a heard four" {
        assert!(std::time::Instant::now() < deadline, "room is made when connections end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn shutdown_ends_open_connections() {
    let fake = Fake::start(&[("a", Port::Answers)]).await;
    let running = Running::start(&fake).await;
    let mut connection = running.connect().await;
    assert_eq!(exchange(&mut connection, "one").await, "a heard one");
    running.shutdown.cancel();
    assert_eq!(exchange(&mut connection, "two").await, "");
    tokio::time::timeout(DEADLINE, running.task).await.expect("the task ends").unwrap().unwrap();
}

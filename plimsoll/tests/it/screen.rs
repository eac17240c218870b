//! The screen in a real terminal (tmux): during a payment outage it names payment as failing and browsing as well; a policy is paused
//! and resumed from its page.

use std::process::Command;
use std::time::Duration;

use protocol::scaling::{ObjectName, PolicyStatus, ScalingClient};

use super::process::{Demo, PLIMSOLL, skipped, turn, wait_until};

/// A tmux server of its own, ended with the test.
struct Tmux {
    socket: String,
}

impl Tmux {
    fn start(size: (u16, u16), command: &str) -> Self {
        let tmux = Self { socket: format!("plimsoll-test-{}-{}", std::process::id(), size.0) };
        let (columns, rows) = (size.0.to_string(), size.1.to_string());
        tmux.run(&["new-session", "-d", "-x", &columns, "-y", &rows, command]);
        tmux
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux").args(["-L", &self.socket]).args(arguments).output().expect("tmux runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn press(&self, keys: &[&str]) {
        self.run(&[&["send-keys"], keys].concat());
    }

    fn wait_for(&self, words: &str) -> String {
        let mut last = String::new();
        wait_until(&format!("{words:?} is on screen"), Duration::from_secs(30), || {
            last = self.screen();
            last.contains(words)
        });
        last
    }

    fn screen(&self) -> String {
        self.run(&["capture-pane", "-p"])
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.run(&["kill-server"]);
    }
}

fn has_tmux() -> bool {
    let has = Command::new("tmux").arg("-V").output().is_ok();
    if !has {
        skipped("tmux is not installed, the screen was not looked at");
    }
    has
}

fn names_payment_at(size: (u16, u16)) {
    let _turn = turn();
    if !has_tmux() {
        return;
    }
    let command = format!(
        "{PLIMSOLL} demo --rate 8 --profile steady --fault payment:error=1@4 --collector 127.0.0.1:0 \
                           --autoscaler 127.0.0.1:0 --gateway 127.0.0.1:0; sleep 5"
    );
    let tmux = Tmux::start(size, &command);
    let mut last = String::new();
    wait_until("the screen names payment as failing and browse as well", Duration::from_secs(60), || {
        last = tmux.screen();
        let text = last.to_lowercase();
        let names_payment = text.lines().any(|line| line.contains("payment") && line.contains("fail"));
        let names_browse = text.lines().any(|line| line.contains("browse") && line.contains("well"));
        names_payment && names_browse
    });
    tmux.run(&["send-keys", "q"]);
    wait_until("the screen is closed", Duration::from_secs(15), || !tmux.screen().to_lowercase().contains("browse"));
}

#[test]
fn a_payment_outage_is_named_at_80x24() {
    names_payment_at((80, 24));
}

#[test]
fn a_payment_outage_is_named_at_140x40() {
    names_payment_at((140, 40));
}

/// The policy of `order` as the autoscaler has it.
fn policy_of_order(autoscaler: &str) -> PolicyStatus {
    let client = ScalingClient::new(autoscaler.parse().expect("a URL"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let order = ObjectName { namespace: "shop".to_owned(), name: "order".to_owned() };
    let policies = runtime.block_on(client.policies()).expect("the autoscaler answers");
    policies.into_iter().find(|policy| policy.policy == order).expect("the shop has a policy for order")
}

#[test]
fn a_policy_is_paused_and_resumed_from_its_page_once_that_is_confirmed() {
    let _turn = turn();
    if !has_tmux() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_str().unwrap();
    let demo = Demo::start(&["--seconds", "300", "--rate", "4", "--profile", "steady", "--data", folder]);
    let command = format!("{PLIMSOLL} tui --collector {} --autoscaler {}; sleep 5", demo.collector, demo.autoscaler);
    let tmux = Tmux::start((100, 50), &command);
    tmux.wait_for("every journey");
    tmux.press(&["7"]);
    tmux.wait_for("POLICY");
    tmux.press(&["/order", "Enter"]);
    tmux.wait_for("filter: order");
    tmux.press(&["Enter"]);
    let page = tmux.wait_for("cpu utilization rises to");
    assert!(page.contains("Guards: what may hold") && page.contains("Auto: carried out"), "{page}");
    let paused = |wanted: bool| {
        wait_until(&format!("paused is {wanted}"), Duration::from_secs(20), || {
            policy_of_order(&demo.autoscaler).paused == wanted
        });
    };
    tmux.press(&["P"]);
    tmux.wait_for("pause order?");
    tmux.press(&["n"]);
    wait_until("the question is gone", Duration::from_secs(10), || !tmux.screen().contains("pause order?"));
    assert!(!policy_of_order(&demo.autoscaler).paused);
    tmux.press(&["P", "y"]);
    paused(true);
    tmux.wait_for("order was paused");
    tmux.wait_for("PAUSED by an operator");
    tmux.press(&["P"]);
    tmux.wait_for("resume order?");
    tmux.press(&["y"]);
    paused(false);
    tmux.wait_for("order was resumed");
    // Who asked, for what, is in the log, each once.
    let log = std::fs::read_to_string(data.path().join("plimsoll.log")).unwrap();
    let asked: Vec<&str> = log.lines().filter(|line| line.contains("an operator asked for a policy")).collect();
    let has = |line: &str, words: [&str; 3]| words.iter().all(|word| line.contains(word));
    assert_eq!(asked.len(), 2, "{asked:#?}");
    assert!(has(asked[0], ["shop/order", "paused=true", "127.0.0.1"]), "{asked:#?}");
    assert!(has(asked[1], ["shop/order", "paused=false", "127.0.0.1"]), "{asked:#?}");
    tmux.press(&["q"]);
}

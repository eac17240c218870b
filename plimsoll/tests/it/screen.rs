//! The screen in a real terminal (tmux): during a payment outage it names payment as failing and browsing as well.

use std::process::Command;
use std::time::Duration;

use super::process::{PLIMSOLL, skipped, turn, wait_until};

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

    fn screen(&self) -> String {
        self.run(&["capture-pane", "-p"])
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.run(&["kill-server"]);
    }
}

fn names_payment_at(size: (u16, u16)) {
    let _turn = turn();
    if Command::new("tmux").arg("-V").output().is_err() {
        skipped("tmux is not installed, the screen was not looked at");
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

//! A collector in a process of its own, begun as one of this binary's tests that runs until it is killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Ended when dropped.
pub struct Process {
    child: Child,
    /// Where its HTTP API is reached.
    pub address: String,
}

impl Process {
    /// Begins a test that prints `listens ADDRESS`, with the folder in an environment variable.
    pub fn start(test: &str, variable: &str, folder: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture"])
            .env(variable, folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| Some(line.ok()?.split_once("listens ")?.1.trim().to_owned())).unwrap();
        // Whoever reads no more would stop the process.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! kubectl, as users run it. Every call has a deadline; a call that fails says what was called and what kubectl said.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// A call that takes longer hangs; `kubectl wait` and `rollout status` are given deadlines of their own below it.
const PATIENCE: Duration = Duration::from_secs(200);

/// kubectl with one kubeconfig.
#[derive(Debug, Clone)]
pub struct Kubectl {
    program: String,
    kubeconfig: PathBuf,
}

/// What kubectl said.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Whether it ended well.
    pub ok: bool,
    /// Its result.
    pub stdout: String,
    /// Its warnings and errors.
    pub stderr: String,
}

impl Kubectl {
    /// `program` is a name or a path.
    pub fn new(program: &str, kubeconfig: PathBuf) -> Self {
        Self { program: program.to_owned(), kubeconfig }
    }

    /// A process not yet started, which ends with the value that owns it.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(args).kill_on_drop(true);
        command
    }

    /// Runs and gives whatever kubectl says, also when it says no.
    pub async fn ask(&self, args: &[&str], stdin: &str) -> anyhow::Result<Answer> {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {}", self.program))?;
        let mut pipe = child.stdin.take().context("kubectl has no stdin")?;
        let text = stdin.to_owned();
        let feed = async move {
            // kubectl may end before it has read everything; its own words then say why.
            drop(pipe.write_all(text.as_bytes()).await);
            drop(pipe);
        };
        let whole = async { tokio::join!(feed, child.wait_with_output()).1 };
        let output = tokio::time::timeout(PATIENCE, whole)
            .await
            .with_context(|| format!("kubectl {} hangs", args.join(" ")))??;
        Ok(Answer {
            ok: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs and gives what kubectl printed.
    pub async fn run(&self, args: &[&str]) -> anyhow::Result<String> {
        self.feed(args, "").await
    }

    /// Runs with something on its standard input and gives what kubectl printed.
    pub async fn feed(&self, args: &[&str], stdin: &str) -> anyhow::Result<String> {
        let answer = self.ask(args, stdin).await?;
        if !answer.ok {
            bail!("kubectl {}: {}", args.join(" "), answer.stderr.trim());
        }
        Ok(answer.stdout)
    }

    /// Runs with `-o json`.
    pub async fn json(&self, args: &[&str]) -> anyhow::Result<Value> {
        let mut all = args.to_vec();
        all.extend(["-o", "json"]);
        let text = self.run(&all).await?;
        serde_json::from_str(&text).with_context(|| format!("kubectl {} printed no JSON", args.join(" ")))
    }

    /// The items of a list.
    pub async fn items(&self, args: &[&str]) -> anyhow::Result<Vec<Value>> {
        let list = self.json(args).await?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// Applies objects.
    pub async fn apply(&self, objects: &[Value]) -> anyhow::Result<String> {
        self.feed(&["apply", "-f", "-"], &list(objects)).await
    }
}

/// Objects as one text that kubectl reads.
pub fn list(objects: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()
}

/// The text at a JSON pointer, empty when there is none.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The number at a JSON pointer, 0 when there is none (as Kubernetes leaves zeros out).
pub fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}

/// `metadata.name`.
pub fn name(value: &Value) -> &str {
    text(value, "/metadata/name")
}

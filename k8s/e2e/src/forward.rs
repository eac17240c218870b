//! Ways into the cluster: `kubectl port-forward` to one pod, and `kubectl proxy` for the API server itself. Each ends with
//! its value.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use url::Url;

use crate::kubectl::Kubectl;

/// Until kubectl has said its port.
const PATIENCE: Duration = Duration::from_secs(10);

/// A way into the cluster.
#[derive(Debug)]
pub struct Forward {
    url: Url,
    _child: Child,
    /// Kept open: kubectl ends when it cannot print.
    _lines: Lines<BufReader<ChildStdout>>,
}

impl Forward {
    /// To one port of one pod.
    pub async fn to_pod(kubectl: &Kubectl, namespace: &str, pod: &str, port: u16) -> anyhow::Result<Self> {
        let (target, ports) = (format!("pod/{pod}"), format!(":{port}"));
        Self::start(kubectl, &["port-forward", "-n", namespace, "--address", "127.0.0.1", &target, &ports]).await
    }

    /// To the API server, with the rights of the kubeconfig.
    pub async fn to_api_server(kubectl: &Kubectl) -> anyhow::Result<Self> {
        Self::start(kubectl, &["proxy", "--port", "0"]).await
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &Url {
        &self.url
    }

    async fn start(kubectl: &Kubectl, args: &[&str]) -> anyhow::Result<Self> {
        let mut command = kubectl.command(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start kubectl")?;
        let mut lines = BufReader::new(child.stdout.take().context("kubectl has no stdout")?).lines();
        let first = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        let first = first.with_context(|| format!("kubectl {} says nothing", args.join(" ")))??;
        let Some(port) = first.as_deref().and_then(port_in) else {
            let output = child.wait_with_output().await?;
            bail!("kubectl {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        };
        let url = Url::parse(&format!("http://127.0.0.1:{port}")).expect("a number makes a valid port");
        Ok(Self { url, _child: child, _lines: lines })
    }
}

/// The local port in `Forwarding from 127.0.0.1:40011 -> 9090` or `Starting to serve on 127.0.0.1:40011`.
fn port_in(line: &str) -> Option<u16> {
    let (_, rest) = line.split_once("127.0.0.1:")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::port_in;

    #[test]
    fn the_port_is_read_from_what_kubectl_says() {
        for (line, expected) in [
            ("Forwarding from 127.0.0.1:40011 -> 9090", Some(40011)),
            ("Starting to serve on 127.0.0.1:8001", Some(8001)),
            ("error: unable to forward port", None),
        ] {
            assert_eq!(port_in(line), expected, "{line}");
        }
    }
}

//! One question to a replica: does it answer? Thresholds and periods are the replica's business.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::manifest::model::{Probe, ProbeTarget};

/// Asks once. The error is a short sentence for the replica's status.
pub(super) async fn ask(probe: &Probe, ip: IpAddr) -> Result<(), String> {
    match timeout(probe.timeout, ask_without_limit(&probe.target, ip)).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("{} gave no answer within {:?}", describe(&probe.target, ip), probe.timeout)),
    }
}

fn describe(target: &ProbeTarget, ip: IpAddr) -> String {
    match target {
        ProbeTarget::Http { port, path } => format!("GET http://{}{path}", SocketAddr::new(ip, *port)),
        ProbeTarget::Tcp { port } => format!("a connection to {}", SocketAddr::new(ip, *port)),
    }
}

async fn ask_without_limit(target: &ProbeTarget, ip: IpAddr) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("{} failed: {error}", describe(target, ip));
    match target {
        ProbeTarget::Tcp { port } => TcpStream::connect((ip, *port)).await.map(drop).map_err(|e| failed(&e)),
        ProbeTarget::Http { port, path } => {
            let address = SocketAddr::new(ip, *port);
            let stream = TcpStream::connect(address).await.map_err(|e| failed(&e))?;
            let request = Request::get(path)
                .header(header::HOST, address.to_string())
                .header(header::USER_AGENT, "plimsoll-probe")
                .header(header::CONNECTION, "close")
                .body(Empty::<Bytes>::new())
                .map_err(|e| failed(&e))?;
            let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
            let (mut sender, connection) = handshake.await.map_err(|e| failed(&e))?;
            let answer = sender.send_request(request);
            tokio::pin!(answer, connection);
            let status = tokio::select! {
                answer = &mut answer => answer.map_err(|e| failed(&e))?.status(),
                ended = &mut connection => {
                    ended.map_err(|e| failed(&e))?;
                    // The connection may be over while its answer still waits to be taken.
                    answer.await.map_err(|e| failed(&e))?.status()
                }
            };
            // Kubernetes' rule: 200 to 399 is well.
            if (200..400).contains(&status.as_u16()) { Ok(()) } else { Err(failed(&format!("it answered {status}"))) }
        }
    }
}

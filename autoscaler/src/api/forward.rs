//! What a follower does with a question that only the leader can answer: it asks the leader, at the address that the Lease
//! names, and hands the answer on. Never more than once: who is asked by a follower and does not lead says so.

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Extension, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use cluster::kubernetes::lease::Standing;
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::error;
use super::guard::{Caller, PROXY_USER};
use crate::lead::Lead;

/// Says that a follower asks, which is not asked again, and for whom.
pub(super) const FORWARDED: HeaderName = HeaderName::from_static("plimsoll-forwarded");

/// Longest body that is handed on; the API's own bodies are a few hundred bytes.
const BODY_MAX: usize = 64 * 1024;

/// Longest time for an answer: a little more than the leader gives a command that resizes hundreds of pods.
const PATIENCE: Duration = Duration::from_secs(25);

/// Longest time for a connection: a leader whose node is gone does not refuse one.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);

/// Asks the leader.
#[derive(Debug, Clone)]
pub struct Forwarder {
    lead: Lead,
    http: reqwest::Client,
}

impl Forwarder {
    /// Asks whoever the election says leads.
    pub fn new(lead: Lead) -> Self {
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .connect_timeout(CONNECT_PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client without TLS and proxies has nothing to fail on");
        Self { lead, http }
    }
}

/// Lets the leader answer, if that is another one.
pub async fn forward(
    State(forwarder): State<Forwarder>,
    Extension(caller): Extension<Caller>,
    request: Request,
    next: Next,
) -> Response {
    let unavailable = |reason: &str| error(StatusCode::SERVICE_UNAVAILABLE, reason);
    let address = match forwarder.lead.standing() {
        None | Some(Standing::Leading) => return next.run(request).await,
        Some(Standing::Nobody { reason }) => return unavailable(&format!("no autoscaler leads now: {reason}")),
        Some(Standing::Following { leader, address: None }) => {
            return unavailable(&format!("{leader} leads, and its Lease does not say where it answers"));
        }
        Some(Standing::Following { leader, .. }) if request.headers().contains_key(&FORWARDED) => {
            return unavailable(&format!("the lead has just changed: {leader} has it now"));
        }
        Some(Standing::Following { address: Some(address), .. }) => address,
    };
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_MAX).await else {
        return error(StatusCode::PAYLOAD_TOO_LARGE, &format!("a body may have up to {BODY_MAX} bytes"));
    };
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let url = format!("{}{path}", address.trim_end_matches('/'));
    let peer = HeaderValue::from_str(&caller.peer.ip().to_canonical().to_string());
    let mut asked = forwarder.http.request(parts.method, url);
    asked = asked.header(FORWARDED, peer.unwrap_or(HeaderValue::from_static("unknown")));
    // With them the caller's token: the leader asks for it as this one did.
    for name in [header::CONTENT_TYPE, header::AUTHORIZATION, header::USER_AGENT, PROXY_USER] {
        if let Some(value) = parts.headers.get(&name) {
            asked = asked.header(name, value);
        }
    }
    match answer_of(asked.body(body)).await {
        Ok((status, kind, body)) => {
            let mut response = (status, Body::from(body)).into_response();
            if let Some(kind) = kind {
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
            }
            response
        }
        Err(cause) => unavailable(&format!("the autoscaler that leads did not answer at {address}: {cause}")),
    }
}

async fn answer_of(asked: reqwest::RequestBuilder) -> Result<(StatusCode, Option<HeaderValue>, Bytes), reqwest::Error> {
    let answer = asked.send().await?;
    let (status, kind) = (answer.status(), answer.headers().get(header::CONTENT_TYPE).cloned());
    Ok((status, kind, answer.bytes().await?))
}

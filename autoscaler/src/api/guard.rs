//! Who may change something by the API. Whoever has the token; without one, this machine itself, which on a cluster is whoever may
//! open a port-forward to the pod. Reading is free, as with Prometheus. No browser changes anything on behalf of a page from
//! elsewhere. Carries nothing out.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use parking_lot::Mutex;
use protocol::api_token::{self, TokenError};
use url::{Host, Url};

use super::error;
use super::forward::FORWARDED;
use crate::counts::Instruments;

/// What a form of a page may send without the browser asking first (the Fetch standard's safelisted content types).
const FORM_TYPES: [&str; 3] = ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"];

/// Under which an authenticating proxy says whom it let in; only told, never believed.
pub(super) const PROXY_USER: HeaderName = HeaderName::from_static("x-forwarded-user");

/// Longest name of a caller that a log line tells.
const NAME_MAX: usize = 100;

/// The token in a file. It is read anew for each request that changes something, for a Secret that is exchanged is exchanged in
/// the file as well.
#[derive(Debug, Clone)]
pub struct ApiToken {
    path: PathBuf,
    last: Arc<Mutex<String>>,
}

impl ApiToken {
    /// Reads the token for the first time.
    ///
    /// # Errors
    /// When there is none, or not one that a header can carry.
    pub async fn open(path: &Path) -> Result<Self, TokenError> {
        let token = api_token::read(path).await?;
        Ok(Self { path: path.to_owned(), last: Arc::new(Mutex::new(token)) })
    }

    /// The token as it is now; the last one known while the file cannot be read.
    async fn current(&self) -> String {
        match api_token::read(&self.path).await {
            Ok(token) => self.last.lock().clone_from(&token),
            Err(reason) => tracing::warn!(%reason, "the API's token cannot be read anew; the last one counts"),
        }
        self.last.lock().clone()
    }
}

/// Who asks for a change, for the log.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Where the connection comes from.
    pub peer: SocketAddr,
    /// For whom, in words of the caller's own: an autoscaler that hands a request on names its peer, a proxy its user.
    said: Vec<String>,
}

impl Caller {
    fn of(peer: SocketAddr, headers: &HeaderMap) -> Self {
        let words = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let short = |text: &str| text.chars().take(NAME_MAX).collect::<String>();
        let forwarded = words(&FORWARDED).map(|peer| format!("for {}", short(peer)));
        let user = words(&PROXY_USER).map(|user| format!("user {}", short(user)));
        let agent = words(&header::USER_AGENT).map(|agent| format!("by {}", short(agent)));
        Self { peer, said: forwarded.into_iter().chain(user).chain(agent).collect() }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.peer.ip().to_canonical())?;
        self.said.iter().try_for_each(|words| write!(f, ", {words}"))
    }
}

/// Why a request may not change anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("a body of type {0} may come from a page of another site: send JSON, with content-type: application/json")]
    Form(String),
    #[error("a page of {0} may not change anything here")]
    Origin(String),
    #[error(
        "this changes something and needs the token of --api-token-file, as the header `Authorization: Bearer TOKEN`; the chart \
         keeps it in the Secret of the autoscaler's name that ends in -api"
    )]
    NoToken,
    #[error("this is not the token of --api-token-file")]
    WrongToken,
    #[error(
        "{0} may change nothing: without a token only connections from this machine may, which `kubectl port-forward` to the pod \
         makes; for others, start every autoscaler with --api-token-file"
    )]
    Stranger(IpAddr),
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Form(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NoToken | Self::WrongToken => StatusCode::UNAUTHORIZED,
            Self::Origin(_) | Self::Stranger(_) => StatusCode::FORBIDDEN,
        }
    }

    /// Under which it is counted.
    fn code(&self) -> &'static str {
        match self {
            Self::Form(_) => "form",
            Self::Origin(_) => "origin",
            Self::NoToken => "no_token",
            Self::WrongToken => "wrong_token",
            Self::Stranger(_) => "stranger",
        }
    }
}

/// Stands before every request.
#[derive(Debug, Clone)]
pub struct Guard {
    /// What a caller must know; without it only this machine itself may change something.
    pub token: Option<ApiToken>,
    /// What counts refusals.
    pub instruments: Instruments,
}

/// Lets through what only reads, and what may change something, with its [`Caller`].
pub async fn guard(
    State(guard): State<Guard>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = Caller::of(peer, request.headers());
    if !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        let token = match &guard.token {
            Some(token) => Some(token.current().await),
            None => None,
        };
        if let Err(refusal) = judge(peer.ip(), request.headers(), token.as_deref()) {
            guard.instruments.api_refused(refusal.code());
            tracing::debug!(%caller, path = request.uri().path(), reason = %refusal, "a request to the API was refused");
            let mut response = error(refusal.status(), &refusal.to_string());
            if refusal.status() == StatusCode::UNAUTHORIZED {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            return response;
        }
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

fn judge(peer: IpAddr, headers: &HeaderMap, token: Option<&str>) -> Result<(), Refusal> {
    let words =
        |name: HeaderName| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    if let Some(kind) = words(header::CONTENT_TYPE).map(|kind| kind.to_ascii_lowercase())
        && FORM_TYPES.contains(&kind.split(';').next().unwrap_or_default().trim())
    {
        return Err(Refusal::Form(kind));
    }
    if let Some(origin) = words(header::ORIGIN)
        && !is_own_page(&origin, words(header::HOST).as_deref(), token.is_some())
    {
        return Err(Refusal::Origin(origin));
    }
    match (token, words(header::AUTHORIZATION)) {
        (Some(_), None) => Err(Refusal::NoToken),
        (Some(token), Some(sent)) => match bearer(&sent) {
            Some(sent) if is_same(sent, token) => Ok(()),
            _ => Err(Refusal::WrongToken),
        },
        (None, _) if peer.to_canonical().is_loopback() => Ok(()),
        (None, _) => Err(Refusal::Stranger(peer.to_canonical())),
    }
}

/// Whether a page was served by this program. Where being on this machine is all that is asked, a name that somebody else lets point
/// here is not enough.
fn is_own_page(origin: &str, host: Option<&str>, has_token: bool) -> bool {
    let is_same =
        origin.split_once("://").is_some_and(|(_, rest)| host.is_some_and(|host| host.eq_ignore_ascii_case(rest)));
    let is_here = || match Url::parse(origin).ok().and_then(|url| url.host().map(|host| host.to_owned())) {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    is_same && (has_token || is_here())
}

fn bearer(sent: &str) -> Option<&str> {
    let (scheme, token) = sent.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Takes as long for a token that is nearly right as for any other of its length.
fn is_same(sent: &str, token: &str) -> bool {
    let differs = sent.bytes().zip(token.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b));
    sent.len() == token.len() && std::hint::black_box(differs) == 0
}

#[cfg(test)]
mod tests;

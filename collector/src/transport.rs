//! How servers are reached over HTTP, targets and receivers alike: connections, TLS, credentials. Files with secrets are read
//! again while the collector runs, because they rotate. Secrets are never logged and stand in no error. Knows nothing of what
//! is sent or answered.

mod tls;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Mutex;
use tokio::time::Instant;

use self::tls::TlsMaterial;
use crate::config::http::{Authorization, HttpOptions};
use crate::config::secret::{Secret, Text};

/// How long an idle connection is kept: longer than usual scrape intervals, as in Prometheus.
const IDLE_MAX: Duration = Duration::from_secs(300);

/// How long what was read from files is used before they are looked at again: kubelet renews a token when a fifth of its life,
/// 12 minutes at least, is left.
const MATERIAL_AGE_MAX: Duration = Duration::from_secs(60);

/// How soon after a look another is worth while, when a target has refused the credentials.
const MATERIAL_AGE_MIN: Duration = Duration::from_secs(1);

/// The longest file that is read: no certificate bundle is longer, and a wrong path must not fill the memory.
const FILE_BYTES_MAX: u64 = 4 << 20;

type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Reaches servers that are called with the same options.
pub(crate) struct Transport {
    options: HttpOptions,
    current: ArcSwapOption<Current>,
    renewing: Mutex<Renewal>,
}

/// What requests are sent with.
pub(crate) struct Current {
    client: HttpClient,
    /// The header `Authorization`, marked as sensitive.
    authorization: Option<HeaderValue>,
    tls: TlsMaterial,
    read_at: Instant,
}

/// What is remembered between readings.
#[derive(Default)]
struct Renewal {
    failed: bool,
}

impl Transport {
    pub fn new(options: HttpOptions) -> Self {
        Self { options, current: ArcSwapOption::empty(), renewing: Mutex::default() }
    }

    /// What to send requests with now.
    ///
    /// # Errors
    /// If a file cannot be read, or holds something else, and never did better.
    pub async fn current(&self) -> Result<Arc<Current>, String> {
        let known = self.current.load_full();
        match known {
            Some(known) if !self.is_renewable() || known.read_at.elapsed() < MATERIAL_AGE_MAX => Ok(known),
            // One scrape reads the files; the others go on with what there is.
            Some(known) => match self.renewing.try_lock() {
                Ok(mut renewal) => self.renew(Some(known), &mut renewal).await,
                Err(_) => Ok(known),
            },
            None => {
                let mut renewal = self.renewing.lock().await;
                match self.current.load_full() {
                    Some(known) => Ok(known),
                    None => self.renew(None, &mut renewal).await,
                }
            }
        }
    }

    /// What to send a request with again that was refused for its credentials; nothing if they have not changed.
    pub async fn renewed(&self, refused: &Arc<Current>) -> Option<Arc<Current>> {
        if !self.is_renewable() {
            return None;
        }
        let mut renewal = self.renewing.lock().await;
        let known = self.current.load_full()?;
        let fresh = if Arc::ptr_eq(&known, refused) && known.read_at.elapsed() >= MATERIAL_AGE_MIN {
            self.renew(Some(known), &mut renewal).await.ok()?
        } else {
            known
        };
        let differs = fresh.authorization != refused.authorization || fresh.tls != refused.tls;
        differs.then_some(fresh)
    }

    /// Sends a request; once more if it was refused for its credentials and they have changed.
    pub async fn send(&self, request: &Request<Full<Bytes>>) -> Result<Response<Incoming>, String> {
        let current = self.current().await?;
        let response = current.send(request.clone(), true).await?;
        if response.status() != http::StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        match self.renewed(&current).await {
            Some(fresh) => fresh.send(request.clone(), true).await,
            None => Ok(response),
        }
    }

    async fn renew(&self, known: Option<Arc<Current>>, renewal: &mut Renewal) -> Result<Arc<Current>, String> {
        let result = self.read(known.as_deref()).await;
        let failed_before = std::mem::replace(&mut renewal.failed, result.is_err());
        let current = match (result, known) {
            (Ok(current), _) => current,
            (Err(reason), Some(known)) => {
                if !failed_before {
                    tracing::warn!(reason, "credentials cannot be read again; the last ones are used");
                }
                Current { read_at: Instant::now(), ..known.again() }
            }
            (Err(reason), None) => return Err(reason),
        };
        let current = Arc::new(current);
        self.current.store(Some(current.clone()));
        Ok(current)
    }

    async fn read(&self, known: Option<&Current>) -> Result<Current, String> {
        let authorization = match &self.options.authorization {
            None => None,
            Some(authorization) => Some(header(authorization).await?),
        };
        let tls = TlsMaterial::read(&self.options.tls).await?;
        let client = match known {
            Some(known) if known.tls == tls => known.client.clone(),
            _ => client(tls.connector()?),
        };
        Ok(Current { client, authorization, tls, read_at: Instant::now() })
    }

    fn is_renewable(&self) -> bool {
        let is_file = |text: &Text| matches!(text, Text::File(_));
        let credentials = match &self.options.authorization {
            None => false,
            Some(Authorization::Token { credentials, .. }) => is_file(credentials),
            Some(Authorization::Basic { username, password }) => is_file(username) || is_file(password),
        };
        let tls = &self.options.tls;
        let identity = tls.identity.as_ref().is_some_and(|(cert, key)| is_file(cert) || is_file(key));
        credentials || identity || tls.ca.as_ref().is_some_and(is_file)
    }
}

impl Current {
    /// The same once more.
    fn again(&self) -> Self {
        Self {
            client: self.client.clone(),
            authorization: self.authorization.clone(),
            tls: self.tls.clone(),
            read_at: self.read_at,
        }
    }

    /// Sends a request, with the credentials if it goes to the target itself.
    pub async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
        with_credentials: bool,
    ) -> Result<Response<Incoming>, String> {
        if let Some(value) = self.authorization.as_ref().filter(|_| with_credentials) {
            request.headers_mut().insert(http::header::AUTHORIZATION, value.clone());
        }
        self.client.request(request).await.map_err(|error| crate::scrape::cause(&error))
    }
}

fn client(connector: HttpsConnector<HttpConnector>) -> HttpClient {
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_MAX)
        .pool_max_idle_per_host(1)
        .build(connector)
}

async fn header(authorization: &Authorization) -> Result<HeaderValue, String> {
    let text = match authorization {
        Authorization::Token { scheme, credentials } => {
            format!("{scheme} {}", read(credentials).await?.expose().trim())
        }
        Authorization::Basic { username, password } => {
            let (username, password) = (read(username).await?, read(password).await?);
            let pair = format!("{}:{}", username.expose().trim(), password.expose().trim());
            format!("Basic {}", STANDARD.encode(pair))
        }
    };
    let value = HeaderValue::try_from(text);
    let mut value = value.map_err(|_| "the credentials hold characters that no header may have".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// A text, from its file if it has one.
async fn read(text: &Text) -> Result<Secret, String> {
    let path = match text {
        Text::Inline(secret) => return Ok(secret.clone()),
        Text::File(path) => path,
    };
    let wrong = |error: &dyn std::fmt::Display| format!("{}: cannot be read: {error}", path.display());
    let size = tokio::fs::metadata(path).await.map_err(|error| wrong(&error))?.len();
    if size > FILE_BYTES_MAX {
        return Err(wrong(&format!("it is longer than {FILE_BYTES_MAX} bytes")));
    }
    tokio::fs::read_to_string(path).await.map(Secret::new).map_err(|error| wrong(&error))
}

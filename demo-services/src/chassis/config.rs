//! A replica's configuration, read from environment variables once and checked; an error names the variable. The names
//! are ARCHITECTURE.md's ("A shop replica's process").

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use url::Url;

use crate::service;

/// Port of the API, the metrics and the probes.
pub const HTTP_PORT: u16 = 8080;
/// Port of the faults.
pub const ADMIN_PORT: u16 = 9901;

/// More work than this per request is surely a mistake of unit.
const WORK_MAX_MS: f64 = 10_000.0;

/// Requests a replica works on at the same time before it sheds load. A replica of this shop answers in some 20 ms, so
/// 128 stand for more than a second of waiting; past that a caller is better served by a quick no.
const IN_FLIGHT_MAX_DEFAULT: usize = 128;

/// The front door must not fill up with requests that wait for one slow service: room for every peer's bulkhead (64 calls
/// each to nine peers) with none to spare for more.
const IN_FLIGHT_MAX_GATEWAY: usize = 576;

/// Where this replica lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    pub name: String,
    pub namespace: String,
    pub ip: IpAddr,
}

/// A replica's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The service's name, as in `service::NAMES`.
    pub name: String,
    pub pod: Pod,
    /// Where API, metrics and probes are served.
    pub http: SocketAddr,
    /// Where faults are set.
    pub admin: SocketAddr,
    /// CPU time burnt per request.
    pub work: Duration,
    /// The service's name in traces.
    pub otel_name: String,
    /// The collector's OTLP/HTTP address; without it no spans are exported.
    pub otlp_endpoint: Option<Url>,
    /// Where the service keeps its data.
    pub store_url: Option<String>,
    /// Signs and checks sessions.
    pub token_secret: Option<String>,
    /// Base URLs of other services, by name.
    pub peers: BTreeMap<String, Url>,
    /// Requests under way before more are shed.
    pub in_flight_max: usize,
}

/// A variable that is missing or wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("the environment variable {variable} is not set; expected {expected}")]
    Missing { variable: String, expected: &'static str },
    #[error("the environment variable {variable} is {value:?}; expected {expected}")]
    Wrong { variable: String, value: String, expected: &'static str },
}

impl Config {
    /// Reads the process' own environment.
    pub fn from_environment(name: &str) -> Result<Self, ConfigError> {
        Self::read(name, &|variable| std::env::var(variable).ok())
    }

    /// Reads from `lookup`; an empty value counts as absent.
    pub fn read(name: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let environment = Environment { lookup };
        let ip: IpAddr = environment.required("POD_IP", "the replica's IP address")?;
        let pod = Pod {
            name: environment.text("POD_NAME").unwrap_or_else(|| name.to_owned()),
            namespace: environment.text("POD_NAMESPACE").unwrap_or_else(|| "default".to_owned()),
            ip,
        };
        Ok(Self {
            pod,
            http: SocketAddr::new(ip, HTTP_PORT),
            admin: SocketAddr::new(ip, ADMIN_PORT),
            work: environment.work()?,
            otel_name: environment.text("OTEL_SERVICE_NAME").unwrap_or_else(|| name.to_owned()),
            otlp_endpoint: environment.otlp_endpoint()?,
            store_url: environment.text("STORE_URL"),
            token_secret: environment.text("TOKEN_SECRET"),
            peers: environment.peers()?,
            ..Self::on_loopback(name)
        })
    }

    /// Any free ports of the loopback, no work, no peers, no export: what tests start from.
    pub fn on_loopback(name: &str) -> Self {
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            name: name.to_owned(),
            pod: Pod { name: format!("{name}-0"), namespace: "default".to_owned(), ip },
            http: SocketAddr::new(ip, 0),
            admin: SocketAddr::new(ip, 0),
            work: Duration::ZERO,
            otel_name: name.to_owned(),
            otlp_endpoint: None,
            store_url: None,
            token_secret: None,
            peers: BTreeMap::new(),
            in_flight_max: if name == "gateway" { IN_FLIGHT_MAX_GATEWAY } else { IN_FLIGHT_MAX_DEFAULT },
        }
    }

    /// Where the service keeps its data, or which variable is missing.
    pub fn store_url(&self) -> Result<&str, ConfigError> {
        self.store_url.as_deref().ok_or(ConfigError::Missing {
            variable: "STORE_URL".to_owned(),
            expected: "a store such as sqlite:///var/lib/shop/order/order.db",
        })
    }

    /// What signs sessions, or which variable is missing.
    pub fn token_secret(&self) -> Result<&str, ConfigError> {
        const EXPECTED: &str = "a secret of at least 32 characters, the same for gateway and user";
        let variable = "TOKEN_SECRET".to_owned();
        match self.token_secret.as_deref() {
            None => Err(ConfigError::Missing { variable, expected: EXPECTED }),
            // RFC 7518, 3.2: a key for HS256 has at least 256 bits.
            Some(secret) if secret.len() < 32 => {
                Err(ConfigError::Wrong { variable, value: format!("{} characters", secret.len()), expected: EXPECTED })
            }
            Some(secret) => Ok(secret),
        }
    }
}

/// Kubernetes' name for the variable of a service: `ORDER_SERVICE_HOST`.
pub fn service_variable(service: &str, what: &str) -> String {
    format!("{}_SERVICE_{what}", service.to_uppercase().replace('-', "_"))
}

struct Environment<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
}

impl Environment<'_> {
    fn text(&self, variable: &str) -> Option<String> {
        (self.lookup)(variable).filter(|value| !value.is_empty())
    }

    fn optional<T: std::str::FromStr>(&self, variable: &str, expected: &'static str) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.text(variable) else { return Ok(None) };
        match value.parse() {
            Ok(parsed) => Ok(Some(parsed)),
            Err(_) => Err(ConfigError::Wrong { variable: variable.to_owned(), value, expected }),
        }
    }

    fn required<T: std::str::FromStr>(&self, variable: &str, expected: &'static str) -> Result<T, ConfigError> {
        self.optional(variable, expected)?
            .ok_or_else(|| ConfigError::Missing { variable: variable.to_owned(), expected })
    }

    /// Kubernetes leaves `$(NAME)` as it stands where there is no such variable: then there is no collector here.
    fn otlp_endpoint(&self) -> Result<Option<Url>, ConfigError> {
        const VARIABLE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
        if self.text(VARIABLE).is_some_and(|value| value.contains("$(")) {
            tracing::warn!("there is no collector in this namespace: spans are not exported");
            return Ok(None);
        }
        self.optional(VARIABLE, "a URL such as http://127.0.0.1:4318")
    }

    fn work(&self) -> Result<Duration, ConfigError> {
        const EXPECTED: &str = "milliseconds of CPU time per request, 0 to 10000";
        let millis: f64 = self.optional("WORK_MS", EXPECTED)?.unwrap_or(0.0);
        if (0.0..=WORK_MAX_MS).contains(&millis) {
            return Ok(Duration::from_secs_f64(millis / 1000.0));
        }
        Err(ConfigError::Wrong { variable: "WORK_MS".to_owned(), value: millis.to_string(), expected: EXPECTED })
    }

    fn peers(&self) -> Result<BTreeMap<String, Url>, ConfigError> {
        let mut peers = BTreeMap::new();
        for name in service::NAMES {
            let host_variable = service_variable(name, "HOST");
            let Some(host) = self.text(&host_variable) else { continue };
            let port: u16 = self.required(&service_variable(name, "PORT"), "the service's port")?;
            let url = Url::parse(&format!("http://{host}:{port}")).map_err(|_| ConfigError::Wrong {
                variable: host_variable,
                value: host,
                expected: "a host name or address",
            })?;
            peers.insert(name.to_owned(), url);
        }
        Ok(peers)
    }
}

#[cfg(test)]
mod tests;

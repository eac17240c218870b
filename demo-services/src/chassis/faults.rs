//! Faults for the demo, set on the admin port: `error`, `latency`, `crash`, `hang`, `cpu`. Nothing is wrong with a replica
//! without them; they are the way to make something wrong on purpose.

use std::time::Duration;

use axum::Router;
use axum::extract::State as AxumState;
use axum::routing::{get, put};
use http::StatusCode;
use lifecycle::CancellationToken;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::error::AppError;
use super::extract::{Json, Path};
use super::work;

/// More cores than any demo machine has; a typing error must not start a thousand threads.
const CPU_MAX: f64 = 64.0;
/// A latency longer than the longest deadline is a `hang`.
const LATENCY_MAX: Duration = Duration::from_secs(60);

/// The one fault that would keep a replica from stopping.
pub(super) const HANG: &str = "hang";

/// The faults that are on.
#[derive(Debug, Clone, PartialEq)]
struct Active {
    error: f64,
    latency: Duration,
    hang: bool,
    cpu: f64,
}

impl Active {
    const NONE: Self = Self { error: 0.0, latency: Duration::ZERO, hang: false, cpu: 0.0 };
}

/// The faults of one replica. Clones see the same ones.
#[derive(Debug, Clone)]
pub struct Faults(watch::Sender<Active>);

impl Default for Faults {
    fn default() -> Self {
        Self(watch::Sender::new(Active::NONE))
    }
}

/// Body of `PUT /faults/{kind}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultValue {
    value: Option<String>,
}

/// One fault as `GET /faults` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    kind: &'static str,
    value: Option<String>,
}

/// A fault that cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    #[error("there is no fault {0:?}; expected error, latency, crash, hang or cpu")]
    UnknownKind(String),
    #[error("the fault {kind} was given {value:?}; expected {expected}")]
    WrongValue { kind: &'static str, value: String, expected: &'static str },
}

impl Faults {
    /// Turns a fault on. `crash` ends the process here and now.
    /// Whether that changed anything.
    pub fn set(&self, kind: &str, value: Option<&str>) -> Result<bool, FaultError> {
        let mut active = self.0.borrow().clone();
        match kind {
            "error" => active.error = number("error", value, 1.0, "a ratio from 0 to 1")?,
            "cpu" => active.cpu = number("cpu", value, CPU_MAX, "a number of cores from 0 to 64")?,
            "latency" => active.latency = latency(value)?,
            "hang" => active.hang = no_value("hang", value)?,
            "crash" => {
                no_value("crash", value)?;
                tracing::error!("crashing as the admin API asked");
                // The one exit outside `main`: a crash takes no leave, or it would not be one.
                std::process::exit(1);
            }
            other => return Err(FaultError::UnknownKind(other.to_owned())),
        }
        let changed = *self.0.borrow() != active;
        self.0.send_replace(active);
        Ok(changed)
    }

    /// Turns a fault off; well if it was not on.
    pub fn clear(&self, kind: &str) -> Result<(), FaultError> {
        let mut active = self.0.borrow().clone();
        match kind {
            "error" => active.error = 0.0,
            "cpu" => active.cpu = 0.0,
            "latency" => active.latency = Duration::ZERO,
            "hang" => active.hang = false,
            "crash" => {}
            other => return Err(FaultError::UnknownKind(other.to_owned())),
        }
        self.0.send_replace(active);
        Ok(())
    }

    /// Turns all faults off.
    pub fn clear_all(&self) {
        self.0.send_replace(Active::NONE);
    }

    /// The faults that are on.
    pub fn list(&self) -> Vec<Fault> {
        let active = self.0.borrow().clone();
        let mut faults = Vec::new();
        if active.error > 0.0 {
            faults.push(Fault { kind: "error", value: Some(active.error.to_string()) });
        }
        if !active.latency.is_zero() {
            let value = protocol::duration::Display(active.latency).to_string();
            faults.push(Fault { kind: "latency", value: Some(value) });
        }
        if active.hang {
            faults.push(Fault { kind: "hang", value: None });
        }
        if active.cpu > 0.0 {
            faults.push(Fault { kind: "cpu", value: Some(active.cpu.to_string()) });
        }
        faults
    }

    /// Waits out the added latency; fails the request if it is one of the unlucky share.
    pub(super) async fn strike(&self) -> Result<(), AppError> {
        let (error, latency) = {
            let active = self.0.borrow();
            (active.error, active.latency)
        };
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        if error > 0.0 && rand::rng().random::<f64>() < error {
            return Err(AppError::new(StatusCode::INTERNAL_SERVER_ERROR, "injected_fault", "an injected fault"));
        }
        Ok(())
    }

    /// Returns at once, or when the replica no longer hangs.
    pub(super) async fn hang(&self) {
        if self.0.borrow().hang {
            // The sender lives in `self`, so the wait can only end because the fault was lifted.
            let _ = self.0.subscribe().wait_for(|active| !active.hang).await;
        }
    }

    /// Burns the CPU that the fault `cpu` asks for, until shutdown.
    pub(super) async fn burn_cpu(self, shutdown: CancellationToken) -> Result<(), std::convert::Infallible> {
        let mut changes = self.0.subscribe();
        loop {
            let cores = changes.borrow_and_update().cpu;
            let stop = shutdown.child_token();
            let mut burners = JoinSet::new();
            let mut left = cores;
            while left > 0.0 {
                let (share, stop) = (left.min(1.0), stop.clone());
                burners.spawn_blocking(move || work::burn_share(share, || stop.is_cancelled()));
                left -= 1.0;
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                _ = changes.wait_for(|active| active.cpu != cores) => {}
            }
            stop.cancel();
            while burners.join_next().await.is_some() {}
            if shutdown.is_cancelled() {
                return Ok(());
            }
        }
    }

    /// The admin API.
    pub(super) fn routes(&self) -> Router {
        Router::new()
            .route("/faults", get(list).delete(clear_all))
            .route("/faults/{kind}", put(set).delete(clear))
            .with_state(self.clone())
    }
}

impl From<FaultError> for AppError {
    fn from(error: FaultError) -> Self {
        match error {
            FaultError::UnknownKind(_) => Self::new(StatusCode::NOT_FOUND, "not_found", error.to_string()),
            FaultError::WrongValue { .. } => Self::invalid(error.to_string()),
        }
    }
}

async fn list(AxumState(faults): AxumState<Faults>) -> Json<Vec<Fault>> {
    Json(faults.list())
}

async fn set(
    AxumState(faults): AxumState<Faults>,
    Path(kind): Path<String>,
    Json(body): Json<FaultValue>,
) -> Result<StatusCode, AppError> {
    // Whoever wants a fault to hold says so again and again; that must not drown what else the replica says.
    if faults.set(&kind, body.value.as_deref())? {
        tracing::info!(kind, value = body.value, "a fault was set");
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn clear(AxumState(faults): AxumState<Faults>, Path(kind): Path<String>) -> Result<StatusCode, AppError> {
    faults.clear(&kind)?;
    tracing::info!(kind, "a fault was cleared");
    Ok(StatusCode::NO_CONTENT)
}

async fn clear_all(AxumState(faults): AxumState<Faults>) -> StatusCode {
    faults.clear_all();
    tracing::info!("all faults were cleared");
    StatusCode::NO_CONTENT
}

fn wrong(kind: &'static str, value: Option<&str>, expected: &'static str) -> FaultError {
    FaultError::WrongValue { kind, value: value.unwrap_or("nothing").to_owned(), expected }
}

fn number(kind: &'static str, value: Option<&str>, max: f64, expected: &'static str) -> Result<f64, FaultError> {
    let number = value.and_then(|text| text.parse().ok()).filter(|number| (0.0..=max).contains(number));
    number.ok_or_else(|| wrong(kind, value, expected))
}

fn latency(value: Option<&str>) -> Result<Duration, FaultError> {
    let latency = value.and_then(|text| protocol::duration::parse(text).ok()).filter(|l| *l <= LATENCY_MAX);
    latency.ok_or_else(|| wrong("latency", value, "a duration up to 1m, such as 250ms"))
}

fn no_value(kind: &'static str, value: Option<&str>) -> Result<bool, FaultError> {
    value.map_or(Ok(true), |given| Err(wrong(kind, Some(given), "no value")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_values_are_refused_and_said() {
        let faults = Faults::default();
        let cases = [
            ("error", Some("2"), "the fault error was given \"2\"; expected a ratio from 0 to 1"),
            ("error", Some("NaN"), "the fault error was given \"NaN\"; expected a ratio from 0 to 1"),
            ("error", None, "the fault error was given \"nothing\"; expected a ratio from 0 to 1"),
            ("latency", Some("5"), "the fault latency was given \"5\"; expected a duration up to 1m, such as 250ms"),
            ("hang", Some("1"), "the fault hang was given \"1\"; expected no value"),
            ("cpu", Some("-1"), "the fault cpu was given \"-1\"; expected a number of cores from 0 to 64"),
            ("fire", None, "there is no fault \"fire\"; expected error, latency, crash, hang or cpu"),
        ];
        for (kind, value, expected) in cases {
            assert_eq!(faults.set(kind, value).unwrap_err().to_string(), expected);
        }
        assert_eq!(faults.list(), []);
    }

    #[test]
    fn lists_what_is_on_until_it_is_cleared() {
        let faults = Faults::default();
        assert_eq!(faults.set("error", Some("0.5")), Ok(true));
        assert_eq!(faults.set("error", Some("0.5")), Ok(false));
        faults.set("latency", Some("250ms")).unwrap();
        assert_eq!(
            faults.list(),
            [
                Fault { kind: "error", value: Some("0.5".to_owned()) },
                Fault { kind: "latency", value: Some("250ms".to_owned()) }
            ]
        );
        faults.clear("error").unwrap();
        assert_eq!(faults.list().len(), 1);
        faults.clear_all();
        assert_eq!(faults.list(), []);
    }

    #[tokio::test]
    async fn burning_cpu_begins_ends_and_stops_with_the_replica() {
        let (faults, stop) = (Faults::default(), CancellationToken::new());
        let burning = tokio::spawn(faults.clone().burn_cpu(stop.clone()));
        faults.set("cpu", Some("1.5")).unwrap();
        tokio::task::yield_now().await;
        faults.set("cpu", Some("0.1")).unwrap();
        stop.cancel();
        tokio::time::timeout(Duration::from_secs(5), burning).await.unwrap().unwrap().unwrap();
    }
}

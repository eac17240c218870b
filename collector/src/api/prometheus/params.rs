//! Reads the parameters of a request, from its URL and from its form, and what is in them: times, durations, limits.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use http::header;
use jiff::Timestamp;

use super::answer::ApiError;

/// Names and values in order; a name may come several times.
pub(super) struct Params(Vec<(String, String)>);

impl<S: Send + Sync> FromRequest<S> for Params {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let form = request
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
        let from_url = request.uri().query().unwrap_or_default().to_owned();
        let body = if form {
            // The size of bodies is limited by axum's default of 2 MB, far above the longest query.
            let read = Bytes::from_request(request, state).await;
            read.map_err(|rejection| ApiError::BadData(format!("error parsing form values: {rejection}")))?
        } else {
            Bytes::new()
        };
        // As in Go, what is in the form comes first.
        let pairs = url::form_urlencoded::parse(&body).chain(url::form_urlencoded::parse(from_url.as_bytes()));
        Ok(Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect()))
    }
}

impl Params {
    /// The first value of a name; none if it is absent or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// All values of a name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The query, which may be empty: then it is the parser's to refuse.
    pub fn query(&self) -> &str {
        self.get("query").unwrap_or_default()
    }

    /// A time in milliseconds, if it is given.
    pub fn time(&self, name: &str) -> Result<Option<i64>, ApiError> {
        self.get(name).map(|text| time_ms(text).map_err(|reason| ApiError::parameter(name, reason))).transpose()
    }

    /// A time in milliseconds that must be given.
    pub fn required_time(&self, name: &str) -> Result<i64, ApiError> {
        let text = self.get(name).unwrap_or_default();
        time_ms(text).map_err(|reason| ApiError::parameter(name, reason))
    }

    /// A duration in milliseconds, which may be negative, if it is given.
    pub fn duration_ms(&self, name: &str) -> Result<Option<i64>, ApiError> {
        self.get(name).map(|text| duration_ms(text).map_err(|reason| ApiError::parameter(name, reason))).transpose()
    }

    /// How long the asker is willing to wait, if that is less than `longest`.
    pub fn timeout(&self, longest: Duration) -> Result<Duration, ApiError> {
        let asked =
            self.duration_ms("timeout")?.map(|millis| Duration::from_millis(u64::try_from(millis).unwrap_or(0)));
        Ok(asked.map_or(longest, |asked| asked.min(longest)))
    }

    /// A number of things; zero, which is no limit, if it is absent.
    pub fn limit(&self, name: &str) -> Result<usize, ApiError> {
        let number = self.integer(name)?.unwrap_or(0);
        usize::try_from(number).map_err(|_| ApiError::parameter(name, "limit must be non-negative"))
    }

    /// A whole number, if it is given.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, ApiError> {
        self.get(name).map(|text| text.parse().map_err(|reason| ApiError::parameter(name, reason))).transpose()
    }
}

/// RFC 3339, or seconds since the epoch with a fraction.
fn time_ms(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = text.parse::<f64>()
        && let Some(millis) = whole_millis(seconds)
    {
        return Ok(millis);
    }
    let parsed: Result<Timestamp, _> = text.parse();
    parsed.map(Timestamp::as_millisecond).map_err(|_| format!("cannot parse {text:?} to a valid timestamp"))
}

/// A Prometheus duration, or seconds with a fraction.
fn duration_ms(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = text.parse::<f64>() {
        return whole_millis(seconds)
            .ok_or_else(|| format!("cannot parse {text:?} to a valid duration. It overflows int64"));
    }
    let parsed = protocol::duration::parse(text).ok().and_then(|duration| i64::try_from(duration.as_millis()).ok());
    parsed.ok_or_else(|| format!("cannot parse {text:?} to a valid duration"))
}

#[expect(clippy::cast_possible_truncation, reason = "checked to be within range")]
fn whole_millis(seconds: f64) -> Option<i64> {
    let millis = (seconds * 1000.0).round();
    (millis.abs() < 2f64.powi(62)).then_some(millis as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_or_seconds() {
        for (text, millis) in [
            ("0", 0),
            ("1435781451.781", 1_435_781_451_781),
            ("1e3", 1_000_000),
            ("-1.5", -1_500),
            ("2015-07-01T20:10:51.781Z", 1_435_781_451_781),
            ("2015-07-01T22:10:51+02:00", 1_435_781_451_000),
        ] {
            assert_eq!(time_ms(text), Ok(millis), "{text}");
        }
        for text in ["", "now", "NaN", "Inf", "1e300", "2015-07-01"] {
            assert!(time_ms(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_prometheus_durations_or_seconds() {
        for (text, millis) in [("15", 15_000), ("0.25", 250), ("-1", -1_000), ("1m30s", 90_000), ("1h", 3_600_000)] {
            assert_eq!(duration_ms(text), Ok(millis), "{text}");
        }
        for text in ["", "1x", "NaN", "1e300"] {
            assert!(duration_ms(text).is_err(), "{text}");
        }
    }
}

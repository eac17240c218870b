//! The calls behind what an incident is looked at with: the collector's verdict and timeline, the numbers behind a piece of
//! evidence, latencies over time.

use protocol::faults::{Faults, Timeline};

use crate::feed::backends::Backends;
use crate::feed::{queries, reading};
use crate::heat::{self, Heat, HeatWish, Measured};
use crate::picture::{CurveWish, Curves, Trouble};

/// Values of a curve: as many as a narrow screen has columns for.
pub const CURVE_STEPS: usize = 60;
/// What is shown before something began, so that the usual is seen beside it.
const BEFORE_SECONDS: f64 = 120.0;
/// The shortest time shown: five minutes, as everywhere on the screen.
const CURVE_SECONDS_MIN: f64 = 300.0;
/// The longest: of what began before, only the end is shown; more would be a load on the server every ten seconds.
const CURVE_SECONDS_MAX: f64 = 6.0 * 3_600.0;
/// Steps are whole multiples of this, so that two rounds show the same points.
const STEP_SECONDS: f64 = 5.0;

/// Operations told of a service: more cannot be gone through one by one.
const OPERATIONS_MAX: usize = 200;

/// What is said where nobody judges faults.
pub const NO_FAULTS: &str = "this server has no /api/v1/faults";

/// What is said where nobody keeps a timeline.
const NO_TIMELINE: &str = "this server has no /api/v1/faults/timeline";

/// First value and step, in seconds, of a curve that shows when something began, and now.
fn span(since_ms: i64, now_ms: i64) -> (f64, f64) {
    let now = now_ms as f64 / 1_000.0;
    let wanted = now - since_ms as f64 / 1_000.0 + BEFORE_SECONDS;
    let seconds = wanted.clamp(CURVE_SECONDS_MIN, CURVE_SECONDS_MAX);
    let step = (seconds / CURVE_STEPS as f64 / STEP_SECONDS).ceil() * STEP_SECONDS;
    let end = (now / step).floor() * step;
    (end - step * (CURVE_STEPS - 1) as f64, step)
}

impl Backends {
    /// What is broken, as the collector judges it.
    pub async fn faults(&self) -> Result<Faults, Trouble> {
        self.faults.faults().await.map_err(|e| self.collector.trouble(&e, NO_FAULTS))
    }

    /// What began, ended and changed in the last hour.
    pub async fn timeline(&self) -> Result<Timeline, Trouble> {
        self.faults.timeline(None).await.map_err(|e| self.collector.trouble(&e, NO_TIMELINE))
    }

    /// What a piece of evidence looks like over time.
    pub async fn curves(&self, wish: CurveWish, now_ms: i64) -> Result<Curves, Trouble> {
        let (start, step) = span(wish.since_ms, now_ms);
        let end = start + step * (CURVE_STEPS - 1) as f64;
        let answer = self.prometheus.query_range(&wish.query, start, end, step).await;
        let answer = answer.map_err(|e| self.collector.trouble(&e, ""))?;
        let series = reading::curves(&answer, start, step, CURVE_STEPS);
        Ok(Curves { wish, start_seconds: start, step_seconds: step, series })
    }

    /// Latencies over time: by the service's own metrics, and where it has none by its spans. Rates cover `window_min` seconds at
    /// least, as the server scrapes.
    pub async fn heat(&self, wish: &HeatWish, now_ms: i64, window_min: u64) -> Result<Heat, Trouble> {
        let wanted = wish.operation.as_ref().map(|(measured, _)| *measured);
        let first = wanted.unwrap_or_default();
        let heat = self.heat_from(wish, first, now_ms, window_min).await?;
        if wanted.is_some() || heat.bands.iter().any(|band| band.counts.iter().any(|count| *count > 0.0)) {
            return Ok(heat);
        }
        let of_spans = self.heat_from(wish, Measured::Spans, now_ms, window_min).await?;
        Ok(if of_spans.bands.is_empty() { heat } else { of_spans })
    }

    async fn heat_from(
        &self,
        wish: &HeatWish,
        measured: Measured,
        now_ms: i64,
        window_min: u64,
    ) -> Result<Heat, Trouble> {
        let step = wish.step_seconds() as f64;
        let end = (now_ms as f64 / 1_000.0 / step).floor() * step;
        let start = end - step * (heat::STEPS - 1) as f64;
        let query = queries::heat(wish, measured, window_min.max(wish.step_seconds()));
        let operations = queries::operations(&wish.service, measured);
        let (answer, operations) =
            futures::join!(self.prometheus.query_range(&query, start, end, step), self.query(&operations));
        let answer = answer.map_err(|e| self.collector.trouble(&e, ""))?;
        let operations = operations.map(|answer| reading::operations(&answer, measured, OPERATIONS_MAX));
        Ok(Heat {
            wish: wish.clone(),
            measured,
            start_seconds: start,
            step_seconds: step,
            bands: heat::bands(reading::heat_buckets(&answer, start, step, heat::STEPS)),
            operations: operations.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_shows_what_was_before_it_began_and_ends_now() {
        const NOW_MS: i64 = 1_763_906_560_000;
        for (began_seconds_ago, step) in [(20, 5.0), (600, 15.0), (3 * 3_600, 185.0), (90 * 86_400, 360.0)] {
            let (start, got) = span(NOW_MS - began_seconds_ago * 1_000, NOW_MS);
            let end = start + got * (CURVE_STEPS - 1) as f64;
            let now = NOW_MS as f64 / 1_000.0;
            assert_eq!(got, step, "{began_seconds_ago}");
            assert!(end <= now && end > now - got && start % got == 0.0, "{began_seconds_ago}");
            let is_whole = start < now - began_seconds_ago as f64;
            assert!(is_whole || began_seconds_ago > 6 * 3_600);
        }
    }
}

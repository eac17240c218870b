//! From the two cron expressions of KEDA's trigger, which begin and end a window, to the one that begins it and how long it lasts.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZoneDatabase;

use crate::policy::schedule::{next, times};

/// Windows are compared over four years from here, a leap day among them.
const FROM: DateTime = DateTime::constant(2025, 1, 1, 0, 0, 0, 0);

/// Four years of them, if one begins each day; of more frequent ones so many tell as much.
const WINDOWS_MAX: usize = 1_500;

/// How long windows last.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub lasts: Duration,
    /// A day on which the clock is changed within a window, so that `end` comes earlier or later than it lasts.
    pub changed_on: Option<String>,
}

/// How long each window lasts by the clock on the wall.
///
/// # Errors
/// In words that follow the name of the field: which is none, or that they differ.
pub(super) fn window(start: &str, end: &str, zone: &str) -> Result<Window, (&'static str, String)> {
    let starts = times(start).map_err(|error| ("start", error.to_string()))?;
    let ends = times(end).map_err(|error| ("end", error.to_string()))?;
    let zone = TimeZoneDatabase::bundled()
        .get(zone)
        .map_err(|_| ("timezone", format!("{zone:?} is not a name of the IANA database, such as Europe/Madrid")))?;
    let mut found: Option<(DateTime, Duration)> = None;
    let mut changed_on = None;
    let mut begins = FROM;
    for _ in 0..WINDOWS_MAX {
        let Some(next_begins) = next(&starts, begins) else { break };
        begins = next_begins;
        let Some(ends_at) = next(&ends, begins) else { break };
        let lasts = Duration::try_from(ends_at.duration_since(begins)).unwrap_or_default();
        match found {
            None => found = Some((begins, lasts)),
            Some((first, other)) if other != lasts => {
                let (one, two) = (shown(other), shown(lasts));
                let message = format!(
                    "the window of {first} lasts {one} and that of {begins} {two}: make a trigger for each length"
                );
                return Err(("end", message));
            }
            Some(_) => {}
        }
        let instant = |wall: DateTime| zone.to_ambiguous_timestamp(wall).compatible();
        if changed_on.is_none()
            && let (Ok(from), Ok(to)) = (instant(begins), instant(ends_at))
            && Duration::try_from(to.duration_since(from)).is_ok_and(|passed| passed != lasts)
        {
            changed_on = Some(begins.date().to_string());
        }
    }
    let (_, lasts) =
        found.ok_or(("start", "no window begins within four years: change the day or the month".to_owned()))?;
    Ok(Window { lasts, changed_on })
}

fn shown(lasts: Duration) -> String {
    protocol::duration::Display(lasts).to_string()
}

//! A schedule: from each time of a cron expression on, for so long, so many replicas are asked for. What time it is comes from the
//! caller. The zone's rules are those compiled in, so that the same policy means the same on every machine.

use std::fmt;
use std::time::Duration;

use cronexpr::Crontab;
use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};

/// The longest that a window may last: a cron expression of five fields says nothing beyond a year.
pub const FOR_MAX: Duration = Duration::from_secs(366 * 86_400);

/// How far clocks are put forward or back at most, and room beside it: times of the expression are looked for this much earlier and
/// later than the instants that they may mean. (Two hours is the most in use, at Troll.)
const SHIFT_MAX: SignedDuration = SignedDuration::from_hours(3);

/// Minute, hour, day of the month, month, day of the week.
const FIELDS: usize = 5;

/// When, and how many.
#[derive(Clone)]
pub struct Schedule {
    /// The five fields as written.
    cron: String,
    /// The fields, read as times of a clock on a wall: in UTC, where no time is left out and none comes twice.
    times: Crontab,
    /// The zone as written.
    zone_name: String,
    zone: TimeZone,
    /// How long each window lasts, by the clock that is never put forward or back.
    lasts: Duration,
    /// What is asked for within a window.
    replicas: i32,
}

/// Why a schedule is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The cron expression has too few or too many fields.
    #[error(
        "found {found} fields, expected five: minute, hour, day of the month, month, day of the week, such as 0 8 * * 1-5"
    )]
    Fields {
        /// How many there are.
        found: usize,
    },
    /// One of the five cannot be read.
    #[error(
        "{0:?} is not a cron expression: expected numbers, names, *, lists, ranges and steps in range, such as 0 8 * * 1-5"
    )]
    Cron(String),
    /// No day has such a date.
    #[error("{0:?} never comes: no such day is in any month named; change the day or the month")]
    Never(String),
    /// No such zone.
    #[error("{0:?} is not a time zone: expected a name of the IANA database, such as Europe/Madrid or UTC")]
    Zone(String),
}

impl Schedule {
    /// Reads a cron expression and the name of a zone; `lasts` is more than nothing and at most 366 days.
    ///
    /// # Errors
    /// Which of them is none.
    pub fn new(cron: &str, zone_name: &str, lasts: Duration, replicas: i32) -> Result<Self, ScheduleError> {
        let times = times(cron)?;
        let zone = TimeZoneDatabase::bundled().get(zone_name).map_err(|_| ScheduleError::Zone(zone_name.to_owned()))?;
        Ok(Self { cron: cron.to_owned(), times, zone_name: zone_name.to_owned(), zone, lasts, replicas })
    }

    /// What is asked for within a window.
    pub fn replicas(&self) -> i32 {
        self.replicas
    }

    /// The five fields as written.
    pub fn cron(&self) -> &str {
        &self.cron
    }

    /// The zone as written.
    pub fn zone_name(&self) -> &str {
        &self.zone_name
    }

    /// How long each window lasts.
    pub fn lasts(&self) -> Duration {
        self.lasts
    }

    /// Whether a window is open at a time, in milliseconds since the epoch. A window begins at each time of the expression: at one
    /// that the clock leaves out, as much later as it was put forward; at one that comes twice, the first time.
    pub fn is_open(&self, now_ms: i64) -> bool {
        self.opened(now_ms).is_some()
    }

    /// When the first of the windows that are open began, in milliseconds since the epoch.
    pub fn opened(&self, now_ms: i64) -> Option<i64> {
        let now = Timestamp::from_millisecond(now_ms).ok()?;
        let earliest = now.checked_sub(SignedDuration::try_from(self.lasts).ok()?).ok()?;
        let latest_wall = self.wall(now).checked_add(SHIFT_MAX).ok()?;
        let mut wall = self.wall(earliest).checked_sub(SHIFT_MAX).ok()?;
        loop {
            wall = next(&self.times, wall)?;
            if wall > latest_wall {
                return None;
            }
            let begins = self.instant(wall)?;
            if begins > earliest && begins <= now {
                return Some(begins.as_millisecond());
            }
        }
    }

    /// When the next window begins after a time, both in milliseconds since the epoch.
    pub fn next_opening(&self, now_ms: i64) -> Option<i64> {
        let now = Timestamp::from_millisecond(now_ms).ok()?;
        let mut wall = self.wall(now).checked_sub(SHIFT_MAX).ok()?;
        loop {
            wall = next(&self.times, wall)?;
            let begins = self.instant(wall)?;
            if begins > now {
                return Some(begins.as_millisecond());
            }
        }
    }

    /// What the clock on the wall says.
    fn wall(&self, instant: Timestamp) -> DateTime {
        self.zone.to_datetime(instant)
    }

    /// When the clock on the wall says so.
    fn instant(&self, wall: DateTime) -> Option<Timestamp> {
        self.zone.to_ambiguous_timestamp(wall).compatible().ok()
    }
}

/// The times of an expression that comes at least once in four years.
pub(crate) fn times(cron: &str) -> Result<Crontab, ScheduleError> {
    let found = cron.split_whitespace().count();
    if found != FIELDS {
        return Err(ScheduleError::Fields { found });
    }
    let times = cronexpr::parse_crontab(&format!("{cron} UTC")).map_err(|_| ScheduleError::Cron(cron.to_owned()))?;
    // Any four years with a leap day among them will do.
    match next(&times, DateTime::constant(2024, 1, 1, 0, 0, 0, 0)) {
        Some(_) => Ok(times),
        None => Err(ScheduleError::Never(cron.to_owned())),
    }
}

/// The first time of an expression after another.
pub(crate) fn next(times: &Crontab, after: DateTime) -> Option<DateTime> {
    let after = TimeZone::UTC.to_timestamp(after).ok()?;
    times.find_next(after).ok().map(|time| time.datetime())
}

impl PartialEq for Schedule {
    /// By what was written; the rest follows from it.
    fn eq(&self, other: &Self) -> bool {
        let Self { cron, zone_name, lasts, replicas, .. } = self;
        (cron, zone_name, lasts, replicas) == (&other.cron, &other.zone_name, &other.lasts, &other.replicas)
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedule")
            .field("cron", &self.cron)
            .field("zone", &self.zone_name)
            .field("lasts", &self.lasts)
            .field("replicas", &self.replicas)
            .finish()
    }
}

#[cfg(test)]
mod tests;

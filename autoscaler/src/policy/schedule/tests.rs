//! The unit tests of schedules: when windows are open, above all where clocks are put forward and back.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn ms(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_millisecond()
}

fn schedule(cron: &str, zone: &str, lasts: Duration) -> Schedule {
    Schedule::new(cron, zone, lasts, 4).unwrap()
}

#[track_caller]
fn open(schedule: &Schedule, at: &str, expected: bool) {
    assert_eq!(schedule.is_open(ms(at)), expected, "{schedule:?} at {at}");
}

#[test]
fn a_window_is_open_from_its_beginning_and_no_more_at_its_end() {
    let office = schedule("0 8 * * 1-5", "Europe/Madrid", HOUR * 10);
    // Winter: an hour ahead of UTC. The 23rd of November 2026 is a Monday.
    open(&office, "2026-11-23T06:59:59.999Z", false);
    open(&office, "2026-11-23T07:00:00Z", true);
    open(&office, "2026-11-23T16:59:59.999Z", true);
    open(&office, "2026-11-23T17:00:00Z", false);
    // Summer: two hours.
    open(&office, "2026-07-20T05:59:59Z", false);
    open(&office, "2026-07-20T06:00:00Z", true);
    // Saturday.
    open(&office, "2026-11-28T09:00:00Z", false);
    assert_eq!(office.opened(ms("2026-11-23T12:00:00Z")), Some(ms("2026-11-23T07:00:00Z")));
    assert_eq!(office.next_opening(ms("2026-11-27T12:00:00Z")), Some(ms("2026-11-30T07:00:00Z")));
}

#[test]
fn a_time_that_the_clock_leaves_out_comes_as_much_later() {
    // On the 29th of March 2026 clocks in Madrid go from 2:00 to 3:00, at 1:00 UTC.
    let night = schedule("30 2 * * *", "Europe/Madrid", HOUR);
    open(&night, "2026-03-28T01:30:00Z", true);
    open(&night, "2026-03-29T01:29:59Z", false);
    open(&night, "2026-03-29T01:30:00Z", true);
    open(&night, "2026-03-29T02:29:59Z", true);
    open(&night, "2026-03-29T02:30:00Z", false);
    open(&night, "2026-03-30T00:30:00Z", true);
    // An hour of each day begins at 3:00, which follows 1:59:59 on that day.
    let three = schedule("0 3 * * *", "Europe/Madrid", HOUR);
    open(&three, "2026-03-29T00:59:59Z", false);
    open(&three, "2026-03-29T01:00:00Z", true);
    open(&three, "2026-03-29T02:00:00Z", false);
}

#[test]
fn a_time_that_comes_twice_counts_the_first_time() {
    // On the 25th of October 2026 clocks in Madrid go from 3:00 to 2:00, at 1:00 UTC.
    let night = schedule("30 2 * * *", "Europe/Madrid", HOUR / 2);
    open(&night, "2026-10-25T00:30:00Z", true);
    open(&night, "2026-10-25T00:59:59Z", true);
    open(&night, "2026-10-25T01:00:00Z", false);
    open(&night, "2026-10-25T01:30:00Z", false);
    open(&night, "2026-10-26T01:30:00Z", true);
    // A window over the change lasts as long as it says: from 0:00 for six hours ends at 5:00 on the wall.
    let early = schedule("0 0 * * *", "Europe/Madrid", HOUR * 6);
    open(&early, "2026-10-25T03:59:59Z", true);
    open(&early, "2026-10-25T04:00:00Z", false);
}

#[test]
fn windows_over_midnight_months_and_leap_days() {
    let night = schedule("0 22 * * *", "America/New_York", HOUR * 8);
    open(&night, "2026-12-01T02:59:59Z", false);
    open(&night, "2026-12-01T03:00:00Z", true);
    open(&night, "2026-12-01T10:59:59Z", true);
    open(&night, "2026-12-01T11:00:00Z", false);
    let leap = schedule("0 0 29 2 *", "UTC", HOUR * 24);
    open(&leap, "2028-02-29T12:00:00Z", true);
    open(&leap, "2027-03-01T12:00:00Z", false);
    // Windows that overlap are one.
    let often = schedule("*/5 * * * *", "Asia/Kathmandu", HOUR);
    open(&often, "2026-05-05T05:03:00Z", true);
    open(&schedule("0 0 1 1 *", "UTC", FOR_MAX), "2026-12-31T23:59:59Z", true);
}

#[test]
fn what_is_no_schedule_says_what_is_expected() {
    let wrong = |cron: &str, zone: &str| Schedule::new(cron, zone, HOUR, 1).unwrap_err().to_string();
    assert!(wrong("0 8 * *", "UTC").starts_with("found 4 fields, expected five: minute, hour"));
    assert!(wrong("0 25 * * *", "UTC").starts_with("\"0 25 * * *\" is not a cron expression"));
    assert!(wrong("@daily", "UTC").starts_with("found 1 fields"));
    assert!(wrong("0 0 30 2 *", "UTC").starts_with("\"0 0 30 2 *\" never comes"));
    assert!(wrong("0 8 * * *", "Europe/Paradise").contains("IANA database"));
}

proptest::proptest! {
    #[test]
    fn reading_never_panics(cron in "[0-9*/,#LW?A-Z -]{0,24}", zone in "[A-Za-z/_]{0,16}") {
        let _ = Schedule::new(&cron, &zone, HOUR, 1);
    }

    /// Beside the definition: a window is open if and only if a whole minute of the last `lasts` matches, in a zone without changes.
    #[test]
    fn a_window_is_open_if_one_of_its_minutes_has_begun_it(
        minute in 0i64..60, hour in 0i64..24, lasts in 1i64..2000, at in 0i64..20_000
    ) {
        let schedule = schedule(&format!("{minute} {hour} * * *"), "UTC", Duration::from_secs(u64::try_from(lasts * 60).unwrap()));
        let begins = |at: i64| at.rem_euclid(1440) == hour * 60 + minute;
        let expected = (at - lasts + 1..=at).any(begins);
        let epoch = ms("2026-01-01T00:00:00Z");
        proptest::prop_assert_eq!(schedule.is_open(epoch + at * 60_000), expected);
    }
}

//! The life of alerts, told as scripts: at each evaluation whether the series is there, and what the alert then is.

use super::*;

const MINUTE_MS: i64 = 60_000;

fn labels() -> Labels {
    Labels::new([("alertname", "A")])
}

fn seen(value: f64) -> Vec<Seen> {
    vec![Seen { labels: labels(), annotations: Texts::new(), value }]
}

/// Runs an evaluation a minute; each letter of `there` says whether the series is there (`x`) or not (`.`). The answer is a
/// letter each: pending, firing, keeps firing, resolved, or `.` for nothing.
fn life(there: &str, timing: Timing) -> String {
    let mut alerts = Alerts::new();
    let mut states = String::new();
    for (minute, is_there) in there.chars().enumerate() {
        let now_ms = i64::try_from(minute).unwrap() * MINUTE_MS;
        let found = if is_there == 'x' { seen(1.0) } else { Vec::new() };
        advance(&mut alerts, found, timing, now_ms).unwrap();
        states.push(match alerts.get(&labels()) {
            None => '.',
            Some(alert) => match alert.state {
                AlertState::Pending => 'p',
                AlertState::Firing if alert.keep_firing_since_ms.is_some() => 'k',
                AlertState::Firing => 'f',
                AlertState::Inactive => 'r',
            },
        });
    }
    states
}

fn minutes(hold: i64, keep_firing: i64) -> Timing {
    Timing { hold_ms: hold * MINUTE_MS, keep_firing_ms: keep_firing * MINUTE_MS }
}

#[test]
fn alerts_live_as_in_prometheus() {
    for (hold, keep_firing, there, states) in [
        (0, 0, "xx..x", "ffrrf"),
        (2, 0, "xxxx", "ppff"),
        (2, 0, "x.xxx", "p.ppf"),
        (2, 0, "xxx.x", "ppfrp"),
        (0, 2, "x....", "fkkrr"),
        (0, 2, "x.x....", "fkfkkrr"),
        (2, 1, "xx.xxx.x.", "pp.ppfkfk"),
        (1, 3, "xx..x...", "pfkkfkkk"),
        (0, 0, "x................x", "frrrrrrrrrrrrrrrrf"),
        (0, 0, "x.................x", "frrrrrrrrrrrrrrrr.f"),
        (0, 0, "x................................", "frrrrrrrrrrrrrrrr................"),
    ] {
        assert_eq!(
            life(there, minutes(hold, keep_firing)),
            states,
            "for {hold}m, keep_firing_for {keep_firing}m: {there}"
        );
    }
}

#[test]
fn times_of_an_alert_are_those_of_its_evaluations() {
    let mut alerts = Alerts::new();
    let timing = minutes(2, 1);
    for (minute, is_there) in [true, true, true, true, false, false].into_iter().enumerate() {
        let found = if is_there { seen(minute as f64) } else { Vec::new() };
        advance(&mut alerts, found, timing, i64::try_from(minute).unwrap() * MINUTE_MS).unwrap();
    }
    let alert = &alerts[&labels()];
    assert_eq!((alert.active_at_ms, alert.fired_at_ms), (0, Some(2 * MINUTE_MS)));
    assert_eq!((alert.keep_firing_since_ms, alert.resolved_at_ms), (Some(4 * MINUTE_MS), Some(5 * MINUTE_MS)));
    assert_eq!(alert.value.to_bits(), 3f64.to_bits(), "the value is the last that was seen");
}

#[test]
fn two_series_that_become_one_alert_change_nothing() {
    let mut alerts = Alerts::new();
    advance(&mut alerts, seen(1.0), Timing::default(), 0).unwrap();
    let before = alerts.clone();
    let twice = seen(2.0).into_iter().chain(seen(3.0)).collect();
    assert_eq!(advance(&mut alerts, twice, Timing::default(), MINUTE_MS), Err(SameLabels));
    assert_eq!(alerts, before);
}

#[test]
fn a_longer_hold_makes_a_firing_alert_wait_again() {
    let mut alerts = Alerts::new();
    advance(&mut alerts, seen(1.0), minutes(0, 0), 0).unwrap();
    assert_eq!(take_due(&mut alerts, 0, MINUTE_MS, MINUTE_MS).len(), 1);
    advance(&mut alerts, seen(1.0), minutes(5, 0), MINUTE_MS).unwrap();
    let alert = &alerts[&labels()];
    assert_eq!((alert.state, alert.fired_at_ms, alert.last_sent_ms), (AlertState::Pending, None, None));
}

#[test]
fn receivers_are_told_at_once_and_then_again_and_again() {
    let mut alerts = Alerts::new();
    let mut told = Vec::new();
    // Every 30 s; the alert fires from 1 m to 5 m.
    for step in 0..50 {
        let now_ms = step * 30_000;
        let found = if (2..10).contains(&step) { seen(1.0) } else { Vec::new() };
        advance(&mut alerts, found, Timing::default(), now_ms).unwrap();
        for alert in take_due(&mut alerts, now_ms, MINUTE_MS, 30_000) {
            assert_eq!(alert.valid_until_ms, now_ms + 4 * MINUTE_MS);
            told.push((step, alert.state == AlertState::Firing));
        }
    }
    let firing: Vec<i64> = told.iter().filter(|(_, firing)| *firing).map(|(step, _)| *step).collect();
    let resolved: Vec<i64> = told.iter().filter(|(_, firing)| !*firing).map(|(step, _)| *step).collect();
    assert_eq!(firing, [2, 5, 8], "later than a minute after the last, as in Prometheus");
    assert_eq!(resolved, [10, 13, 16, 19, 22, 25, 28, 31, 34, 37, 40], "for 15 minutes after 5 m");
}

#[test]
fn what_was_pending_before_a_restart_goes_on_where_it_was() {
    let hour = 60 * MINUTE_MS;
    let (hold, grace) = (hour, 10 * MINUTE_MS);
    let last = |minute: i64, active_minute: i64| Sample {
        timestamp_ms: minute * MINUTE_MS,
        value: (active_minute * 60) as f64,
    };
    for (name, last, now_minute, active_minute) in [
        ("was firing", last(100, 30), 110, Some(30)),
        ("20 minutes were done, 10 nobody looked", last(50, 30), 60, Some(40)),
        ("5 minutes were missing, the grace is 10", last(85, 30), 90, Some(90 + 10 - 60)),
        ("was not active", Sample { timestamp_ms: 0, value: crate::series::stale_nan() }, 60, None),
        ("is no time", Sample { timestamp_ms: 0, value: f64::NAN }, 60, None),
    ] {
        let active_ms = restored(last, hold, grace, now_minute * MINUTE_MS);
        assert_eq!(active_ms, active_minute.map(|minute| minute * MINUTE_MS), "{name}");
    }
}

/// What the state machine must be, said another way: by counting from the history of presence alone.
fn expected(history: &[bool], hold: i64, keep_firing: i64) -> Option<AlertState> {
    let (mut active, mut state, mut keep, mut resolved) = (0, None, None, 0);
    for (minute, is_there) in (0i64..).zip(history) {
        if *is_there {
            if !matches!(state, Some(AlertState::Pending | AlertState::Firing)) {
                (active, state) = (minute, Some(AlertState::Pending));
            }
            keep = None;
        } else {
            match state {
                Some(AlertState::Pending) => state = None,
                Some(AlertState::Firing) => {
                    let since = *keep.get_or_insert(minute);
                    if minute - since >= keep_firing {
                        (state, resolved) = (Some(AlertState::Inactive), minute);
                    }
                }
                Some(AlertState::Inactive) if minute - resolved > 15 => state = None,
                _ => {}
            }
        }
        if state == Some(AlertState::Pending) && minute - active >= hold {
            state = Some(AlertState::Firing);
        }
    }
    state
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(5_000))]

    #[test]
    fn thousands_of_lives_are_as_expected(
        history in proptest::collection::vec(proptest::bool::weighted(0.6), 0..60),
        hold in 0i64..6,
        keep_firing in 0i64..4,
    ) {
        let mut alerts = Alerts::new();
        for (minute, is_there) in (0i64..).zip(&history) {
            let found = if *is_there { seen(1.0) } else { Vec::new() };
            advance(&mut alerts, found, minutes(hold, keep_firing), minute * MINUTE_MS).unwrap();
        }
        let state = alerts.get(&labels()).map(|alert| alert.state);
        proptest::prop_assert_eq!(state, expected(&history, hold, keep_firing));
    }
}

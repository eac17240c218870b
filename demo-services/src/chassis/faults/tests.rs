//! Faults are set, listed, told and cleared; those of threads begin and end.

use lifecycle::CancellationToken;

use super::*;

#[test]
fn a_fault_that_cannot_be_set_changes_nothing() {
    let faults = Faults::of("gateway");
    for (kind, value) in [("error", Some("2")), ("fire", None), ("pool", Some("1")), ("unreachable", Some("gateway"))] {
        assert!(faults.set(kind, value).is_err(), "{kind}");
    }
    assert_eq!(faults.list(), []);
}

#[test]
fn lists_what_is_on_until_it_is_cleared() {
    let faults = Faults::default();
    let listed = || faults.list().into_iter().map(|fault| (fault.kind, fault.value)).collect::<Vec<_>>();
    assert_eq!(faults.set("error", Some("0.5")), Ok(true));
    let since_ms = faults.list()[0].since_ms;
    assert_eq!(faults.set("error", Some("0.5")), Ok(false));
    assert_eq!(faults.list()[0].since_ms, since_ms, "told again, it has not begun again");
    faults.set("latency", Some("250ms")).unwrap();
    assert_eq!(listed(), [("error", Some("0.5".to_owned())), ("latency", Some("250ms".to_owned()))]);
    let truth = faults.0.truth.encode().unwrap();
    assert!(truth.contains("shop_fault_active{kind=\"error\"} 1"), "{truth}");
    assert!(truth.contains("shop_fault_active{kind=\"hang\"} 0"), "{truth}");
    assert_eq!(faults.set("latency", Some("0s")), Ok(true), "nothing of it is off");
    faults.clear("error").unwrap();
    assert_eq!(faults.list(), []);
    assert!(faults.0.truth.encode().unwrap().contains("shop_fault_active{kind=\"error\"} 0"));
}

#[test]
fn a_bad_version_is_said_in_the_replicas_own_metrics_and_no_other_fault_is() {
    let (faults, metrics) = (Faults::of("order"), Metrics::default());
    faults.register(&metrics);
    let own = format!("shop_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
    assert!(metrics.encode().unwrap().contains(&own));
    for kind in FaultKind::all() {
        let value = match kind {
            FaultKind::Error | FaultKind::Zone | FaultKind::Cpu => Some("1"),
            FaultKind::Pool => Some("4"),
            FaultKind::Unreachable => Some("payment"),
            FaultKind::BadDeploy => Some("9.9.9"),
            FaultKind::Leak => Some("1Mi"),
            FaultKind::StoreDown | FaultKind::Hang => None,
            FaultKind::Crash | FaultKind::Poison | FaultKind::QueueLag => continue,
            _ => Some("10ms"),
        };
        assert_eq!(faults.set(kind.name(), value), Ok(true), "{kind}");
    }
    let text = metrics.encode().unwrap();
    assert!(text.contains("shop_build_info{version=\"9.9.9\"} 1") && !text.contains(&own), "{text}");
    assert!(!text.contains("fault"), "{text}");
    faults.clear_all();
    assert!(metrics.encode().unwrap().contains(&own));
}

#[test]
fn a_clock_is_ahead_or_behind_while_it_is_skewed() {
    let faults = Faults::default();
    let clock = ReplicaClock(faults.clone());
    let ahead = || clock.now_ms() - SystemClock.now_ms();
    faults.set("clock-skew", Some("2h")).unwrap();
    assert!((7_199_000..=7_200_100).contains(&ahead()), "{}", ahead());
    faults.set("clock-skew", Some("-90s")).unwrap();
    assert!((-91_000..=-89_900).contains(&ahead()), "{}", ahead());
    faults.clear("clock-skew").unwrap();
    assert!(ahead().abs() <= 100);
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

//! The PromQL of every kind of indicator: it parses, and says what it should.

use super::*;
use crate::objective::Target;
use crate::promql;

fn objective(subject: Subject, indicator: Indicator) -> Objective {
    let target = Target::from_share(0.999).unwrap();
    let window = Duration::from_secs(30 * 86_400);
    Objective { name: "x".to_owned(), subject, target, window, indicator, packing: false }
}

fn order() -> Subject {
    Subject::Service { namespace: "shop".to_owned(), name: "order".to_owned() }
}

#[test]
fn every_kind_is_promql_over_its_window() {
    let template = |text: &str| Template::new(text).unwrap();
    let journey = || Subject::Journey { name: "sign\"in".to_owned() };
    let all = [
        objective(order(), Indicator::Availability),
        objective(order(), Indicator::Latency { below: Duration::from_millis(250) }),
        objective(journey(), Indicator::Availability),
        objective(journey(), Indicator::Latency { below: Duration::from_secs(1) }),
        objective(
            order(),
            Indicator::GoodEvents {
                good: template("increase(g[{{.window}}])"),
                total: template("sum(rate(t[{{.window}}]))"),
            },
        ),
        objective(order(), Indicator::ErrorRatio { ratio: template("avg_over_time(r[{{.window}}])") }),
    ];
    for objective in &all[..4] {
        for query in [objective.bad(RATIO_EVENT), objective.total(RATIO_EVENT)] {
            promql::check(&query).unwrap_or_else(|error| panic!("{query}: {error}"));
            assert!(query.contains("[1m]"), "{query}");
        }
    }
    assert_eq!(
        all[0].bad(RATIO_EVENT),
        "sum(increase(http_server_request_duration_seconds_count{namespace=\"shop\", service=\"order\", \
         http_response_status_code=~\"5..\"}[1m]))"
    );
    assert!(all[1].bad(RATIO_EVENT).contains("le=\"0.25\""));
    assert!(all[3].bad(RATIO_EVENT).contains("le=~\"1([.]0)?\""));
    assert_eq!(all[4].total(Duration::from_secs(300)), "(sum(sum(rate(t[5m]))) * 300)", "a rate becomes an amount");
    assert_eq!(all[5].bad(Duration::from_secs(300)), "(sum(avg_over_time(r[5m])) * 5)");
}

//! Claims about demand as metrics tell it.

use protocol::prometheus::Point;

use super::*;
use crate::signal::Demands;

const WINDOW: Duration = Duration::from_secs(30);

fn series(labels: &[(&str, &str)], value: f64) -> InstantSeries {
    let metric = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    InstantSeries { metric, value: Point::new(0.0, value), histogram: None }
}

#[test]
fn every_question_is_one_for_all_services() {
    let [rates, seconds, times] = questions(&[("shop", "order"), ("shop", "a.b"), ("dev", "order")].into(), WINDOW);
    assert_eq!(
        rates,
        "sum by (service) (rate(traces_spanmetrics_latency_count{service=~\"a\\\\.b|order\", \
         span_kind=~\"SPAN_KIND_SERVER|SPAN_KIND_CONSUMER\"}[30s])) or sum by (namespace, service) \
         (rate(http_server_request_duration_seconds_count{namespace=~\"dev|shop\", service=~\"a\\\\.b|order\"}[30s]))"
    );
    assert!(seconds.contains("latency_sum{") && seconds.contains("seconds_sum{"), "{seconds}");
    assert!(times.starts_with("max by (service) (timestamp(traces_spanmetrics_latency_count{"), "{times}");
    for hostile in ["\"} or vector(1) or x{a=\"", "\\", "a\nb", "(", "a|b", "{$"] {
        for question in questions(&[("shop", hostile)].into(), WINDOW) {
            let selectors = slo::promql::selectors(&question).unwrap_or_else(|e| panic!("{question}: {e}"));
            assert_eq!(selectors.len(), 2, "{question}");
        }
    }
}

#[test]
fn spans_come_before_the_histogram_and_each_namespace_has_its_own() {
    let spans = [("service", "order")];
    let [shop, dev] = ["shop", "dev"].map(|namespace| [("namespace", namespace), ("service", "user")]);
    let rates = [series(&spans, 20.0), series(&shop, 5.0), series(&dev, 1.0)];
    let seconds = [series(&spans, 0.5), series(&shop, 0.25)];
    let times = [series(&spans, 100.0), series(&shop, 101.5), series(&dev, 102.0)];
    let demands = Demands { metrics: demands([&rates, &seconds, &times], WINDOW), ..Demands::default() };
    let order = demands.of("shop", "order").unwrap();
    assert_eq!((order.served, order.asked, order.whole_seconds, order.at_ms), (20.0, 20.0, Some(0.025), 100_000));
    assert_eq!((order.front, order.own_seconds), (None, None));
    assert_eq!(demands.of("shop", "user").map(|user| user.served), Some(5.0));
    assert_eq!(demands.of("dev", "user").map(|user| (user.served, user.whole_seconds)), Some((1.0, None)));
    assert_eq!(demands.of("prod", "user"), None);
}

#[test]
fn what_has_no_time_or_is_no_amount_is_not_there() {
    let order = [("service", "order")];
    assert!(demands([&[series(&order, 1.0)], &[], &[]], WINDOW).is_empty());
    assert!(demands([&[series(&order, f64::NAN)], &[], &[series(&order, 1.0)]], WINDOW).is_empty());
    let idle = demands([&[series(&order, 0.0)], &[series(&order, 0.0)], &[series(&order, 1.0)]], WINDOW);
    assert_eq!(idle[&(None, "order".to_owned())].whole_seconds, None);
}

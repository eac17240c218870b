//! How late and how smooth readings are.

use std::sync::Arc;

use super::*;
use crate::replay::tests::graph;

const SCRAPED: Way = Way::Scraped { every: Duration::from_secs(1), window: Duration::from_secs(10) };

/// Runs a meter over a load for each second, and gives what it says of the first pod at each.
fn said(way: Way, rates: impl Iterator<Item = f64>) -> Vec<Option<PodSample>> {
    let mut simulation = Simulation::new(Arc::new(graph()), 1, 1000);
    let mut meter = Meter::new(way, 0, 0, std::iter::empty());
    let mut samples = Vec::new();
    rates
        .map(|rate| {
            meter.read(&simulation);
            meter.cpu(&simulation, &mut samples);
            let sample = samples.first().cloned();
            simulation.step(rate);
            sample
        })
        .collect()
}

#[test]
fn what_is_scraped_each_second_is_a_second_old_and_as_smooth_as_its_window() {
    let said = said(SCRAPED, (0..60).map(|second| if second < 30 { 0.0 } else { 20.0 }));
    assert!(said[0].is_none(), "one reading makes no rate");
    let millis: Vec<i64> = said.iter().map(|sample| sample.as_ref().map_or(-1, |s| s.millis)).collect();
    assert_eq!((millis[1], millis[30]), (0, 0));
    // 20 a second of 10 ms: 200 millicores once the window is full of it, half of them half way.
    assert!((80..=120).contains(&millis[35]) && (180..=220).contains(&millis[41]), "{millis:?}");
    assert!(said[59].as_ref().is_some_and(|sample| sample.at_ms == 59_000));
}

#[test]
fn metrics_server_knows_what_kubelets_measured_half_a_minute_ago() {
    let said = said(Way::MetricsServer, (0..240).map(|second| if second < 120 { 0.0 } else { 20.0 }));
    let first = said.iter().position(Option::is_some).unwrap();
    assert!((15..=30).contains(&first), "two measurements are asked for first: {first}");
    let noticed = said.iter().position(|sample| sample.as_ref().is_some_and(|s| s.millis > 0)).unwrap();
    let whole = said.iter().position(|sample| sample.as_ref().is_some_and(|s| s.millis > 170)).unwrap();
    assert!((121..=145).contains(&noticed) && (130..=165).contains(&whole), "{noticed} {whole}");
    let ages: Vec<i64> =
        (60..240).map(|second| second * 1000 - said[second as usize].as_ref().unwrap().at_ms).collect();
    assert!(*ages.iter().max().unwrap() <= 25_000, "{ages:?}");
    assert!(said[200].as_ref().is_some_and(|sample| (10..=20).contains(&sample.window.as_secs())));
}

#[test]
fn a_query_is_answered_by_what_was_scraped_last() {
    let mut simulation = Simulation::new(Arc::new(graph()), 1, 1000);
    let asked = [Metric::Requests { service: 0, window: Duration::from_secs(10) }, Metric::UnderWay { service: 0 }];
    let mut meter = Meter::new(SCRAPED, 0, 0, asked.into_iter());
    for _ in 0..120 {
        meter.read(&simulation);
        simulation.step(20.0);
    }
    let [requests, under_way] = asked.map(|metric| meter.number(metric, simulation.now_ms()).unwrap());
    assert!((15.0..25.0).contains(&requests.0) && requests.1 == 119_000, "{requests:?}");
    // 20 a second, for 11 ms each.
    assert!((0.1..1.0).contains(&under_way.0) && under_way.1 == 119_000, "{under_way:?}");
    assert_eq!(meter.number(Metric::UnderWay { service: 1 }, 0), None);
}

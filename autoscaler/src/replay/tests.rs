//! Replays of a small shop: contenders do what they are known to do, and the same setup gives the same bytes.

use std::time::Duration;

use cluster::simulated::{Call, Graph, Journey, Life, STEP_MS, Service};
use cluster::{Resources, WorkloadKind, WorkloadRef};
use protocol::quantity::Quantity;

use super::*;
use crate::planner::observation::Startup;

/// One service, `web`: 10 ms of CPU a request, half a core, most of which is requested.
pub fn graph() -> Graph {
    let visit = Journey { name: "visit".to_owned(), share: 1.0, requests: vec![Call::to("web", 5.0)] };
    Graph::new(vec![service("web", 0.01)], vec![visit]).unwrap()
}

/// A service whose replicas have half a core and take four seconds to start.
pub fn service(name: &str, cpu_seconds: f64) -> Service {
    let life = Life {
        start_seconds: 2.0,
        ready_seconds: 2.0,
        jitter: 0.25,
        warm_up_seconds: 0.0,
        warm_up_factor: 1.0,
        end_seconds: 5.0,
    };
    Service {
        workload: WorkloadRef { kind: WorkloadKind::Deployment, namespace: "shop".to_owned(), name: name.to_owned() },
        resources: Resources {
            cpu_request: Some(Quantity::from_millis(400)),
            cpu_limit: Some(Quantity::from_millis(500)),
            ..Resources::default()
        },
        cpu_seconds,
        variation: 0.2,
        other_seconds: 0.001,
        workers: 2,
        in_flight_max: 128,
        patience_seconds: 2.0,
        idle_cores: 0.0,
        replicas: 1,
        life,
    }
}

pub fn policies(spec: &str) -> PolicySet {
    let text = format!(
        "apiVersion: plimsoll.dev/v1alpha1\nkind: ScalingPolicy\nmetadata: {{name: web, namespace: shop}}\nspec:\n  \
         target: {{kind: Deployment, name: web}}\n  replicas: {{min: 1, max: 10}}\n{spec}"
    );
    crate::policy::from_documents(protocol::yaml::split(std::path::Path::new("web.yaml"), &text)).unwrap()
}

const CPU: &str = "  signals: [{utilization: {resource: cpu, target: 80%}}]\n";

fn setup(trace: &str, peak: f64) -> Setup {
    Setup {
        graph: Arc::new(graph()),
        policies: policies(CPU),
        trace: Trace::profile(trace).unwrap().with_peak(peak),
        begins_ms: BEGINS_MS_DEFAULT,
        objective: Objective { quantile: 0.99, below_seconds: 0.25, availability: 0.999 },
        cadence: Cadence {
            interval: Duration::from_secs(2),
            scrape: Duration::from_secs(1),
            rate_window: Duration::from_secs(10),
            startup: Startup::default(),
        },
        against: Baseline::ALL.map(|(_, baseline)| baseline).to_vec(),
        seeds: 2,
        grid: false,
        step_ms: STEP_MS,
    }
}

fn quietly(setup: &Setup) -> Outcome {
    run(setup, &|_, _| ()).unwrap()
}

fn of<'a>(outcome: &'a Outcome, name: &str) -> &'a ContenderReport {
    outcome.report.contenders.iter().find(|contender| contender.name == name).unwrap()
}

#[test]
fn at_three_times_the_load_the_live_loop_is_there_before_hpa() {
    let outcome = quietly(&Setup { seeds: 4, ..setup("step3x", 120.0) });
    let (ours, hpa, fixed) = (of(&outcome, "plimsoll"), of(&outcome, "hpa"), of(&outcome, "static"));
    assert!(ours.recovery_s.mean < hpa.recovery_s.mean, "{}", outcome.table());
    assert!(ours.slo_missing_minutes.mean <= hpa.slo_missing_minutes.mean, "{}", outcome.table());
    assert_eq!((fixed.changes.mean, fixed.slo_missing_minutes.mean), (0.0, 0.0), "{}", outcome.table());
    assert!(hpa.changes.mean >= 8.0, "up and down four times: {}", outcome.table());
    assert!(fixed.cpu_hours.mean > ours.cpu_hours.mean, "{}", outcome.table());
    assert_eq!(outcome.minutes, 120.0);
    assert_eq!(outcome.moments.iter().map(Vec::len).collect::<Vec<_>>(), [120; 4]);
}

const DEMAND: &str = "  objective: {latency: {quantile: 0.99, below: 250ms}}\n  signals: [{demand: {}}]\n  \
                      behavior: {scaleDown: {stabilizationWindowSeconds: 20}}\n";

#[test]
fn sized_by_demand_a_constant_load_costs_no_more_than_a_tuned_hpa_and_noise_changes_little() {
    let mut setup =
        Setup { policies: policies(DEMAND), against: vec![Baseline::Hpa], grid: true, ..setup("constant", 60.0) };
    let outcome = quietly(&setup);
    let (ours, hpa) = (of(&outcome, "plimsoll"), of(&outcome, "hpa"));
    assert!(ours.cpu_hours.mean <= hpa.cpu_hours.mean * 1.01, "{}", outcome.table());
    assert_eq!((ours.changes.mean, ours.slo_missing_minutes.mean), (0.0, 0.0), "{}", outcome.table());
    (setup.trace, setup.grid, setup.against) = (Trace::profile("noisy").unwrap().with_peak(60.0), false, Vec::new());
    let noisy = quietly(&setup);
    assert!(of(&noisy, "plimsoll").changes.mean <= 20.0, "four hours: {}", noisy.table());
}

#[test]
fn a_constant_load_changes_nothing() {
    let mut setup = setup("constant", 60.0);
    setup.trace = setup.trace.compressed(4.0);
    let outcome = quietly(&setup);
    for contender in &outcome.report.contenders {
        assert!(contender.changes.mean <= 2.0, "{}", outcome.table());
        assert_eq!(contender.slo_missing_minutes.mean, 0.0, "{}", outcome.table());
    }
}

#[test]
fn the_same_setup_gives_the_same_bytes() {
    let mut setup = setup("noisy", 100.0);
    setup.trace = setup.trace.compressed(12.0);
    setup.grid = true;
    let text = |setup: &Setup| {
        let outcome = quietly(setup);
        (serde_json::to_string(&outcome.report).unwrap(), outcome.table(), picture::svg(&outcome))
    };
    assert_eq!(text(&setup), text(&setup));
}

#[test]
fn the_report_has_the_promised_shape() {
    let mut setup = setup("step3x", 60.0);
    setup.against = vec![Baseline::Hpa];
    setup.trace = setup.trace.compressed(8.0);
    let json: serde_json::Value = serde_json::to_value(quietly(&setup).report).unwrap();
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&json), ["contenders", "seeds", "trace"]);
    let contender = &json["contenders"][1];
    assert_eq!(contender["name"], "hpa");
    assert_eq!(keys(contender), ["changes", "cpu_hours", "name", "p99_ms", "recovery_s", "slo_missing_minutes"]);
    assert_eq!(keys(&contender["p99_ms"]), ["ci95", "mean"]);
    assert!(contender["cpu_hours"]["mean"].is_number() && contender["cpu_hours"]["ci95"].is_number());
}

#[test]
fn a_grid_finds_better_settings_than_the_defaults_and_tells_progress() {
    let mut setup = setup("diurnal", 150.0);
    setup.trace = setup.trace.compressed(48.0);
    (setup.against, setup.seeds) = (vec![Baseline::Hpa], 1);
    let plain = quietly(&setup);
    setup.grid = true;
    let told = Mutex::new(Vec::new());
    let tuned = run(&setup, &|done, all| told.lock().push((done, all))).unwrap();
    assert_eq!(plain.settings[1], Baseline::Hpa.settings());
    let told = told.into_inner();
    assert_eq!((told.len(), told.last().unwrap().1), (44, 44), "42 settings and 2 runs");
    assert_eq!(tuned.minutes, 30.0, "the second half");
    assert_ne!(tuned.settings[1], plain.settings[1], "{}", tuned.table());
}

#[test]
fn a_query_of_requests_is_answered_and_any_other_refused_with_the_remedy() {
    let with = |promql: &str| Setup {
        policies: policies(&format!("  signals: [{{query: {{promql: '{promql}', perReplica: 25}}}}]\n")),
        against: Vec::new(),
        seeds: 1,
        ..setup("step3x", 60.0)
    };
    let promql = r#"sum(rate( http_server_request_duration_seconds_count{namespace="shop", service="web"}[10s] ))"#;
    let outcome = quietly(&with(promql));
    let replicas: Vec<f64> = outcome.moments[0].iter().map(|moment| moment.replicas).collect();
    assert!(replicas.contains(&1.0) && replicas.contains(&3.0), "20 and 60 a second: {replicas:?}");
    for promql in
        ["sum(rate(orders_total[1m]))", r#"sum(rate(http_server_request_duration_seconds_count{service="x"}[1m]))"#]
    {
        let said = run(&with(promql), &|_, _| ()).unwrap_err().to_string();
        assert!(said.contains("policy shop/web") && said.contains("expected sum(rate("), "{said}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let says = |change: fn(&mut Setup)| {
        let mut setup = setup("constant", 10.0);
        change(&mut setup);
        run(&setup, &|_, _| ()).unwrap_err().to_string()
    };
    assert_eq!(says(|s| s.seeds = 0), "0 seeds, expected 1 to 100");
    assert_eq!(says(|s| s.policies = PolicySet::default()), "there is no policy, so nothing would be steered");
    let short = says(|s| s.trace = s.trace.clone().compressed(1000.0));
    assert_eq!(short, "the trace is 14 s long, expected at least 180 s; compress it less");
    assert_eq!(time("2024-01-01T00:00:00Z"), Ok(BEGINS_MS_DEFAULT));
    assert!(time("monday").unwrap_err().contains("expected one with its zone"));
    let memory = says(|s| s.policies = policies("  signals: [{utilization: {resource: memory, target: 50%}}]\n"));
    assert!(memory.contains("memory is not simulated"), "{memory}");
}

//! The unit tests of policies: the example with every field, each wrong file with its exact message, the shop's own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::scaling::Mode;
use protocol::yaml::split;

use super::*;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    files
}

fn read(text: &str) -> Result<PolicySet, String> {
    from_documents(split(Path::new("policy.yaml"), text)).map_err(|e| e.to_string())
}

const SMALL: &str = "apiVersion: plimsoll.dev/v1alpha1\nkind: ScalingPolicy\nmetadata: {name: order}\n\
                     spec:\n  target: {kind: Deployment, name: order}\n  replicas: {max: 4}\n";

#[test]
fn the_example_lists_the_defaults() {
    let set = load(&[folder("tests/policies/all-fields.yaml")]).unwrap();
    let policy = &set[0];
    assert_eq!(policy.mode, Mode::Auto);
    assert_eq!(policy.bounds, Bounds { min: 1, max: 12 });
    let defaults = Behavior { up: ScalingRules::up_default(), down: ScalingRules::down_default() };
    assert_eq!(policy.behavior.as_ref(), Some(&defaults));
    assert!(policy.signals.iter().all(|s| s.max_age == MAX_AGE_DEFAULT));
    let names: Vec<&str> = policy.signals.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "cpu utilization",
            "memory utilization of order",
            "requests per second",
            "sum(orders_waiting)",
            "demand",
            "upstream",
            "parcels",
            "orders to work off",
            "a / 2",
            "office hours"
        ]
    );
    let (cpu, memory) = (AmountBounds { min: 50, max: 1000 }, AmountBounds { min: 64 << 20, max: 512 << 20 });
    let memory = AmountBounds { min: memory.min * 1000, max: memory.max * 1000 };
    let container = Some("order".to_owned());
    let resources = ResourcePolicy { cpu: Some(cpu), memory: Some(memory), container, apply: Apply::InPlace };
    assert_eq!(policy.resources, Some(resources));
    assert_eq!(policy.fallback, Some(Fallback { after_missing: Duration::from_secs(180), replicas: 3 }));
}

#[test]
fn a_size_has_its_defaults_and_the_policys_objective() {
    let sized = "  objective: {latency: {quantile: 0.99, below: 250ms}}\n  signals: [demand: {}, upstream: {}]\n";
    let set = read(&format!("{SMALL}{sized}")).unwrap();
    let latency = LatencyObjective { quantile: 0.99, below: Duration::from_millis(250) };
    let sizing = Sizing { latency, utilization_max: 0.8, workers: None, variability: 1.0 };
    assert_eq!(set[0].service, "order");
    assert_eq!(set[0].objective, Objective { latency: Some(latency), availability: None });
    let aims: Vec<&Aim> = set[0].signals.iter().map(|s| &s.aim).collect();
    assert_eq!(aims, [&Aim::Demand(sizing), &Aim::Upstream(sizing)]);
    let example = load(&[folder("tests/policies/all-fields.yaml")]).unwrap();
    assert!(example[0].objective.availability.is_some_and(|share| (share - 0.999).abs() < 1e-12));
}

#[test]
fn what_is_left_out_has_hpas_defaults() {
    let set = read(SMALL).unwrap();
    let policy = &set[0];
    assert_eq!((policy.mode, policy.bounds.min, policy.behavior.is_none()), (Mode::Auto, 1, true));
    assert_eq!(policy.name.namespace, "default");
    assert_eq!(policy.tolerance(), Tolerance { up: 0.1, down: 0.1 });
    assert!(matches!(policy.signals[0].aim, Aim::Utilization { resource: Resource::Cpu, percent: 80, .. }));

    let set = read(&format!("{SMALL}  behavior: {{scaleDown: {{stabilizationWindowSeconds: 20}}}}\n")).unwrap();
    let behavior = set[0].behavior.as_ref().unwrap();
    assert_eq!(behavior.up, ScalingRules::up_default());
    assert_eq!(behavior.down, ScalingRules { window: Duration::from_secs(20), ..ScalingRules::down_default() });
}

/// The first line of each file is `# expect: ` and the message, as it reads from the file's own folder.
#[test]
fn wrong_files_get_their_exact_message() {
    let files = yaml_files(&folder("tests/policies/bad"));
    assert!(files.len() >= 80, "only {} wrong files", files.len());
    let mut wrong = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let expected = text.lines().next().unwrap().strip_prefix("# expect: ").expect("a first line");
        let name = Path::new(file.file_name().unwrap());
        let found = from_documents(split(name, &text)).map_or_else(|e| e.to_string(), |_| "it is right".to_owned());
        if found != expected {
            wrong.push(format!("expected {expected}\n   found {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_shops_policies_are_right() {
    let set = load(&yaml_files(&folder("../k8s/shop/policies"))).unwrap();
    let targets: Vec<&str> = set.iter().map(|p| p.target.name.as_str()).collect();
    assert_eq!(targets, ["gateway", "order", "product", "search", "user"]);
    for policy in set.iter() {
        assert_eq!((policy.target.namespace.as_str(), policy.mode), ("shop", Mode::Auto));
        assert!((4..=6).contains(&policy.bounds.max), "{}", policy.target);
    }
}

#[test]
fn shares_are_the_numbers_that_hpa_computes_with() {
    for (text, share) in [("0.1", 0.1), ("0.3", 0.300_000_000_000_000_04), ("100m", 0.1), ("0", 0.0), ("1", 1.0)] {
        assert_eq!(raw::Share::parse(text).map(|s| s.0), Some(share), "{text}");
    }
    for text in ["", ".", "-0.1", "1e-1", "0.1%", "1.2.3"] {
        assert!(raw::Share::parse(text).is_none(), "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn reading_never_panics(text in "[a-z:{}\\[\\]0-9%. \n-]{0,120}") {
        let _ = read(&text);
        let _ = read(&format!("{SMALL}{text}"));
    }
}

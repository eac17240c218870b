//! What can be done in place, case by case: containers are written as `name cpuRequest/cpuLimit memoryRequest/memoryLimit`.

use protocol::quantity::Quantity;

use super::{Nodes, Part, Planned, Role, Room, Shape, Step, out_of_reach, step};
use crate::Resources;

fn resources(text: &str) -> Resources {
    let mut amounts = text.split([' ', '/']).map(|amount| Quantity::parse(amount).ok());
    let mut next = || amounts.next().unwrap();
    let (cpu_request, cpu_limit, memory_request, memory_limit) = (next(), next(), next(), next());
    Resources { cpu_request, cpu_limit, memory_request, memory_limit }
}

fn part(text: &str) -> Part {
    let (name, rest) = text.split_once(' ').unwrap();
    let (name, role) = match name.split_once(':') {
        Some((name, "sidecar")) => (name, Role::Sidecar),
        Some((name, _)) => (name, Role::Init),
        None => (name, Role::Main),
    };
    let (restarts, rest) = rest.strip_prefix("restarts ").map_or((false, rest), |rest| (true, rest));
    Part { name: name.into(), role, resources: resources(rest), cpu_restarts: false, memory_restarts: restarts }
}

fn shape(parts: &[&str]) -> Shape {
    Shape { parts: parts.iter().map(|text| part(text)).collect(), whole: None }
}

fn planned(text: &str) -> Planned {
    text.split(", ").map(part).map(|part| (part.name.into(), part.resources)).collect()
}

fn outcome(parts: &[&str], plan: &str) -> String {
    let room = |cpu, memory| Room { cpu: Quantity::parse(cpu).unwrap(), memory: Quantity::parse(memory).unwrap() };
    match step(&shape(parts), &planned(plan), Nodes::Any(&[room("2", "4Gi"), room("1", "8Gi")])) {
        Step::Nothing => "nothing".to_owned(),
        Step::Patch(changes) => {
            let told: Vec<String> = changes
                .iter()
                .map(|change| format!("{} {:?} {}", change.container, change.role, change.resources))
                .collect();
            told.join("; ")
        }
        Step::Refused(reason) => reason,
    }
}

#[test]
fn plans_the_expected_step() {
    for (parts, plan, expected) in [
        (&["a 100m/- 64Mi/-"][..], "a 100m/- 64Mi/-", "nothing"),
        (&["a 100m/- 64Mi/-"], "a 200m/- 64Mi/-", "a Main cpu 200m up to none, memory 64Mi up to none"),
        (
            &["a 100m/- 64Mi/-", "b 1/1 1Gi/1Gi"],
            "a 50m/100m 64Mi/-",
            "a Main cpu 50m up to 100m, memory 64Mi up to none",
        ),
        // A request that is not written is the limit.
        (&["a 100m/100m 1Gi/1Gi"], "a -/200m 1Gi/1Gi", "a Main cpu 200m up to 200m, memory 1Gi up to 1Gi"),
        (
            &["a 100m/- 64Mi/-", "s:sidecar 10m/- 8Mi/-"],
            "s 20m/- 8Mi/-",
            "s Sidecar cpu 20m up to none, memory 8Mi up to none",
        ),
        // What is meant for pods of another template.
        (&["a 100m/- 64Mi/-"], "a 100m/- 64Mi/-, x 1/- 1Gi/-", "nothing"),
        (&["a 100m/- 64Mi/-", "i:init 1/- 1Gi/-"], "i 2/- 1Gi/-", "nothing"),
        (&["a 100m/- 64Mi/-"], "a 300m/200m 64Mi/-", "the cpu request 300m is more than its limit 200m"),
        (
            &["a 100m/200m 64Mi/-"],
            "a 100m/- 64Mi/-",
            "the CPU limit of a, 200m, cannot be taken away in place; only a rolling update can do that",
        ),
        (
            &["a restarts 100m/- 64Mi/128Mi"],
            "a 200m/- 64Mi/128Mi",
            "a Main cpu 200m up to none, memory 64Mi up to 128Mi",
        ),
        (
            &["a restarts 100m/- 64Mi/128Mi"],
            "a 200m/- 64Mi/64Mi",
            "a has to restart to get other memory (resizePolicy RestartContainer); only a rolling update can do that",
        ),
        (
            &["a 100m/200m 64Mi/128Mi"],
            "a 200m/200m 128Mi/128Mi",
            "its QoS class would change from Burstable to Guaranteed; only a rolling update can do that",
        ),
        (
            &["a 100m/200m 64Mi/128Mi", "b 10m/- 8Mi/-"],
            "a 200m/200m 128Mi/128Mi",
            "a Main cpu 200m up to 200m, memory 128Mi up to 128Mi",
        ),
        (
            &["a -/- -/-"],
            "a 100m/- -/-",
            "its QoS class would change from BestEffort to Burstable; only a rolling update can do that",
        ),
        (&["a 1/- 1Gi/-", "b 900m/- 1Gi/-"], "a 1100m/- 1Gi/-", "a Main cpu 1100m up to none, memory 1Gi up to none"),
        (
            &["a 1/- 1Gi/-", "b 900m/- 1Gi/-"],
            "a 1200m/- 1Gi/-",
            "no node is large enough for a pod that requests cpu 2100m and memory 2Gi: the most a node has is cpu 2 and memory 8Gi",
        ),
        (
            &["a 1500m/- 1Gi/-"],
            "a 1500m/- 6Gi/-",
            "no node is large enough for a pod that requests cpu 1500m and memory 6Gi: the most a node has is cpu 2 and memory 8Gi",
        ),
        // What is too large already may still shrink.
        (&["a 9/- 1Gi/-"], "a 8/- 1Gi/-", "a Main cpu 8 up to none, memory 1Gi up to none"),
    ] {
        assert_eq!(outcome(parts, plan), expected, "{parts:?} to {plan}");
    }
}

#[test]
fn containers_out_of_reach_are_named_with_those_that_there_are() {
    let shape = shape(&["a 100m/- 64Mi/-", "i:init 1/- 1Gi/-"]);
    let reasons = ["a", "i", "x"].map(|name| out_of_reach(&shape, name).unwrap_or_default());
    let init = "i is an init container, whose resources cannot be changed in place";
    assert_eq!(reasons, ["", init, "it has no container \"x\", only a, i"]);
}

#[test]
fn where_nodes_are_not_known_the_api_server_decides() {
    let step = step(&shape(&["a 1/- 1Gi/-"]), &planned("a 100/- 1Gi/-"), Nodes::Any(&[]));
    assert!(matches!(step, Step::Patch(_)), "{step:?}");
}

#[test]
fn a_pod_stays_on_its_node() {
    let own = Nodes::Own(Room { cpu: Quantity::parse("1").unwrap(), memory: Quantity::parse("2Gi").unwrap() });
    let shape = shape(&["a 100m/- 1Gi/-"]);
    assert!(matches!(step(&shape, &planned("a 1/- 2Gi/-"), own), Step::Patch(_)));
    let refused = Step::Refused(
        "it would request cpu 1100m and memory 1Gi, and the node it is on has cpu 1 and memory 2Gi in all; only a rolling update \
         can do that"
            .to_owned(),
    );
    assert_eq!(step(&shape, &planned("a 1100m/- 1Gi/-"), own), refused);
}

#[test]
fn a_pod_with_resources_of_its_own_keeps_its_class() {
    let whole = Some(resources("1/2 1Gi/2Gi"));
    let shape = Shape { whole, ..shape(&["a 100m/200m 64Mi/128Mi"]) };
    let step = step(&shape, &planned("a 200m/200m 128Mi/128Mi"), Nodes::Any(&[]));
    assert!(matches!(step, Step::Patch(_)), "{step:?}");
}

//! The demo shop as a graph to be simulated: replicas, resources and work from its manifests, shares of journeys from its
//! shoppers, and who calls whom as `demo-services` does, request by request.

use std::collections::BTreeMap;

use cluster::simulated::{Call, Graph, GraphError, Journey, Life, Service};
use cluster::{Resources, WorkloadKind, WorkloadRef};
use demo_services::shoppers::JourneyKind;
use protocol::quantity::Quantity;
use protocol::yaml::{Document, DocumentError};
use serde::Deserialize;

/// The name of the manifest that says how much CPU a request burns.
const WORK: &str = "work-ms";

/// CPU seconds of a request beside that: the shop's services answer 2,000 requests a second on 2 cores without it, each of which
/// makes one or two calls more.
const OVERHEAD_SECONDS: f64 = 0.0004;

/// CPU seconds of checking a password: argon2id with 19 MiB and 2 iterations.
const PASSWORD_SECONDS: f64 = 0.020;

/// Work differs by a fifth up and down, evenly (`chassis::work`): a coefficient of variation of 0.2 / sqrt(3).
const VARIATION: f64 = 0.115;

/// Seconds that a request waits for its store and the network between two replicas of one machine.
const OTHER_SECONDS: f64 = 0.001;

/// Requests that burn at the same time in a replica (`chassis::work`).
const WORKERS: u32 = 2;

/// Requests that a replica has under way (`chassis::config`), and the front door.
const IN_FLIGHT_MAX: u32 = 128;
const IN_FLIGHT_MAX_GATEWAY: u32 = 576;

/// Cores of a replica that is asked nothing: scraped each second, its stores looked after.
const IDLE_CORES: f64 = 0.005;

/// Seconds that callers wait: usually (`chassis::peer`), for an order, for parts of a page that may be missing, and customers.
const TIMEOUT: f64 = 2.0;
const ORDER_TIMEOUT: f64 = 5.0;
const PART_TIMEOUT: f64 = 0.5;
const CUSTOMER_TIMEOUT: f64 = 5.0;

/// Seconds for which an ending replica is kept (`preStop` in the manifests).
const END_SECONDS: f64 = 5.0;

/// How far start-up times differ.
const START_JITTER: f64 = 0.25;

/// How much more CPU a request costs while a replica warms up.
const WARM_UP_FACTOR: f64 = 2.0;

/// How replicas of all services start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// From the wish until it is ready.
    pub start_up_seconds: f64,
    /// From there until it is as fast as it gets.
    pub warm_up_seconds: f64,
}

/// Why there is no graph.
#[derive(Debug, thiserror::Error)]
pub(super) enum ShopError {
    #[error(transparent)]
    Document(#[from] DocumentError),
    #[error("the shop's manifests and its journeys do not fit: {0}")]
    Graph(#[from] GraphError),
}

/// The shop's graph.
pub(super) fn graph(documents: &[Document], pace: Pace) -> Result<Graph, ShopError> {
    let mut work = BTreeMap::new();
    let mut services = Vec::new();
    for document in documents {
        let object: RawObject = document.parse()?;
        match object.kind.as_str() {
            "ConfigMap" if object.metadata.name == WORK => {
                for (service, text) in object.data {
                    let millis: f64 =
                        text.parse().ok().filter(|millis| (0.0..=10_000.0).contains(millis)).ok_or_else(|| {
                            document
                                .error(&format!("data.{service}"), &format!("{text:?} is no number of milliseconds"))
                        })?;
                    work.insert(service, millis / 1000.0);
                }
            }
            "Deployment" => services.push(service(document, object, pace)?),
            _ => {}
        }
    }
    for service in &mut services {
        service.cpu_seconds += work.get(&service.workload.name).copied().unwrap_or_default();
    }
    Ok(Graph::new(services, journeys(&work))?)
}

fn service(document: &Document, object: RawObject, pace: Pace) -> Result<Service, DocumentError> {
    let RawMetadata { name, namespace } = object.metadata;
    let namespace = namespace.unwrap_or_else(|| "default".to_owned());
    let RawSpec { replicas, template } = object.spec;
    let container = template.spec.containers.into_iter().next();
    let container = container.ok_or_else(|| document.error("spec.template.spec.containers", "has none"))?;
    let RawResources { requests, limits } = container.resources;
    let is_gateway = name == "gateway";
    Ok(Service {
        resources: Resources {
            cpu_request: requests.cpu,
            cpu_limit: limits.cpu,
            memory_request: requests.memory,
            memory_limit: limits.memory,
        },
        cpu_seconds: OVERHEAD_SECONDS,
        variation: VARIATION,
        other_seconds: OTHER_SECONDS,
        workers: WORKERS,
        in_flight_max: if is_gateway { IN_FLIGHT_MAX_GATEWAY } else { IN_FLIGHT_MAX },
        patience_seconds: if is_gateway || name == "order" { ORDER_TIMEOUT } else { TIMEOUT },
        idle_cores: IDLE_CORES,
        replicas: replicas.unwrap_or(1),
        life: Life {
            // Half of it to be placed and started, half until the probe has seen that it is ready.
            start_seconds: pace.start_up_seconds / 2.0,
            ready_seconds: pace.start_up_seconds / 2.0,
            jitter: START_JITTER,
            warm_up_seconds: pace.warm_up_seconds,
            warm_up_factor: WARM_UP_FACTOR,
            end_seconds: END_SECONDS,
        },
        workload: WorkloadRef { kind: WorkloadKind::Deployment, namespace, name },
    })
}

/// What customers do, in the words of `shoppers::journey`.
fn journeys(work: &BTreeMap<String, f64>) -> Vec<Journey> {
    let requests = |kind: JourneyKind| match kind {
        // The categories, one of them, a product.
        JourneyKind::Browse => vec![door(vec![part("product")]), door(vec![part("product")]), view()],
        JourneyKind::Search => vec![door(vec![part("search")]), view()],
        JourneyKind::SignIn => vec![door(vec![password(work)]), door(vec![part("user")])],
        JourneyKind::Checkout => vec![door(vec![part("product")]), view(), place_order(), door(vec![order()])],
        JourneyKind::Track => vec![door(vec![order()]), door(vec![order()]), door(vec![part("notification")])],
    };
    let journey =
        |(kind, share): (JourneyKind, f64)| Journey { name: kind.name().to_owned(), share, requests: requests(kind) };
    JourneyKind::SHARES.into_iter().map(journey).collect()
}

/// A request at the front door that makes these calls at the same time.
fn door(calls: Vec<Call>) -> Call {
    Call { then: vec![calls], ..Call::to("gateway", CUSTOMER_TIMEOUT) }
}

fn part(service: &str) -> Call {
    Call::to(service, TIMEOUT)
}

fn order() -> Call {
    Call::to("order", ORDER_TIMEOUT)
}

/// The product page: the product, and what else answers in time.
fn view() -> Call {
    let optional = |service| Call { needed: false, ..Call::to(service, PART_TIMEOUT) };
    door(vec![part("product"), optional("inventory"), optional("review"), optional("recommendation")])
}

fn password(work: &BTreeMap<String, f64>) -> Call {
    let usual = work.get("user").copied().unwrap_or_default() + OVERHEAD_SECONDS;
    Call { cpu_seconds: Some(usual + PASSWORD_SECONDS), ..part("user") }
}

/// Prices of one to three products, then reserve, charge, commit; notification hears twice of it, recommendation once.
fn place_order() -> Call {
    let price = |share| Call { share, ..part("product") };
    door(vec![Call {
        then: vec![
            vec![price(1.0), price(2.0 / 3.0), price(1.0 / 3.0)],
            vec![part("inventory")],
            vec![part("payment")],
            vec![part("inventory")],
        ],
        later: vec![part("notification"), part("notification"), part("recommendation")],
        ..order()
    }])
}

/// As much of any manifest as is asked for here; `cluster::local` checks the rest.
#[derive(Deserialize)]
struct RawObject {
    kind: String,
    metadata: RawMetadata,
    #[serde(default)]
    spec: RawSpec,
    #[serde(default)]
    data: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct RawMetadata {
    name: String,
    namespace: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawSpec {
    replicas: Option<u32>,
    template: RawTemplate,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawTemplate {
    spec: RawPod,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawPod {
    containers: Vec<RawContainer>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawContainer {
    resources: RawResources,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawResources {
    requests: RawAmounts,
    limits: RawAmounts,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawAmounts {
    cpu: Option<Quantity>,
    memory: Option<Quantity>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_graph_is_the_shops() {
        let pace = Pace { start_up_seconds: 4.0, warm_up_seconds: 0.0 };
        let graph = graph(&crate::manifests::shop(None).unwrap(), pace).unwrap();
        let mut names: Vec<&str> = graph.services().map(|service| service.workload.name.as_str()).collect();
        let mut expected = demo_services::service::NAMES.to_vec();
        names.sort_unstable();
        expected.sort_unstable();
        assert_eq!(names, expected);
        let visits = |name: &str| graph.visits(graph.named(name).unwrap());
        // Requests at the front door: 3, 2, 2, 4 and 3 of the five journeys, in their shares.
        assert!((visits("gateway") - 2.83).abs() < 1e-9, "{}", visits("gateway"));
        assert!((visits("order") - 0.46).abs() < 1e-9, "{}", visits("order"));
        assert!((visits("product") - 2.15).abs() < 1e-9, "{}", visits("product"));
        assert!((visits("payment") - 0.15).abs() < 1e-9, "{}", visits("payment"));
        assert!((visits("notification") - 0.38).abs() < 1e-9, "{}", visits("notification"));
        // 250m at 12.4 ms a request.
        let order = graph.capacity(graph.named("order").unwrap());
        assert!((order - 0.245 / 0.0124).abs() < 1e-9, "{order}");
    }

    #[test]
    fn the_built_in_policies_all_steer_services_of_the_graph() {
        let pace = Pace { start_up_seconds: 4.0, warm_up_seconds: 0.0 };
        let graph = graph(&crate::manifests::shop(None).unwrap(), pace).unwrap();
        let policies = autoscaler::policy::from_documents(crate::manifests::policies(None).unwrap()).unwrap();
        assert!(policies.iter().all(|policy| graph.find(&policy.target).is_some()));
    }
}

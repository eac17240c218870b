//! What is simulated: services, what their replicas can do, and who calls whom for which journey. Written as trees of calls
//! (`Call`), checked once and laid out flat (`Graph`), callers before those they call. Holds no state.

use super::station::Station;
use crate::{Resources, WorkloadRef};

/// Length of a period of the kernel's CPU quota (`cpu.cfs_period_us`, as every kubelet sets it).
const QUOTA_PERIOD_SECONDS: f64 = 0.1;

/// A service and what one replica of it can do.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// The workload that runs it; calls name it by the workload's name.
    pub workload: WorkloadRef,
    /// What its one container has.
    pub resources: Resources,
    /// CPU seconds of a request, where the call does not say otherwise.
    pub cpu_seconds: f64,
    /// Coefficient of variation of a call's CPU seconds, 0 to 1.
    pub variation: f64,
    /// Seconds of a request in which nothing is computed: its store, the network.
    pub other_seconds: f64,
    /// Requests that compute at the same time.
    pub workers: u32,
    /// Requests that a replica has under way at most; it refuses the others.
    pub in_flight_max: u32,
    /// Seconds after which a request that waits for its turn is given up: its caller has.
    pub patience_seconds: f64,
    /// Cores that a replica uses without any request.
    pub idle_cores: f64,
    /// Replicas at the start.
    pub replicas: u32,
    /// How a replica starts and ends.
    pub life: Life,
}

/// How a replica starts and ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Life {
    /// Seconds from the wish to the start of the container: scheduling, image, sandbox.
    pub start_seconds: f64,
    /// Seconds from there until it is ready: its own start and the readiness probe.
    pub ready_seconds: f64,
    /// Both are so much longer or shorter at most, as a share.
    pub jitter: f64,
    /// Seconds after it became ready in which each request costs more CPU.
    pub warm_up_seconds: f64,
    /// How many times as much: at least 1.
    pub warm_up_factor: f64,
    /// Seconds from the wish until it is gone, in which it serves no more.
    pub end_seconds: f64,
}

/// One call, with those it makes in turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The service called.
    pub service: String,
    /// How likely it is made, above 0 up to 1; a call made twice is written twice.
    pub share: f64,
    /// CPU seconds, where they are not the service's usual ones.
    pub cpu_seconds: Option<f64>,
    /// Seconds until the caller gives it up.
    pub timeout_seconds: f64,
    /// Whether the caller fails without it.
    pub needed: bool,
    /// Calls one after the other, each entry at the same time.
    pub then: Vec<Vec<Call>>,
    /// Calls for which nobody waits, such as events.
    pub later: Vec<Call>,
}

impl Call {
    /// A call that its caller needs, and that calls nobody.
    pub fn to(service: &str, timeout_seconds: f64) -> Self {
        Self {
            service: service.to_owned(),
            share: 1.0,
            cpu_seconds: None,
            timeout_seconds,
            needed: true,
            then: Vec::new(),
            later: Vec::new(),
        }
    }
}

/// What a customer does.
#[derive(Debug, Clone, PartialEq)]
pub struct Journey {
    /// Such as `checkout`.
    pub name: String,
    /// Share of customers.
    pub share: f64,
    /// Its requests to the front door.
    pub requests: Vec<Call>,
}

/// Why a graph cannot be simulated.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum GraphError {
    /// A call to nobody.
    #[error("{journey} calls {service}, which is no service of the graph")]
    NoSuchService {
        /// The journey.
        journey: String,
        /// Who is called.
        service: String,
    },
    /// Two services of one name.
    #[error("there are two services called {service}")]
    Twice {
        /// Their name.
        service: String,
    },
    /// Services that call each other.
    #[error("{service} calls itself in the end, which cannot be simulated")]
    Circle {
        /// One of them.
        service: String,
    },
    /// A number that cannot be.
    #[error("{what} is {value}, expected {expected}")]
    Range {
        /// What it is.
        what: String,
        /// What it was.
        value: f64,
        /// What it may be.
        expected: &'static str,
    },
    /// Nothing to do.
    #[error("the graph has no request")]
    Empty,
}

/// A call in its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub service: usize,
    pub parent: Option<usize>,
    pub share: f64,
    pub cpu_seconds: f64,
    pub timeout_seconds: f64,
    pub needed: bool,
    /// Calls one after the other, each entry at the same time.
    pub then: Vec<Vec<usize>>,
}

/// A request at the front door.
#[derive(Debug, Clone, Copy)]
pub(super) struct Root {
    pub node: usize,
    pub journey: usize,
}

/// A service with what follows from its numbers.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub service: Service,
    /// Its calls, by position.
    pub nodes: Vec<usize>,
    /// Mean CPU seconds of a request, over all calls.
    pub cpu_seconds: f64,
    /// Cores of a replica.
    pub cores: f64,
    /// Services that call it.
    pub callers: Vec<usize>,
    pub station: Station,
}

/// A checked graph.
#[derive(Debug, Clone)]
pub struct Graph {
    pub(super) places: Vec<Place>,
    pub(super) nodes: Vec<Node>,
    pub(super) roots: Vec<Root>,
    pub(super) journeys: Vec<Journey>,
    /// Services, callers first.
    pub(super) order: Vec<usize>,
    /// Requests to each service for one journey.
    visits: Vec<f64>,
}

impl Graph {
    /// Checks a graph.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(services: Vec<Service>, journeys: Vec<Journey>) -> Result<Self, GraphError> {
        for (index, service) in services.iter().enumerate() {
            check(service)?;
            let name = &service.workload.name;
            if services[..index].iter().any(|other| other.workload.name == *name) {
                return Err(GraphError::Twice { service: name.clone() });
            }
        }
        let mut layout = Layout { services: &services, nodes: Vec::new(), roots: Vec::new() };
        for (index, journey) in journeys.iter().enumerate() {
            range(&format!("the share of {}", journey.name), journey.share, 0.0, 1.0, "0 to 1")?;
            for request in &journey.requests {
                let node = layout.add(&journey.name, request, None)?;
                layout.roots.push(Root { node, journey: index });
            }
        }
        let Layout { nodes, roots, .. } = layout;
        if roots.is_empty() {
            return Err(GraphError::Empty);
        }
        let rates = rates(&nodes, &roots, &journeys);
        let visits = (0..services.len()).map(|s| sum(&nodes, &rates, |node| node.service == s)).collect();
        let places: Vec<Place> =
            services.into_iter().enumerate().map(|(index, service)| place(index, service, &nodes, &rates)).collect();
        let order = callers_first(&places)?;
        Ok(Self { places, nodes, roots, journeys, order, visits })
    }

    /// Its services, in the order in which they are numbered everywhere.
    pub fn services(&self) -> impl ExactSizeIterator<Item = &Service> {
        self.places.iter().map(|place| &place.service)
    }

    /// Whether it has the services and the calls of another one.
    pub(super) fn is_shaped_as(&self, other: &Self) -> bool {
        let calls = |graph: &Self| graph.nodes.iter().map(|node| (node.service, node.parent)).collect::<Vec<_>>();
        self.services().map(|service| &service.workload).eq(other.services().map(|service| &service.workload))
            && calls(self) == calls(other)
            && self.roots.len() == other.roots.len()
            && self.journeys.len() == other.journeys.len()
    }

    /// The number of a workload's service.
    pub fn find(&self, workload: &WorkloadRef) -> Option<usize> {
        self.places.iter().position(|place| place.service.workload == *workload)
    }

    /// The number of the service with this name.
    pub fn named(&self, name: &str) -> Option<usize> {
        self.places.iter().position(|place| place.service.workload.name == name)
    }

    /// Requests to a service for one journey at the front door, while nothing fails.
    pub fn visits(&self, service: usize) -> f64 {
        self.visits[service]
    }

    /// Requests a second that one warm replica of a service can serve.
    pub fn capacity(&self, service: usize) -> f64 {
        self.places[service].capacity()
    }
}

impl Place {
    /// Requests a second that one warm replica can serve.
    pub fn capacity(&self) -> f64 {
        (self.cores - self.service.idle_cores).max(f64::MIN_POSITIVE) / self.cpu_seconds
    }

    /// How long a warm replica that does nothing else takes for so much CPU time: all of it on one core while the period's quota
    /// lasts, and what is beyond at the limit.
    pub fn alone_seconds(&self, cpu_seconds: f64) -> f64 {
        let quota = self.cores * QUOTA_PERIOD_SECONDS;
        let speed = self.cores.min(1.0);
        cpu_seconds.min(quota) + (cpu_seconds - quota).max(0.0) / speed
    }
}

struct Layout<'a> {
    services: &'a [Service],
    nodes: Vec<Node>,
    roots: Vec<Root>,
}

impl Layout<'_> {
    fn add(&mut self, journey: &str, call: &Call, parent: Option<usize>) -> Result<usize, GraphError> {
        let service =
            self.services.iter().position(|s| s.workload.name == call.service).ok_or_else(|| {
                GraphError::NoSuchService { journey: journey.to_owned(), service: call.service.clone() }
            })?;
        let cpu_seconds = call.cpu_seconds.unwrap_or(self.services[service].cpu_seconds);
        let named = |what: &str| format!("the {what} of {journey}'s call to {}", call.service);
        range(&named("share"), call.share, f64::MIN_POSITIVE, 1.0, "more than 0 and at most 1")?;
        range(&named("CPU time"), cpu_seconds, 1e-6, 1e3, "a microsecond to 1000 s")?;
        range(&named("timeout"), call.timeout_seconds, 1e-3, 1e4, "a millisecond to 10000 s")?;
        let index = self.nodes.len();
        self.nodes.push(Node {
            service,
            parent,
            share: call.share,
            cpu_seconds,
            timeout_seconds: call.timeout_seconds,
            needed: call.needed,
            then: Vec::new(),
        });
        let mut then = Vec::with_capacity(call.then.len());
        for stage in &call.then {
            let together: Result<Vec<usize>, GraphError> =
                stage.iter().map(|next| self.add(journey, next, Some(index))).collect();
            then.push(together?);
        }
        for later in &call.later {
            self.add(journey, later, Some(index))?;
        }
        self.nodes[index].then = then;
        Ok(index)
    }
}

fn check(service: &Service) -> Result<(), GraphError> {
    let Service { workload, life, .. } = service;
    let named = |what: &str| format!("{what} of {}", workload.name);
    let seconds = "0 to 100000 s";
    range(&named("the CPU time of a request"), service.cpu_seconds, 1e-6, 1e3, "a microsecond to 1000 s")?;
    range(&named("the variation"), service.variation, 0.0, 1.0, "0 to 1")?;
    range(&named("the other time of a request"), service.other_seconds, 0.0, 1e3, "0 to 1000 s")?;
    range(&named("the patience"), service.patience_seconds, 1e-3, 1e4, "a millisecond to 10000 s")?;
    range(&named("the idle CPU"), service.idle_cores, 0.0, cores(service) * 0.9, "at most 90 % of the cores")?;
    range(&named("the start"), life.start_seconds, 0.0, 1e5, seconds)?;
    range(&named("the time until ready"), life.ready_seconds, 0.0, 1e5, seconds)?;
    range(&named("the jitter"), life.jitter, 0.0, 1.0, "0 to 1")?;
    range(&named("the warm-up"), life.warm_up_seconds, 0.0, 1e5, seconds)?;
    range(&named("the warm-up's factor"), life.warm_up_factor, 1.0, 100.0, "1 to 100")?;
    range(&named("the end"), life.end_seconds, 0.0, 1e5, seconds)?;
    range(&named("the requests under way"), f64::from(service.in_flight_max), 1.0, 1e9, "at least 1")
}

fn range(what: &str, value: f64, least: f64, most: f64, expected: &'static str) -> Result<(), GraphError> {
    if value >= least && value <= most {
        return Ok(());
    }
    Err(GraphError::Range { what: what.to_owned(), value, expected })
}

/// The cores that a replica may use: those of its limit, as far as its workers can; without a limit one for each worker.
fn cores(service: &Service) -> f64 {
    let most = f64::from(service.workers.max(1));
    service.resources.cpu_limit.map_or(most, |limit| limit.as_f64().clamp(0.001, most))
}

/// Calls for one journey, node by node; parents stand before their children.
fn rates(nodes: &[Node], roots: &[Root], journeys: &[Journey]) -> Vec<f64> {
    let mut rates = vec![0.0; nodes.len()];
    for root in roots {
        rates[root.node] = journeys[root.journey].share;
    }
    for (index, node) in nodes.iter().enumerate() {
        let before = node.parent.map_or(rates[index], |parent| rates[parent]);
        rates[index] = before * node.share;
    }
    rates
}

fn sum(nodes: &[Node], rates: &[f64], counts: impl Fn(&Node) -> bool) -> f64 {
    nodes.iter().zip(rates).filter(|(node, _)| counts(node)).map(|(_, rate)| rate).sum()
}

fn place(index: usize, service: Service, nodes: &[Node], rates: &[f64]) -> Place {
    let mine: Vec<usize> = (0..nodes.len()).filter(|node| nodes[*node].service == index).collect();
    let total: f64 = mine.iter().map(|node| rates[*node]).sum();
    let mean = |value: &dyn Fn(f64) -> f64| {
        mine.iter().map(|node| rates[*node] * value(nodes[*node].cpu_seconds)).sum::<f64>() / total
    };
    let (cpu_seconds, variation_squared) = if total > 0.0 {
        let first = mean(&|cpu| cpu);
        let second = mean(&|cpu| cpu * cpu * (1.0 + service.variation * service.variation));
        (first, (second / (first * first) - 1.0).max(0.0))
    } else {
        (service.cpu_seconds, service.variation * service.variation)
    };
    let cores = cores(&service);
    // As many servers as run at once; a quota below one core is one slow server.
    let servers = service.workers.min(cores.ceil() as u32);
    let mut callers: Vec<usize> =
        mine.iter().filter_map(|node| nodes[*node].parent.map(|parent| nodes[parent].service)).collect();
    callers.sort_unstable();
    callers.dedup();
    Place { station: Station::new(servers, variation_squared), service, nodes: mine, cpu_seconds, cores, callers }
}

/// Orders services so that whoever calls comes before whom it calls.
fn callers_first(places: &[Place]) -> Result<Vec<usize>, GraphError> {
    let mut order: Vec<usize> = Vec::with_capacity(places.len());
    while order.len() < places.len() {
        let next = (0..places.len())
            .find(|index| !order.contains(index) && places[*index].callers.iter().all(|c| order.contains(c)));
        match next {
            Some(index) => order.push(index),
            None => {
                let stuck = (0..places.len()).find(|index| !order.contains(index)).unwrap_or_default();
                return Err(GraphError::Circle { service: places[stuck].service.workload.name.clone() });
            }
        }
    }
    Ok(order)
}

#[cfg(test)]
pub(super) mod tests;

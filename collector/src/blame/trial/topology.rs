//! Services that call each other, in the shapes that systems have. For tests.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::blame::work::Text;

/// What a service does for one of its operations.
#[derive(Debug, Clone)]
pub struct Operation {
    pub service: Text,
    pub name: Text,
    pub own_ms: f64,
    /// Operation called, and whether the request can do without.
    pub calls: Vec<(usize, bool)>,
    /// A database asked, and how long it takes, milliseconds.
    pub database: Option<(Text, f64)>,
}

/// Services that call each other.
#[derive(Debug, Clone)]
pub struct Topology {
    pub name: String,
    pub operations: Vec<Operation>,
    /// Front door's operations with their shares of the traffic.
    pub entries: Vec<(usize, f64)>,
}

impl Topology {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), operations: Vec::new(), entries: Vec::new() }
    }

    fn add(&mut self, service: &str, own_ms: f64, calls: &[(usize, bool)]) -> usize {
        let name = format!("GET /{}", self.operations.len());
        let calls = calls.to_vec();
        self.operations.push(Operation { service: service.into(), name: name.into(), own_ms, calls, database: None });
        self.operations.len() - 1
    }

    fn with_database(&mut self, operation: usize, name: &str, ms: f64) {
        self.operations[operation].database = Some((name.into(), ms));
    }

    /// One after the other.
    pub fn chain(length: usize) -> Self {
        let mut topology = Self::new(&format!("chain of {length}"));
        let mut below: Vec<(usize, bool)> = Vec::new();
        for at in (0..length).rev() {
            let operation = topology.add(&format!("s{at}"), 4.0 + at as f64, &below);
            if at == length - 1 {
                topology.with_database(operation, "db", 3.0);
            }
            below = vec![(operation, false)];
        }
        topology.entries = vec![(length - 1, 1.0)];
        topology
    }

    /// One calls many; some it can do without.
    pub fn fan_out(width: usize) -> Self {
        let mut topology = Self::new(&format!("fan-out of {width}"));
        let leaves: Vec<(usize, bool)> = (0..width)
            .map(|at| (topology.add(&format!("leaf{at}"), 3.0 + 2.0 * at as f64, &[]), at % 3 == 2))
            .collect();
        topology.with_database(0, "db", 4.0);
        let front = topology.add("front", 5.0, &leaves);
        topology.entries = vec![(front, 1.0)];
        topology
    }

    /// Two ways to one.
    pub fn diamond() -> Self {
        let mut topology = Self::new("diamond");
        let bottom = topology.add("bottom", 6.0, &[]);
        topology.with_database(bottom, "db", 5.0);
        let left = topology.add("left", 4.0, &[(bottom, false)]);
        let right = topology.add("right", 9.0, &[(bottom, false)]);
        let top = topology.add("top", 3.0, &[(left, false), (right, false)]);
        let aside = topology.add("aside", 5.0, &[]);
        let other = topology.add("top", 3.0, &[(aside, false)]);
        topology.entries = vec![(top, 0.7), (other, 0.3)];
        topology
    }

    /// The demo's shop.
    pub fn shop() -> Self {
        let mut topology = Self::new("shop");
        let payment = topology.add("payment", 12.0, &[]);
        topology.with_database(payment, "payment-db", 2.0);
        let stock = topology.add("inventory", 4.0, &[]);
        let product = topology.add("product", 3.0, &[]);
        topology.with_database(product, "product-db", 2.0);
        let products = topology.add("product", 6.0, &[]);
        let search = topology.add("search", 9.0, &[]);
        let user = topology.add("user", 40.0, &[]);
        let review = topology.add("review", 3.0, &[]);
        let recommendation = topology.add("recommendation", 4.0, &[]);
        let notify = topology.add("notification", 3.0, &[]);
        let order = topology.add("order", 8.0, &[(product, false), (stock, false), (payment, false), (notify, true)]);
        let orders = topology.add("order", 3.0, &[]);
        let view =
            topology.add("gateway", 2.0, &[(product, false), (stock, true), (review, true), (recommendation, true)]);
        let browse = topology.add("gateway", 2.0, &[(products, false)]);
        let find = topology.add("gateway", 2.0, &[(search, false)]);
        let sign_in = topology.add("gateway", 2.0, &[(user, false)]);
        let checkout = topology.add("gateway", 2.0, &[(order, false)]);
        let track = topology.add("gateway", 2.0, &[(orders, false)]);
        topology.entries =
            vec![(view, 0.35), (browse, 0.25), (find, 0.12), (sign_in, 0.08), (checkout, 0.12), (track, 0.08)];
        topology
    }

    /// Services in layers that call some of the next layer.
    pub fn layers(seed: u64) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let mut topology = Self::new(&format!("layers {seed}"));
        let mut below: Vec<usize> = Vec::new();
        for layer in (0..4).rev() {
            let width = if layer == 0 { 2 } else { 4 };
            let layer: Vec<usize> = (0..width)
                .map(|at| {
                    let mut calls: Vec<(usize, bool)> = Vec::new();
                    for _ in 0..2 {
                        if let Some(callee) = below.get(dice.random_range(0..below.len().max(1)))
                            && calls.iter().all(|(known, _)| known != callee)
                        {
                            calls.push((*callee, dice.random::<f64>() < 0.2));
                        }
                    }
                    let own_ms = dice.random_range(2.0..15.0);
                    topology.add(&format!("l{layer}-{at}"), own_ms, &calls)
                })
                .collect();
            below = layer;
        }
        topology.with_database(0, "db", 3.0);
        topology.entries = below.iter().map(|entry| (*entry, 0.5)).collect();
        topology
    }

    /// Every service and database that traffic comes by, with the share of the traffic.
    pub fn reached(&self) -> BTreeMap<Text, f64> {
        let mut reached = BTreeMap::new();
        for (entry, share) in &self.entries {
            self.reach(*entry, *share, &mut reached);
        }
        reached
    }

    fn reach(&self, operation: usize, share: f64, reached: &mut BTreeMap<Text, f64>) {
        let operation = &self.operations[operation];
        *reached.entry(operation.service.clone()).or_default() += share;
        if let Some((database, _)) = &operation.database {
            *reached.entry(database.clone()).or_default() += share;
        }
        operation.calls.iter().for_each(|(callee, _)| self.reach(*callee, share, reached));
    }
}

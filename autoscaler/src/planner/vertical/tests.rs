//! The unit tests of vertical planning: workloads in virtual time that are given what is planned, and what must hold for every input.

mod properties;
mod workloads;

use protocol::scaling::ResourceRecord;

use self::seen::{ReplicaUse, Resizing};
use super::*;
use crate::planner::observation::Gap;
use crate::planner::tests::{observation, policy};

/// Monday, 2 January 2023, 00:00 UTC.
const MONDAY_MS: i64 = 1_672_617_600_000;

const MINUTE_MS: i64 = 60_000;

const HOUR_MS: i64 = 3_600_000;

const MIB: f64 = MEBIBYTE;

/// Replicas of one container that use what a test says.
struct Bench {
    policy: Policy,
    history: History,
    container: Container,
    gap: Option<Gap>,
    now_ms: i64,
    /// When something was changed, and to what.
    changes: Vec<(i64, ContainerAmounts)>,
    records: Vec<ResourceRecord>,
}

impl Bench {
    /// One replica whose requests are `cpu` cores and `memory` MiB, and whose limits are so many times that.
    fn new(resources: &str, (cpu, memory): (f64, f64), limits: Option<f64>) -> Self {
        let amounts = |value: f64| {
            let request = (value * 1000.0) as i64;
            Amounts { request: Some(request), limit: limits.map(|ratio| (request as f64 * ratio) as i64) }
        };
        let replica = ReplicaUse { pod: "order-0".to_owned(), warm: true, kills: Some(0), ..ReplicaUse::default() };
        Self {
            policy: policy(&format!("  replicas: {{max: 8}}\n  resources: {{{resources}}}\n")),
            history: History::default(),
            container: Container {
                name: "order".to_owned(),
                cpu: amounts(cpu),
                memory: amounts(memory * MIB),
                replicas: vec![replica],
                resizing: Resizing::Done,
            },
            gap: None,
            now_ms: MONDAY_MS,
            changes: Vec::new(),
            records: Vec::new(),
        }
    }

    fn cores(&self) -> f64 {
        self.container.cpu.request.unwrap() as f64 / 1000.0
    }

    fn cores_limit(&self) -> f64 {
        self.container.cpu.limit.unwrap() as f64 / 1000.0
    }

    fn mib(&self) -> f64 {
        self.container.memory.request.unwrap() as f64 / 1000.0 / MIB
    }

    fn mib_limit(&self) -> f64 {
        self.container.memory.limit.unwrap() as f64 / 1000.0 / MIB
    }

    /// What every replica uses now, in cores and MiB.
    fn uses(&mut self, cpu: f64, memory: f64) {
        let (now_ms, limit) = (self.now_ms, self.container.memory.limit);
        for replica in &mut self.container.replicas {
            (replica.cpu, replica.memory) = (Some((cpu, now_ms)), Some((memory * MIB, now_ms)));
            replica.memory_limit = limit.map(|millis| millis as f64 / 1000.0);
        }
    }

    fn replica(&mut self) -> &mut ReplicaUse {
        &mut self.container.replicas[0]
    }

    fn observed(&self) -> Observation {
        let containers = Containers { each: vec![self.container.clone()], gap: self.gap.clone() };
        Observation { containers: Some(containers), ..observation(self.now_ms, &[50]) }
    }

    /// Learns and plans; does not carry it out.
    fn plan(&mut self) -> ContainerPlan {
        let observed = self.observed();
        self.history.learn(&self.policy, &observed);
        let mut plans = plan(&self.policy, &observed, &self.history, Outcome::Hold);
        let plan = plans.pop().unwrap();
        self.records = plan.records.clone();
        plan
    }

    /// Learns, plans, carries it out, and lets time pass.
    fn tick(&mut self, passes_ms: i64) {
        let plan = self.plan();
        if let Some(amounts) = plan.write {
            (self.container.cpu, self.container.memory) = (amounts.cpu, amounts.memory);
            self.changes.push((self.now_ms, amounts));
        }
        self.now_ms += passes_ms;
    }

    fn record(&self, resource: &str) -> &ResourceRecord {
        self.records.iter().find(|record| record.resource == resource).unwrap()
    }

    /// The most changes within any 24 hours.
    fn changes_a_day(&self) -> usize {
        let within = |from: i64| self.changes.iter().filter(|(at, _)| (from..from + 24 * HOUR_MS).contains(at)).count();
        self.changes.iter().map(|(at, _)| within(*at)).max().unwrap_or(0)
    }
}

/// Hours since Monday began.
fn hour_of_week(now_ms: i64) -> i64 {
    (now_ms - MONDAY_MS).div_euclid(HOUR_MS) % 168
}

/// The wish as the record's own numbers say it; `None` if it contradicts itself.
fn recompute(record: &ResourceRecord) -> Option<f64> {
    let cheapest = record.models.iter().map(|model| model.cost).fold(f64::INFINITY, f64::min);
    let mut value = record.from?;
    if let Some(name) = &record.model {
        let model = record.models.iter().find(|model| model.model == *name)?;
        // The one before is kept while no other is cheaper by a tenth.
        if cheapest < model.cost * 0.9 - 1e-9 {
            return None;
        }
        value = model.wish;
    }
    for guard in &record.guards {
        if guard.before != value || (guard.before == guard.after && !guard.note.is_empty()) {
            return None;
        }
        value = guard.after;
    }
    Some(value)
}

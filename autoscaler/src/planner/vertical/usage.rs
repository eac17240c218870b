//! What is remembered of one resource of a container, of all its replicas together: a level for each quarter of an hour, how the models
//! would have done, and nothing else, so that it takes the same room however many replicas there are.

use super::histogram::Histogram;
use super::models::{Known, Model, Models, USAGE_HALF_LIFE_SLOTS};
use super::slots::{DAY, SLOT_MS, SLOTS, Slots, slot_of};
use crate::policy::Resource;

/// The level of a quarter of an hour of CPU: so large a share of readings lay below it.
const CPU_LEVEL: f64 = 0.9;

/// Slots beside the one that is under way whose highest memory says what is needed now: an hour.
const RECENT: usize = 4;

/// One resource of one container.
#[derive(Debug, Clone, PartialEq)]
pub struct Usage {
    resource: Resource,
    slots: Slots,
    decayed: Histogram,
    /// Weight, mean, and squares of the distances from it.
    moments: (f64, f64, f64),
    models: Models,
    weekly_peak: Option<f64>,
    open: Option<Open>,
}

/// The slot that is under way.
#[derive(Debug, Clone, PartialEq)]
struct Open {
    number: i64,
    highest: f64,
    /// Of CPU alone; of memory the highest is all.
    readings: Option<Histogram>,
}

impl Usage {
    /// Nothing seen yet.
    pub fn new(resource: Resource) -> Self {
        Self {
            resource,
            slots: Slots::default(),
            decayed: Histogram::new(smallest(resource)),
            moments: (0.0, 0.0, 0.0),
            models: Models::default(),
            weekly_peak: None,
            open: None,
        }
    }

    /// Takes in what one replica used, in cores or bytes. What is older than the slot that is under way comes too late.
    pub fn add(&mut self, at_ms: i64, amount: f64) {
        let number = slot_of(at_ms);
        if !(amount.is_finite() && amount >= 0.0) || self.slots.newest().is_some_and(|newest| number <= newest) {
            return;
        }
        if self.open.as_ref().is_some_and(|open| open.number < number)
            && let Some(open) = self.open.take()
        {
            self.pass(open.number, open.level());
        }
        let resource = self.resource;
        let readings = || (resource == Resource::Cpu).then(|| Histogram::new(smallest(resource)));
        let open = self.open.get_or_insert_with(|| Open { number, highest: 0.0, readings: readings() });
        if open.number == number {
            open.highest = open.highest.max(amount);
            if let Some(readings) = &mut open.readings {
                readings.add(amount, 1.0);
            }
        }
    }

    /// Begins anew with levels from elsewhere, by the number of their slots, oldest first. What is under way stays.
    pub fn restore(&mut self, levels: &[(i64, f64)]) {
        let open = self.open.take();
        *self = Self::new(self.resource);
        let until = open.as_ref().map_or(i64::MAX, |open| open.number);
        for (number, level) in levels.iter().filter(|(number, level)| *number < until && *level >= 0.0) {
            self.pass(*number, *level);
        }
        self.open = open;
    }

    /// Lets a slot pass.
    fn pass(&mut self, number: i64, level: f64) {
        let Some(gap) = self.slots.newest().map_or(Some(1), |newest| (number > newest).then(|| number - newest)) else {
            return;
        };
        let fade = libm::pow(0.5, gap as f64 / USAGE_HALF_LIFE_SLOTS);
        self.slots.push(number, level);
        self.decayed.fade(fade);
        self.decayed.add(level, 1.0);
        let (weight, mean, squares) = self.moments;
        let weight = weight * fade + 1.0;
        let apart = level - mean;
        let mean = mean + apart / weight;
        self.moments = (weight, mean, squares * fade + apart * (level - mean));
        let (slots, decayed) = (&self.slots, &self.decayed);
        let known = Known { slots, last: number, decayed, mean, variance: self.moments.2 / weight };
        self.models.pass(level, known);
        self.weekly_peak = match self.resource {
            Resource::Cpu => self.slots.highest_held(number, SLOTS),
            Resource::Memory => self.slots.highest(number, SLOTS),
        };
    }

    /// The model that is believed, and what it gives.
    pub fn believed(&self) -> Option<(Model, f64)> {
        self.models.believed()
    }

    /// What each model gives, and what that has cost.
    pub fn models(&self) -> impl Iterator<Item = (Model, f64, f64)> + '_ {
        let standing = Model::ALL.into_iter().zip(&self.models.standing);
        standing.filter_map(|(model, standing)| Some((model, standing.given?, standing.cost)))
    }

    /// The highest level of the eight days: of CPU one that was held for two slots, so that a start alone is not remembered.
    pub fn weekly_peak(&self) -> Option<f64> {
        self.weekly_peak
    }

    /// The most that was seen within the last hour.
    pub fn recent_peak(&self, now_ms: i64) -> Option<f64> {
        let closed = self.slots.highest(slot_of(now_ms), RECENT + 1);
        let since = slot_of(now_ms) - RECENT as i64;
        let open = self.open.as_ref().filter(|open| open.number >= since).map(|open| open.highest);
        closed.into_iter().chain(open).reduce(f64::max)
    }

    /// The most that was seen in this slot and the one before.
    pub fn latest_peak(&self, now_ms: i64) -> Option<f64> {
        let number = slot_of(now_ms);
        let open = self.open.as_ref().filter(|open| open.number >= number - 1).map(|open| open.highest);
        self.slots.highest(number, 2).into_iter().chain(open).reduce(f64::max)
    }

    /// Hours of the last day of which it is known what was used.
    pub fn hours_known(&self, now_ms: i64) -> f64 {
        // The slot under way has not passed yet, nor has the one before before something newer was read.
        self.slots.known(slot_of(now_ms) - 1, DAY + 1) as f64 * (SLOT_MS as f64 / 3_600_000.0)
    }
}

impl Open {
    fn level(&self) -> f64 {
        let level = self.readings.as_ref().and_then(|readings| readings.quantile(CPU_LEVEL));
        level.map_or(self.highest, |level| level.min(self.highest))
    }
}

/// A millicore, a megabyte.
fn smallest(resource: Resource) -> f64 {
    match resource {
        Resource::Cpu => 0.001,
        Resource::Memory => 1e6,
    }
}

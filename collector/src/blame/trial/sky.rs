//! How things are for all services of a world: more requests than usual, a slow machine, and services that turn requests away
//! in turn because of it. Seeded, without a clock. For tests.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::Topology;
use crate::blame::work::Text;

/// Seconds for which a service turns requests away at a time, and then a slow machine is slow.
const SPELL_S: std::ops::Range<i64> = 2..7;

/// Seconds between two spells of a slow machine.
const PAUSE_S: std::ops::Range<i64> = 3..10;

/// How things are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Weather {
    /// As usual.
    Fair,
    /// In a storm so many times the requests come, and services turn some away in turn.
    Surge(f64),
    /// In a storm everything takes so many times as long, and services turn requests away in turn.
    Starved(f64),
    /// All the time something else now and then takes the machine, and services turn requests away in turn.
    Busy,
}

/// A service that turns requests away.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Refusing {
    until: i64,
    /// This share of them.
    pub share: f64,
    /// After so many milliseconds.
    pub wait_ms: f64,
}

/// How things are in a second.
#[derive(Debug)]
pub struct Sky {
    weather: Weather,
    dice: StdRng,
    services: Vec<Text>,
    refusing: BTreeMap<Text, Refusing>,
    /// When the spell under way ends, and the next one begins.
    spell: (i64, i64),
    /// So many times the requests come.
    pub times: f64,
    /// Everything takes so many times as long.
    pub slow: f64,
}

impl Sky {
    pub fn new(weather: Weather, topology: &Topology, seed: u64) -> Self {
        let mut services: Vec<Text> = topology.operations.iter().map(|operation| operation.service.clone()).collect();
        services.sort();
        services.dedup();
        let dice = StdRng::seed_from_u64(seed ^ 0x5eed);
        Self { weather, dice, services, refusing: BTreeMap::new(), spell: (0, 0), times: 1.0, slow: 1.0 }
    }

    /// Goes on to this second.
    pub fn turn(&mut self, second: i64, is_stormy: bool) {
        self.refusing.retain(|_, refusing| refusing.until > second);
        (self.times, self.slow) = (1.0, 1.0);
        let (chance, share_max) = match self.weather {
            Weather::Surge(times) if is_stormy => {
                (self.times, self.slow) = (times, 1.0 + (times - 1.0) * 0.3);
                (0.1, 1.0 - 0.8 / times)
            }
            Weather::Starved(slow) if is_stormy => {
                self.slow = slow * self.dice.random_range(0.7..1.3);
                (0.1, 1.0 - 0.8 / slow)
            }
            Weather::Busy => {
                if second >= self.spell.1 {
                    let end = second + self.dice.random_range(SPELL_S);
                    self.spell = (end, end + self.dice.random_range(PAUSE_S));
                }
                let is_taken = second < self.spell.0;
                if is_taken {
                    self.slow = self.dice.random_range(1.5..3.0);
                }
                (if is_taken { 0.25 } else { 0.0 }, 0.3)
            }
            _ => return,
        };
        for service in &self.services {
            let (wants_to, share) = (self.dice.random::<f64>() < chance, self.dice.random::<f64>());
            let wait_ms = if self.dice.random::<bool>() { self.dice.random_range(100.0..600.0) } else { 0.5 };
            let until = second + self.dice.random_range(SPELL_S);
            if wants_to && !self.refusing.contains_key(service) {
                let share = 0.1 + share * (share_max - 0.1).max(0.0);
                self.refusing.insert(service.clone(), Refusing { until, share, wait_ms });
            }
        }
    }

    /// Whether a service turns requests away now.
    pub fn refusing(&self, service: &Text) -> Option<Refusing> {
        self.refusing.get(service).copied()
    }
}

//! How much of a resource was used in each quarter of an hour of the last eight days: a week, and the day that comes again. A number
//! for each; what nobody saw is not taken for nothing.

/// Length of a slot: long enough that a start or a collection of garbage is not what it is known by, short beside a peak.
pub const SLOT_MS: i64 = 15 * 60 * 1000;

/// Slots of a day.
pub const DAY: usize = 96;

/// Slots that are remembered: eight days, as Kubernetes' vertical pod autoscaler does.
pub const SLOTS: usize = 8 * DAY;

/// The number of the slot that a time is in.
pub fn slot_of(at_ms: i64) -> i64 {
    at_ms.div_euclid(SLOT_MS)
}

/// A level for each slot.
#[derive(Debug, Clone, PartialEq)]
pub struct Slots {
    /// By the slot's number, modulo their count; negative where nothing is known.
    levels: Box<[f32; SLOTS]>,
    newest: Option<i64>,
}

const UNKNOWN: f32 = -1.0;

impl Default for Slots {
    fn default() -> Self {
        Self { levels: Box::new([UNKNOWN; SLOTS]), newest: None }
    }
}

impl Slots {
    /// Takes in the level of a slot, which is newer than all before.
    pub fn push(&mut self, number: i64, level: f64) {
        let between = match self.newest {
            Some(newest) if number <= newest => return,
            Some(newest) => newest + 1..number,
            None => number..number,
        };
        // Of a gap of more than eight days everything is forgotten.
        for skipped in between.rev().take(SLOTS) {
            self.levels[place(skipped)] = UNKNOWN;
        }
        self.levels[place(number)] = level as f32;
        self.newest = Some(number);
    }

    /// The number of the newest slot.
    pub fn newest(&self) -> Option<i64> {
        self.newest
    }

    /// The levels of the `count` slots that end with slot `last`, the newest first; `None` where nothing is known.
    pub fn back(&self, last: i64, count: usize) -> impl Iterator<Item = Option<f64>> + '_ {
        let (newest, oldest) = self.newest.map_or((i64::MIN, i64::MAX), |newest| (newest, newest - SLOTS as i64));
        (0..count as i64).map(move |age| last - age).map(move |number| {
            let level = (number <= newest && number > oldest).then(|| self.levels[place(number)])?;
            (level >= 0.0).then_some(f64::from(level))
        })
    }

    /// The highest level of the `count` slots that end with `last`.
    pub fn highest(&self, last: i64, count: usize) -> Option<f64> {
        self.back(last, count).flatten().reduce(f64::max)
    }

    /// The highest level that was held for two slots one after the other.
    pub fn highest_held(&self, last: i64, count: usize) -> Option<f64> {
        let mut later = None;
        let mut highest: Option<f64> = None;
        for level in self.back(last, count) {
            if let (Some(one), Some(other)) = (later, level) {
                highest = Some(highest.unwrap_or(0.0).max(f64::min(one, other)));
            }
            later = level;
        }
        highest
    }

    /// How many of the `count` slots that end with `last` are known.
    pub fn known(&self, last: i64, count: usize) -> usize {
        self.back(last, count).flatten().count()
    }
}

fn place(number: i64) -> usize {
    number.rem_euclid(SLOTS as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_unknown_and_not_nothing() {
        let mut slots = Slots::default();
        assert_eq!((slots.highest(5, 10), slots.known(5, 10)), (None, 0));
        [(10, 1.0), (11, 3.0), (14, 2.0), (12, 9.0)].into_iter().for_each(|(number, level)| slots.push(number, level));
        let back: Vec<Option<f64>> = slots.back(14, 6).collect();
        assert_eq!(back, [Some(2.0), None, None, Some(3.0), Some(1.0), None], "what is older than the newest is late");
        assert_eq!((slots.highest(14, 6), slots.highest_held(14, 6), slots.known(14, 6)), (Some(3.0), Some(1.0), 3));
    }

    #[test]
    fn eight_days_are_remembered_and_no_more() {
        let mut slots = Slots::default();
        slots.push(0, 7.0);
        (1..SLOTS as i64).for_each(|number| slots.push(number, 1.0));
        assert_eq!(slots.highest(SLOTS as i64 - 1, SLOTS), Some(7.0));
        slots.push(SLOTS as i64, 1.0);
        assert_eq!(slots.highest(SLOTS as i64, 2 * SLOTS), Some(1.0));
        slots.push(10 * SLOTS as i64, 2.0);
        assert_eq!(slots.known(10 * SLOTS as i64, 2 * SLOTS), 1);
    }
}

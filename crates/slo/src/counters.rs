//! Bad and all events over every window at once, in a few additions a sample and 7 KB an objective: three rings of slots, the finer
//! for the short windows. A window ends at the newest sample. Where its beginning falls into a slot, the slot counts by the part of it
//! that is inside; where it falls between two, the number is exact. Reads no clock.

use std::time::Duration;

use crate::windows::Span;

/// Events of a length of time. Not whole numbers: Prometheus extrapolates increases to the ends of a window.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Events {
    /// Bad ones.
    pub bad: f64,
    /// All.
    pub total: f64,
}

impl Events {
    /// The share of bad ones; `None` where nothing happened.
    pub fn ratio(self) -> Option<f64> {
        (self.total > 0.0).then(|| (self.bad / self.total).clamp(0.0, 1.0))
    }
}

impl std::ops::AddAssign for Events {
    fn add_assign(&mut self, other: Self) {
        self.bad += other.bad;
        self.total += other.total;
    }
}

/// Slots of 1 minute: Prometheus' usual interval of rules, and at scrapes each 15 or 30 s long enough for a rate.
const FINE: (u64, usize) = (60, 360);

/// Slots of 15 minutes, a 96th of a day.
const MIDDLE: (u64, usize) = (900, 288);

/// Slots of the budget's window: 3 hours of 30 days.
const BUDGET_SLOTS: usize = 240;

/// The length of a sample: the finest slot.
pub const STEP: Duration = Duration::from_secs(FINE.0);

/// A ring's slots: how long each is, and how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Length of a slot.
    pub step: Duration,
    /// Slots.
    pub slots: usize,
}

/// The grids of an objective's counters, coarsest first: the order in which they are to be filled from a server's history.
pub fn grids(budget: Duration) -> [Grid; 3] {
    let grid = |(seconds, slots)| Grid { step: Duration::from_secs(seconds), slots };
    // Whole minutes, so that every sample ends where a slot may.
    let minutes = (budget.as_secs() / 60).div_ceil(BUDGET_SLOTS as u64);
    [grid((minutes * 60, BUDGET_SLOTS)), grid(MIDDLE), grid(FINE)]
}

/// The counters of one objective.
#[derive(Debug, Clone)]
pub struct Counters {
    rings: [Ring; 3],
}

impl Counters {
    /// Nothing counted yet.
    pub fn new(budget: Duration) -> Self {
        let [coarse, middle, fine] = grids(budget);
        let slots_of = |span: Span, grid: Grid| {
            usize::try_from(span.length(budget).as_secs().div_ceil(grid.step.as_secs())).unwrap_or(grid.slots)
        };
        let ring = |grid: Grid, spans: &[Span]| {
            let spans = spans.iter().map(|span| (*span, slots_of(*span, grid), Events::default())).collect();
            Ring { step_ms: millis(grid.step), slots: vec![Slot::default(); grid.slots], spans, ..Ring::default() }
        };
        let short = [Span::Minutes5, Span::Minutes30, Span::Hours1, Span::Hours2, Span::Hours6];
        Self { rings: [ring(coarse, &[Span::Budget]), ring(middle, &[Span::Days1, Span::Days3]), ring(fine, &short)] }
    }

    /// Counts the events of the time up to `at_ms`. What is known already, or older, changes nothing.
    pub fn add(&mut self, at_ms: i64, events: Events) {
        self.rings.iter_mut().for_each(|ring| ring.add(at_ms, events));
    }

    /// Fills one grid of [`grids`] alone, from a server's history: coarse ones first, then the fine one by [`Self::add`].
    pub fn fill(&mut self, grid: usize, at_ms: i64, events: Events) {
        if let Some(ring) = self.rings.get_mut(grid) {
            ring.add(at_ms, events);
        }
    }

    /// Milliseconds since the epoch up to which events were counted; `None` before the first.
    pub fn until_ms(&self) -> Option<i64> {
        self.rings[2].until_ms
    }

    /// The events of the window that ends with the newest sample.
    pub fn over(&self, span: Span) -> Events {
        let found = self.rings.iter().find_map(|ring| ring.over(span));
        found.unwrap_or_default()
    }

    /// Bytes of memory.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        let ring = |ring: &Ring| {
            ring.slots.capacity() * size_of::<Slot>() + ring.spans.capacity() * size_of::<(Span, usize, Events)>()
        };
        size_of::<Self>() + self.rings.iter().map(ring).sum::<usize>()
    }
}

/// Single precision: seven digits of a slot's events, at half the memory.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    bad: f32,
    total: f32,
}

impl Slot {
    fn events(self) -> Events {
        Events { bad: f64::from(self.bad), total: f64::from(self.total) }
    }
}

/// Closed slots, the one that is open, and for each window the sum of its closed slots.
#[derive(Debug, Clone, Default)]
struct Ring {
    step_ms: i64,
    slots: Vec<Slot>,
    /// A window, its length in slots, and the sum of as many closed ones.
    spans: Vec<(Span, usize, Events)>,
    open: Events,
    /// The number of the open slot, from the epoch; a slot holds what ends after its beginning and at its end.
    number: i64,
    until_ms: Option<i64>,
}

impl Ring {
    fn add(&mut self, at_ms: i64, events: Events) {
        if self.until_ms.is_some_and(|until_ms| at_ms <= until_ms) {
            return;
        }
        let number = (at_ms - 1).div_euclid(self.step_ms);
        if self.until_ms.is_none() {
            self.number = number;
        }
        // After a gap as long as the ring nothing of it counts any more.
        let gap = number - self.number;
        if gap > i64::try_from(self.slots.len()).unwrap_or(i64::MAX) {
            self.slots.fill(Slot::default());
            self.spans.iter_mut().for_each(|(_, _, sum)| *sum = Events::default());
            (self.open, self.number) = (Events::default(), number);
        }
        while self.number < number {
            self.close();
        }
        self.open += Events { bad: events.bad.max(0.0), total: events.total.max(0.0) };
        self.until_ms = Some(at_ms);
    }

    fn place(&self, number: i64) -> usize {
        let length = i64::try_from(self.slots.len()).unwrap_or(i64::MAX);
        usize::try_from(number.rem_euclid(length)).unwrap_or_default()
    }

    fn close(&mut self) {
        let slot = Slot { bad: self.open.bad as f32, total: self.open.total as f32 };
        let place = self.place(self.number);
        for (_, length, sum) in &mut self.spans {
            let leaves = (place + self.slots.len() - *length) % self.slots.len();
            let gone = self.slots[leaves].events();
            *sum += Events { bad: slot.events().bad - gone.bad, total: slot.events().total - gone.total };
        }
        self.slots[place] = slot;
        if place == 0 {
            // Once a round, so that what rounding leaves behind does not grow.
            for index in 0..self.spans.len() {
                let length = self.spans[index].1;
                let mut sum = Events::default();
                (0..length).for_each(|back| sum += self.slots[(self.slots.len() - back) % self.slots.len()].events());
                self.spans[index].2 = sum;
            }
        }
        self.number += 1;
        self.open = Events::default();
    }

    fn over(&self, span: Span) -> Option<Events> {
        let (_, length, sum) = self.spans.iter().find(|(s, ..)| *s == span)?;
        let until_ms = self.until_ms?;
        let into_slot = (until_ms - self.number * self.step_ms) as f64 / self.step_ms as f64;
        let length = i64::try_from(*length).unwrap_or(i64::MAX);
        let edge = self.slots[self.place(self.number - length)].events();
        Some(Events {
            bad: (sum.bad - into_slot * edge.bad + self.open.bad).max(0.0),
            total: (sum.total - into_slot * edge.total + self.open.total).max(0.0),
        })
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests;

//! Ways to say from what was used how much will be needed, and which of them would have cost least. Each is replayed on all that is
//! recorded, a quarter of an hour at a time: it says what it would give, and is charged for what was then used beyond that, for
//! what was left idle, and for each change. The cheapest is believed (K. Rzadca et al., "Autopilot: workload autoscaling at Google",
//! EuroSys 2020, section 3.2.2, from where the formula is; the weights are ours, as the paper names none).

use super::histogram::Histogram;
use super::slots::{DAY, SLOTS, Slots};

/// A quarter of an hour in which a core or a byte too few was given costs as much as so many in which one was idle.
const OVERRUN: f64 = 20.0;

/// A change costs as much as all that is given being idle for so many quarters of an hour.
const CHANGE: f64 = 4.0;

/// Nothing is changed for less than this share.
pub const DEADBAND: f64 = 0.1;

/// Costs so old count half: two days, so that a habit of a week is still judged by its last working day.
const HALF_LIFE_SLOTS: f64 = 2.0 * DAY as f64;

/// What is so old counts half in the decayed models: a day, as in Kubernetes' vertical pod autoscaler.
pub const USAGE_HALF_LIFE_SLOTS: f64 = DAY as f64;

/// Another model is believed only when it is cheaper by this share, so that two that are alike do not take turns.
const CHEAPER: f64 = 0.1;

/// A thousandth of a core, or of a byte: what uses nothing is not compared with nothing.
const SCALE_MIN: f64 = 0.001;

/// What a model sees.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Levels of the slots up to `last`.
    pub slots: &'a Slots,
    /// The newest slot.
    pub last: i64,
    /// Usage, decayed with a half-life of a day.
    pub decayed: &'a Histogram,
    /// Mean of the levels, decayed likewise.
    pub mean: f64,
    /// Their variance.
    pub variance: f64,
}

/// A model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// The decayed 90th percentile and 15 %: Kubernetes' vertical pod autoscaler.
    P90,
    /// The decayed 98th percentile and 10 %.
    P98,
    /// The decayed mean and three standard deviations (A. F. Baarzi and G. Kesidis, "SHOWAR", SoCC 2021), and at least 5 %.
    ThreeSigma,
    /// The highest level of a day, and 10 %: Autopilot's moving window.
    DayMax,
    /// The highest level of all eight days, and 5 %.
    WeekMax,
}

impl Model {
    /// All of them; the earlier is believed where two cost the same.
    pub const ALL: [Self; 5] = [Self::P90, Self::P98, Self::ThreeSigma, Self::DayMax, Self::WeekMax];

    /// What records call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::P90 => "p90",
            Self::P98 => "p98",
            Self::ThreeSigma => "threeSigma",
            Self::DayMax => "dayMax",
            Self::WeekMax => "weekMax",
        }
    }

    /// What it would give.
    pub fn wish(self, known: Known<'_>) -> Option<f64> {
        match self {
            Self::P90 => known.decayed.quantile(0.9).map(|amount| amount * 1.15),
            Self::P98 => known.decayed.quantile(0.98).map(|amount| amount * 1.1),
            Self::ThreeSigma => {
                let wish = known.mean + 3.0 * known.variance.max(0.0).sqrt();
                // What rises is not spread as noise is: no more than a bit above the highest that there was.
                let highest = known.slots.highest(known.last, SLOTS)?;
                Some(wish.max(known.mean * 1.05).min(highest * 1.15))
            }
            Self::DayMax => known.slots.highest(known.last, DAY).map(|amount| amount * 1.1),
            Self::WeekMax => known.slots.highest(known.last, SLOTS).map(|amount| amount * 1.05),
        }
    }
}

/// A model at work.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Standing {
    /// What it would have given by now: its wish, whenever that was off by more than the dead band.
    pub given: Option<f64>,
    /// What that has cost: on average over the slots, in shares of what is used on average.
    pub cost: f64,
    /// Weight of the slots behind it.
    weight: f64,
}

impl Standing {
    /// Charges for a slot in which `level` was used; `mean` is what is used on average.
    fn charge(&mut self, level: f64, mean: f64) {
        let Some(given) = self.given else { return };
        let scale = mean.max(SCALE_MIN);
        let price = (OVERRUN * (level - given).max(0.0) + (given - level).max(0.0)) / scale;
        let fade = libm::pow(0.5, 1.0 / HALF_LIFE_SLOTS);
        self.weight = self.weight * fade + 1.0;
        self.cost += (price - self.cost) / self.weight;
    }

    /// Takes in its wish, now that it knows the slot.
    fn take(&mut self, wish: Option<f64>) {
        let Some(wish) = wish.filter(|wish| wish.is_finite()) else { return };
        match self.given {
            Some(given) if (wish - given).abs() <= DEADBAND * given => {}
            before => {
                if before.is_some() && self.weight > 0.0 {
                    self.cost += CHANGE / self.weight;
                }
                self.given = Some(wish);
            }
        }
    }
}

/// All models, and which of them is believed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Models {
    /// In the order of [`Model::ALL`].
    pub standing: [Standing; Model::ALL.len()],
    believed: usize,
}

impl Models {
    /// Lets a slot pass.
    pub fn pass(&mut self, level: f64, known: Known<'_>) {
        for (standing, model) in self.standing.iter_mut().zip(Model::ALL) {
            standing.charge(level, known.mean);
            standing.take(model.wish(known));
        }
        let costs = self.standing.iter().enumerate();
        let cheapest = costs.reduce(|one, other| if other.1.cost < one.1.cost { other } else { one });
        if let Some((place, standing)) = cheapest
            && standing.cost < self.standing[self.believed].cost * (1.0 - CHEAPER)
        {
            self.believed = place;
        }
    }

    /// The model that is believed, and what it gives; `None` before the first slot has passed.
    pub fn believed(&self) -> Option<(Model, f64)> {
        Some((Model::ALL[self.believed], self.standing[self.believed].given?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_costs_more_than_too_much_and_a_change_costs_something() {
        let after = |given: f64, level: f64| {
            let mut standing = Standing { given: Some(given), ..Standing::default() };
            standing.charge(level, 1.0);
            standing.cost
        };
        assert!((after(1.0, 1.5) - 10.0).abs() < 1e-9 && (after(1.5, 1.0) - 0.5).abs() < 1e-9);
        let mut standing = Standing { given: Some(1.0), ..Standing::default() };
        standing.charge(1.0, 1.0);
        standing.take(Some(1.05));
        assert_eq!((standing.given, standing.cost), (Some(1.0), 0.0), "within the dead band nothing changes");
        standing.take(Some(2.0));
        assert_eq!((standing.given, standing.cost), (Some(2.0), CHANGE));
    }
}

//! When customers come and for what: a Poisson process whose rate follows the profile. Pure: seed in, arrivals out.
//! The method is thinning (Lewis and Shedler, 1979): candidates at the peak rate, each kept with the chance rate / peak.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::journey::JourneyKind;
use super::profile::Profile;

/// Journeys a second; one machine's shoppers manage no more.
pub const RATE_MAX: f64 = 10_000.0;

/// A customer's coming.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Since the beginning.
    pub at: Duration,
    pub kind: JourneyKind,
    /// Decides everything this customer chooses.
    pub seed: u64,
}

/// All arrivals in order.
#[derive(Debug)]
pub struct Arrivals {
    profile: Profile,
    rate: f64,
    peak: f64,
    end: f64,
    at: f64,
    dice: StdRng,
}

impl Arrivals {
    /// Arrivals until `duration` or the profile's own end, whichever is sooner.
    pub fn new(profile: Profile, rate: f64, duration: Option<Duration>, seed: u64) -> Self {
        let end = [duration, profile.length()].into_iter().flatten().min();
        let peak = profile.peak(rate);
        let end = end.map_or(f64::INFINITY, |end| end.as_secs_f64());
        Self { rate, peak, end, at: 0.0, dice: StdRng::seed_from_u64(seed), profile }
    }
}

impl Iterator for Arrivals {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        if self.peak <= 0.0 {
            return None;
        }
        loop {
            // 1 - [0, 1) is (0, 1]: its logarithm is finite.
            self.at -= (1.0 - self.dice.random::<f64>()).ln() / self.peak;
            if self.at >= self.end {
                return None;
            }
            let keep = self.dice.random::<f64>() * self.peak < self.profile.rate_at(self.at, self.rate);
            let (kind, seed) = (JourneyKind::pick(self.dice.random()), self.dice.random());
            if keep {
                return Some(Arrival { at: Duration::from_secs_f64(self.at), kind, seed });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::profile::Trace;
    use super::*;

    fn arrivals(profile: Profile, rate: f64, seconds: u64) -> Vec<Arrival> {
        Arrivals::new(profile, rate, Some(Duration::from_secs(seconds)), 7).collect()
    }

    #[test]
    fn as_many_come_as_the_profile_says_within_two_percent() {
        let trace = Trace::parse("t", "0,300\n40,100\n100,0\n200,0").unwrap();
        for (profile, expected) in [
            (Profile::Steady, 100.0 * 1200.0),
            (Profile::Wave, 62.5 * 1200.0),
            // 28 s at the height and twice 2 s at half of it in each 120 s.
            (Profile::FlashSale, 20.0 * 1200.0 + 80.0 * 28.0 * 10.0),
            (Profile::Trace(trace), 300.0 * 40.0 + 100.0 * 60.0),
        ] {
            let came = arrivals(profile.clone(), 100.0, 1200).len() as f64;
            assert!((came / expected - 1.0).abs() < 0.02, "{profile:?}: {came} instead of {expected}");
        }
    }

    #[test]
    fn gaps_are_those_of_a_poisson_process() {
        let came = arrivals(Profile::Steady, 50.0, 2000);
        let gaps: Vec<f64> = came.windows(2).map(|pair| (pair[1].at - pair[0].at).as_secs_f64()).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.03, "an exponential's deviation is its mean");
    }

    #[test]
    fn the_same_seed_makes_the_same_customers_and_another_others() {
        let come = |seed| Arrivals::new(Profile::Wave, 20.0, Some(Duration::from_secs(60)), seed).collect::<Vec<_>>();
        assert_eq!(come(1), come(1));
        assert_ne!(come(1), come(2));
    }

    #[test]
    fn journeys_have_their_shares() {
        let came = arrivals(Profile::Steady, 100.0, 1000);
        for (kind, share) in JourneyKind::SHARES {
            let count = came.iter().filter(|arrival| arrival.kind == kind).count() as f64;
            assert!((count / came.len() as f64 - share).abs() < 0.01, "{kind:?}");
        }
    }
}

//! Randomness that is the same on every machine: numbers follow from a key by integer arithmetic alone, and from numbers by
//! operations that IEEE 754 or `libm` fix to the last bit. No state is shared: whoever asks with the same key gets the same.

/// From this mean on a Poisson number is drawn from the normal distribution with its mean and variance.
const POISSON_SMALL: f64 = 30.0;

/// Uniform numbers whose sum has variance 1 and is normal enough for counts (Irwin and Hall).
const UNIFORMS_OF_A_NORMAL: usize = 12;

/// A stream of random numbers: SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    /// The stream of a key: a seed and what the numbers are for. Streams of different keys have nothing in common.
    pub fn of(key: [u64; 4]) -> Self {
        Self(key.into_iter().fold(0, |state, part| mix(state ^ part).wrapping_add(GOLDEN)))
    }

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        // The 53 highest bits: as many as an f64 holds.
        (mix(self.0) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// How many arrive where `mean` are expected.
    pub fn poisson(&mut self, mean: f64) -> f64 {
        if mean <= 0.0 {
            return 0.0;
        }
        if mean >= POISSON_SMALL {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0);
        }
        let (none, mut product, mut count) = (libm::exp(-mean), self.uniform(), 0.0);
        while product > none {
            product *= self.uniform();
            count += 1.0;
        }
        count
    }

    fn normal(&mut self) -> f64 {
        let sum: f64 = (0..UNIFORMS_OF_A_NORMAL).map(|_| self.uniform()).sum();
        sum - UNIFORMS_OF_A_NORMAL as f64 / 2.0
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_these_on_every_machine() {
        let mut dice = Dice::of([1, 2, 3, 4]);
        let numbers: Vec<u64> = (0..3).map(|_| dice.uniform().to_bits()).collect();
        assert_eq!(numbers, PINNED);
    }

    #[test]
    fn counts_have_the_mean_and_the_variance_of_poisson() {
        for mean in [0.3, 4.0, 29.0, 31.0, 500.0] {
            let rounds = 20_000u64;
            let counts: Vec<f64> = (0..rounds).map(|round| Dice::of([7, round, 0, 0]).poisson(mean)).collect();
            let found = counts.iter().sum::<f64>() / rounds as f64;
            let variance = counts.iter().map(|c| (c - found) * (c - found)).sum::<f64>() / rounds as f64;
            assert!((found / mean - 1.0).abs() < 0.03, "mean {found} of {mean}");
            assert!((variance / mean - 1.0).abs() < 0.06, "variance {variance} of {mean}");
        }
    }

    const PINNED: [u64; 3] = [0x3fd8_8f8d_e1d1_3098, 0x3fe7_ed92_0747_4bcc, 0x3fd9_e370_ac87_92aa];
}

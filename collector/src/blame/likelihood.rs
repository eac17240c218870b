//! How much likelier a count is under "something is wrong" than under "as usual". Pure.

/// From here on a count is no chance: as rare as one in 160,000 where all is well.
pub const SIGNIFICANT: f64 = 12.0;

/// Log-likelihood ratio of seeing `hits` among `count` at their own share against the `usual` share; 0 where the share
/// is not above the usual one.
pub fn ratio(hits: f64, count: f64, usual: f64) -> f64 {
    if count <= 0.0 || hits <= 0.0 {
        return 0.0;
    }
    let share = (hits / count).min(1.0);
    let usual = usual.clamp(1e-6, 1.0 - 1e-6);
    if share <= usual {
        return 0.0;
    }
    let misses = (count - hits).max(0.0);
    let miss_term = if misses > 0.0 { misses * ((1.0 - share) / (1.0 - usual)).ln() } else { 0.0 };
    hits * (share / usual).ln() + miss_term
}

/// A likelihood as a number from 0 to 1.
pub fn confidence(ratio: f64) -> f64 {
    1.0 - (-ratio / SIGNIFICANT).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_plain_failures_and_many_partial_ones_are_significant_and_the_usual_is_not() {
        let cases = [
            (3.0, 3.0, 0.002, true),
            (1.0, 1.0, 0.002, false),
            (5.0, 50.0, 0.002, true),
            (3.0, 300.0, 0.002, false),
            (30.0, 1_000.0, 0.03, false),
            (0.0, 100.0, 0.1, false),
            (0.0, 0.0, 0.1, false),
        ];
        for (hits, count, usual, expected) in cases {
            assert_eq!(ratio(hits, count, usual) >= SIGNIFICANT, expected, "{hits} of {count}, usually {usual}");
        }
    }
}

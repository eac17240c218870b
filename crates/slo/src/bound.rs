//! How sure one may be that a share is above a limit when there were few events: Clopper and Pearson's exact lower bound (C. J. Clopper
//! and E. S. Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial", Biometrika 26, 1934, pages
//! 404-413). It never claims more than its level, however few events there are, which Wilson's does: for a page that is what counts.

/// Whether the true share of bad events is above `limit`, at a level of `1 - alpha`: the lower bound is, exactly if so many bad
/// events or more would come with a probability below `alpha` at the limit itself.
pub fn is_above(bad: u64, total: u64, limit: f64, alpha: f64) -> bool {
    bad > 0 && bad as f64 > limit * total as f64 && tail(bad, total, limit) < alpha
}

/// The lower bound itself, 0 to 1, to a millionth.
#[cfg(test)]
fn lower(bad: u64, total: u64, alpha: f64) -> f64 {
    if bad == 0 || total == 0 {
        return 0.0;
    }
    let (mut below, mut above) = (0.0, bad as f64 / total as f64);
    // The tail grows with the share: halve until a millionth is left.
    while above - below > 1e-6 {
        let middle = f64::midpoint(below, above);
        if tail(bad, total, middle) < alpha { below = middle } else { above = middle }
    }
    below
}

/// The probability of `bad` or more of `total` at the share `p`. Terms are summed from `bad` upwards, where they shrink.
fn tail(bad: u64, total: u64, p: f64) -> f64 {
    let (k, n) = (bad.min(total), total);
    if k == 0 || p >= 1.0 {
        return 1.0;
    }
    if p <= 0.0 {
        return 0.0;
    }
    let mut term = (ln_choose(n, k) + k as f64 * p.ln() + (n - k) as f64 * (-p).ln_1p()).exp();
    let (odds, mut sum) = (p / (1.0 - p), 0.0);
    for i in k..=n {
        sum += term;
        if term < sum * 1e-12 {
            break;
        }
        term *= (n - i) as f64 / (i + 1) as f64 * odds;
    }
    sum.min(1.0)
}

fn ln_choose(n: u64, k: u64) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// Exact sums for small numbers, Stirling's series beyond: its error is below 1e-12 from 32 on.
fn ln_factorial(n: u64) -> f64 {
    if n < 32 {
        return (2..=n).map(|i| (i as f64).ln()).sum();
    }
    let x = n as f64;
    x * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI * x).ln() + 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3))
        + 1.0 / (1260.0 * x.powi(5))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What follows from the definition by hand: of n bad in n the bound is alpha to the power of 1/n, of 1 in n it is 1 - (1 - alpha)
    /// to the power of 1/n.
    #[test]
    fn equals_what_is_known() {
        for (n, alpha) in [(1u64, 0.05_f64), (10, 0.05), (100, 0.01), (1_000, 0.01)] {
            let all = alpha.powf(1.0 / n as f64);
            let one = 1.0 - (1.0 - alpha).powf(1.0 / n as f64);
            assert!((lower(n, n, alpha) - all).abs() < 2e-6, "{n} of {n}");
            assert!((lower(1, n, alpha) - one).abs() < 2e-6, "1 of {n}");
        }
    }

    #[test]
    fn the_tail_is_the_sum_of_the_terms() {
        let direct = |k: u64, n: u64, p: f64| -> f64 {
            (k..=n).map(|i| (ln_choose(n, i) + i as f64 * p.ln() + (n - i) as f64 * (1.0 - p).ln()).exp()).sum()
        };
        for (k, n, p) in [(3, 57, 0.0144), (40, 60, 0.5), (5, 5_000, 0.001), (1, 2, 0.9)] {
            assert!((tail(k, n, p) - direct(k, n, p)).abs() < 1e-9, "{k} {n} {p}");
        }
        assert_eq!((tail(0, 5, 0.5), tail(5, 5, 0.0), lower(0, 9, 0.05)), (1.0, 0.0, 0.0));
    }

    proptest::proptest! {
        #[test]
        fn being_above_is_the_bound_being_above(total in 1u64..2_000, part in 0.0f64..=1.0, limit in 0.0005f64..0.9) {
            let bad = (total as f64 * part) as u64;
            let bound = lower(bad, total, 0.01);
            proptest::prop_assume!((bound - limit).abs() > 1e-5);
            proptest::prop_assert_eq!(is_above(bad, total, limit, 0.01), bound > limit);
        }
    }
}

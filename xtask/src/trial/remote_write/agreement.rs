//! Whether two collectors have stored the same: pure.

use std::collections::{BTreeMap, BTreeSet};

/// Samples by milliseconds and value, of each series by its labels.
pub type Stored = BTreeMap<String, Vec<(i64, f64)>>;

/// Examples that are kept.
const EXAMPLES_MAX: usize = 5;

/// What both have, and what not.
#[derive(Debug, Default)]
pub struct Agreement {
    pub agreed: u64,
    /// Samples that only one has, or with another value, or in another order.
    pub disputed: u64,
    pub examples: Vec<String>,
}

/// Compares the one that has sent with the one that has received.
pub fn compare(sender: &Stored, receiver: &Stored) -> Agreement {
    let (mut agreement, none) = (Agreement::default(), Vec::new());
    for series in sender.keys().chain(receiver.keys()).collect::<BTreeSet<_>>() {
        let (sent, received) = (sender.get(series).unwrap_or(&none), receiver.get(series).unwrap_or(&none));
        let of = |samples: &[(i64, f64)]| -> BTreeSet<(i64, u64)> {
            samples.iter().map(|(time_ms, value)| (*time_ms, value.to_bits())).collect()
        };
        let (sent_once, received_once) = (of(sent), of(received));
        let repeated = sent.len() - sent_once.len() + received.len() - received_once.len();
        let differing: Vec<_> = sent_once.symmetric_difference(&received_once).collect();
        agreement.agreed += sent_once.intersection(&received_once).count() as u64;
        agreement.disputed += (differing.len() + repeated) as u64;
        if let Some((time_ms, bits)) = differing.first()
            && agreement.examples.len() < EXAMPLES_MAX
        {
            let who = if sent_once.contains(&(*time_ms, *bits)) { "sender" } else { "receiver" };
            let value = f64::from_bits(*bits);
            agreement
                .examples
                .push(format!("{series}: only the {who} has {value} at {time_ms}, of {}", differing.len()));
        }
    }
    agreement
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_counted() {
        let stored = |samples: &[(&str, &[(i64, f64)])]| -> Stored {
            samples.iter().map(|(series, samples)| ((*series).to_owned(), samples.to_vec())).collect()
        };
        let sent = stored(&[("a", &[(1, 1.0), (2, f64::NAN)]), ("b", &[(1, 2.0)])]);
        for (received, wanted) in [
            (sent.clone(), (3, 0)),
            (stored(&[("a", &[(1, 1.0), (2, f64::NAN)])]), (2, 1)),
            (stored(&[("a", &[(1, 1.0), (2, 3.0)]), ("b", &[(1, 2.0)])]), (2, 2)),
            (stored(&[("a", &[(1, 1.0), (2, f64::NAN)]), ("b", &[(1, 2.0), (1, 2.0)])]), (3, 1)),
            (stored(&[("a", &[(1, 1.0), (2, f64::NAN)]), ("b", &[(1, 2.0)]), ("c", &[(9, 9.0)])]), (3, 1)),
        ] {
            let agreement = compare(&sent, &received);
            assert_eq!((agreement.agreed, agreement.disputed), wanted, "{agreement:?}");
        }
    }
}

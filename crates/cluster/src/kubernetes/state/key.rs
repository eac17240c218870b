//! How objects are named and told apart, in little memory.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::kubernetes::wire::Meta;

/// Namespace and name of an object; cheap to copy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::kubernetes) struct Key(Arc<str>);

impl Key {
    pub fn new(namespace: &str, name: &str) -> Self {
        Self(format!("{namespace}/{name}").into())
    }

    pub fn of(meta: &Meta) -> Self {
        Self::new(&meta.namespace, &meta.name)
    }

    pub fn namespace(&self) -> &str {
        self.0.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(_, name)| name)
    }
}

/// An object's uid: a UUID in sixteen bytes, as it is kept for tens of thousands of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::kubernetes) struct Uid(u128);

impl Uid {
    pub fn of(text: &str) -> Self {
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        match u128::from_str_radix(&digits, 16) {
            Ok(number) if digits.len() == 32 => Self(number),
            // No server makes others; should one, they still must differ.
            _ => {
                let half = |salt: u8| {
                    let mut hasher = DefaultHasher::new();
                    (salt, text).hash(&mut hasher);
                    u128::from(hasher.finish())
                };
                Self(half(0) << 64 | half(1))
            }
        }
    }
}

/// What a version of an object is called, and which of two is the newer: resource versions grow (KEP-5504).
pub(super) fn is_older(version: &str, than: &str) -> bool {
    match (version.parse::<u64>(), than.parse::<u64>()) {
        (Ok(version), Ok(than)) => version < than,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_are_read_and_odd_ones_still_differ() {
        assert_eq!(Uid::of("0a1b2c3d-0000-4000-8000-00000000000f"), Uid(0x0a1b_2c3d_0000_4000_8000_0000_0000_000f));
        assert_ne!(Uid::of("order"), Uid::of("odrer"));
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(is_older("9", "10") && !is_older("10", "9") && !is_older("10", "10"));
        assert!(!is_older("a", "b"), "nothing is known of others");
    }
}

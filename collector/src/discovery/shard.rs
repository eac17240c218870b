//! Which of several collectors scrapes a target. Pure, and the same on every machine and in every version.

use std::fmt;
use std::str::FromStr;

use super::md5::md5;
use super::target::Target;

/// One of several collectors with the same configuration: the targets whose number, modulo `count`, is `index`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u64,
    count: u64,
}

impl Shard {
    /// Number `index` of `count`.
    ///
    /// # Errors
    /// If `index` is not below `count`.
    pub fn new(index: u64, count: u64) -> Result<Self, String> {
        if index < count {
            return Ok(Self { index, count });
        }
        Err(format!("{index}/{count}: the first number counts from 0 and must be below the second"))
    }

    /// Whether this collector scrapes the target.
    pub fn has(self, target: &Target) -> bool {
        self.count == 1 || number(target) % self.count == self.index
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        let (index, count) = numbers.ok_or_else(|| format!("{text:?} is not a shard: write I/N, such as 0/3"))?;
        Self::new(index, count)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

/// A target's number: of the MD5 of its final address and labels, the low half as Prometheus' `hashmod` takes it. The text that
/// is hashed is the address, then each label in order of name as name, 0xff, value, 0xff.
fn number(target: &Target) -> u64 {
    let mut text = target.address().as_bytes().to_vec();
    text.push(0xff);
    for (name, value) in target.labels.iter() {
        for part in [name, value] {
            text.extend_from_slice(part.as_bytes());
            text.push(0xff);
        }
    }
    md5(&text)[8..].iter().fold(0, |low, byte| (low << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::discovery::Group;
    use crate::discovery::target::Origin;
    use crate::series::Labels;

    fn target(address: &str, labels: &[(String, String)]) -> Target {
        Target {
            origin: Origin::new(Arc::new(Group::default()), 0),
            labels: Labels::new(labels.iter().map(|(n, v)| (n.as_str(), v.as_str()))),
            url: format!("http://{address}/metrics").parse().unwrap(),
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            series_max: None,
        }
    }

    #[test]
    fn a_shard_that_cannot_be_is_refused_with_the_form_that_can() {
        assert_eq!("1/3".parse::<Shard>().unwrap().to_string(), "1/3");
        for (text, message) in [
            ("3/3", "3/3: the first number counts from 0 and must be below the second"),
            ("0/0", "0/0: the first number"),
            ("1", "\"1\" is not a shard: write I/N, such as 0/3"),
            ("-1/3", "\"-1/3\" is not a shard"),
        ] {
            let found = text.parse::<Shard>().unwrap_err();
            assert!(found.starts_with(message), "{found}");
        }
    }

    #[test]
    fn a_targets_shard_never_changes_between_versions() {
        let target =
            target("10.0.0.7:8080", &[("job".into(), "shop".into()), ("instance".into(), "10.0.0.7:8080".into())]);
        assert_eq!(number(&target), 4_755_278_534_718_491_205);
    }

    proptest::proptest! {
        #[test]
        fn every_target_is_on_exactly_one_shard(
            port in 1u16..,
            labels in proptest::collection::vec(("[a-z]{1,5}", ".{0,8}"), 0..5),
            count in 1u64..40,
        ) {
            let target = target(&format!("10.1.2.3:{port}"), &labels);
            let having = (0..count).filter(|index| Shard::new(*index, count).unwrap().has(&target)).count();
            proptest::prop_assert_eq!(having, 1);
        }
    }
}

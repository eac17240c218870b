//! Which series fit matchers, from lists of the series that carry each label. A matcher is asked once for each value that its
//! label has, not for each series. Knows nothing of samples.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use crate::series::{Labels, MatchOp, Matcher};

/// Where a series is in the index. Slots of forgotten series are given to new ones.
pub(super) type Slot = u32;

/// The slots of the series that carry each value of one label, ascending.
pub(super) type Values = HashMap<Arc<str>, Vec<Slot>>;

/// Values by the label's name.
pub(super) type Postings = HashMap<Arc<str>, Values>;

/// A list this many times longer than what is left is not worth reading: the labels of what is left are.
const LIST_FACTOR: usize = 8;

/// The ids of the series that fit all matchers, ascending. `all` gives every id, ascending; `labels` those of a series.
pub(super) fn matching<'a>(
    postings: &Postings,
    matchers: &[Matcher],
    all: impl FnOnce() -> Vec<Slot>,
    labels: impl Fn(Slot) -> Option<&'a Labels>,
) -> Vec<Slot> {
    let mut conditions: Vec<Condition<'_>> = matchers.iter().map(|matcher| Condition::of(postings, matcher)).collect();
    // The shortest list first: it bounds all further work.
    conditions.sort_by_key(|condition| (!condition.wanted, condition.length));
    let mut conditions = conditions.into_iter().peekable();
    let mut ids = match conditions.next_if(|condition| condition.wanted) {
        Some(first) => first.ids().into_owned(),
        None => all(),
    };
    for condition in conditions {
        if ids.is_empty() {
            break;
        }
        if condition.length > ids.len().saturating_mul(LIST_FACTOR) {
            condition.check(&mut ids, &labels);
        } else {
            keep(&mut ids, &condition.ids(), condition.wanted);
        }
    }
    ids
}

/// What a matcher means in lists: series must be on one of them, or must not be on any.
struct Condition<'a> {
    matcher: &'a Matcher,
    wanted: bool,
    lists: Vec<&'a [Slot]>,
    /// Of all lists together.
    length: usize,
}

impl<'a> Condition<'a> {
    fn of(postings: &'a Postings, matcher: &'a Matcher) -> Self {
        // Who lacks the label has it empty. If that fits, lists can only tell who does not.
        let wanted = !matcher.fits_value("");
        let values = postings.get(matcher.name.as_str());
        let lists: Vec<&[Slot]> = match (values, named(matcher)) {
            (None, _) => Vec::new(),
            (Some(values), Some(names)) => {
                names.iter().filter_map(|name| values.get(*name)).map(Vec::as_slice).collect()
            }
            (Some(values), None) => {
                let listed = values.iter().filter(|(value, _)| matcher.fits_value(value) == wanted);
                listed.map(|(_, ids)| ids.as_slice()).collect()
            }
        };
        let length = lists.iter().map(|list| list.len()).sum();
        Self { matcher, wanted, lists, length }
    }

    /// All ids of the lists; no series has two values of one label.
    fn ids(&self) -> Cow<'a, [Slot]> {
        match self.lists.as_slice() {
            [] => Cow::Borrowed(&[]),
            [only] => Cow::Borrowed(only),
            many => {
                let mut ids = many.concat();
                // Stable, because that kind of sorting makes use of runs that are sorted already.
                ids.sort();
                Cow::Owned(ids)
            }
        }
    }

    /// Looks at the labels of each series that is left; a value that many share is tried once.
    fn check<'l>(&self, ids: &mut Vec<Slot>, labels: &impl Fn(Slot) -> Option<&'l Labels>) {
        let mut tried: HashMap<&str, bool> = HashMap::new();
        ids.retain(|id| {
            let value = labels(*id).and_then(|labels| labels.get(&self.matcher.name)).unwrap_or_default();
            match self.matcher.op {
                MatchOp::Equal(_) | MatchOp::NotEqual(_) => self.matcher.fits_value(value),
                MatchOp::Regex(_) | MatchOp::NotRegex(_) => {
                    *tried.entry(value).or_insert_with(|| self.matcher.fits_value(value))
                }
            }
        });
    }
}

/// The values that a matcher names, one of which a series must have, or none of which it may have; `None` if it describes
/// them instead. With an empty value among them the lists tell the opposite, and this is no help.
fn named(matcher: &Matcher) -> Option<Vec<&str>> {
    let names = match &matcher.op {
        MatchOp::Equal(value) | MatchOp::NotEqual(value) => vec![value.as_str()],
        MatchOp::Regex(regex) | MatchOp::NotRegex(regex) => alternatives(regex.as_str())?,
    };
    let mut names = Some(names).filter(|names| names.iter().all(|name| !name.is_empty()))?;
    names.sort_unstable();
    names.dedup();
    Some(names)
}

/// The texts of a pattern such as `^(?:a|b)$` that is nothing but texts.
fn alternatives(pattern: &str) -> Option<Vec<&str>> {
    let inner = pattern.strip_prefix("^(?:")?.strip_suffix(")$")?;
    let is_plain =
        |c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '/' | '-' | '|' | ' ' | ',' | '=' | '%' | '@');
    inner.chars().all(is_plain).then(|| inner.split('|').collect())
}

/// Keeps the ids that are on a list, or those that are not; both are ascending.
fn keep(ids: &mut Vec<Slot>, list: &[Slot], listed: bool) {
    let mut rest = list;
    ids.retain(|id| {
        rest = &rest[seek(rest, *id)..];
        (rest.first() == Some(id)) == listed
    });
}

/// The place of the first id that is not less: in ever larger steps, then by halves.
fn seek(list: &[Slot], id: Slot) -> usize {
    let mut reach = 1;
    while list.get(reach).is_some_and(|known| *known < id) {
        reach *= 2;
    }
    let from = reach / 2;
    let until = list.len().min(reach + 1);
    from + list[from..until].partition_point(|known| *known < id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::Regex;

    use super::*;

    const NAMES: [&str; 3] = ["a", "b", "c"];
    const VALUES: [&str; 4] = ["", "x", "xy", "y"];
    const PATTERNS: [&str; 7] = ["x|y", "x.*", ".+", ".*", "", "y|", "xy"];

    fn matcher() -> impl Strategy<Value = Matcher> {
        (0..NAMES.len(), 0..4usize, 0..VALUES.len(), 0..PATTERNS.len()).prop_map(|(name, kind, value, pattern)| {
            let regex = Regex::new(&format!("^(?:{})$", PATTERNS[pattern])).unwrap();
            let op = match kind {
                0 => MatchOp::Equal(VALUES[value].to_owned()),
                1 => MatchOp::NotEqual(VALUES[value].to_owned()),
                2 => MatchOp::Regex(regex),
                _ => MatchOp::NotRegex(regex),
            };
            Matcher { name: NAMES[name].to_owned(), op }
        })
    }

    proptest! {
        #[test]
        fn those_that_fit_are_found_and_no_others(
            series in prop::collection::vec(prop::array::uniform3(0..VALUES.len()), 0..60),
            matchers in prop::collection::vec(matcher(), 0..4),
        ) {
            let labels: Vec<Labels> = series
                .iter()
                .map(|values| Labels::new(NAMES.iter().zip(values).map(|(name, value)| (*name, VALUES[*value]))))
                .collect();
            let mut postings = Postings::new();
            for (id, labels) in (0u32..).zip(&labels) {
                for (name, value) in labels.iter() {
                    postings.entry(name.into()).or_default().entry(value.into()).or_default().push(id);
                }
            }
            let at = |id: Slot| labels.get(usize::try_from(id).unwrap());
            let found = matching(&postings, &matchers, || (0..labels.len() as u32).collect(), at);
            let fits = |id: &Slot| matchers.iter().all(|matcher| matcher.fits(at(*id).unwrap()));
            let wanted: Vec<Slot> = (0..labels.len() as u32).filter(fits).collect();
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn the_first_that_is_not_less_is_found(mut list in prop::collection::vec(0u32..100, 0..50), id in 0u32..110) {
            list.sort_unstable();
            prop_assert_eq!(seek(&list, id), list.partition_point(|known| *known < id));
        }
    }

    #[test]
    fn only_texts_are_alternatives() {
        assert_eq!(alternatives("^(?:a|/b-c)$"), Some(vec!["a", "/b-c"]));
        for pattern in ["^(?:a.)$", "^(?:a|b*)$", "^(?:(a|b))$", "a|b", "^(?:a\\.b)$"] {
            assert_eq!(alternatives(pattern), None, "{pattern}");
        }
    }
}

//! Relabelling, to Prometheus' letter: rules that rewrite a set of labels or drop what carries it. Pure.

use std::collections::BTreeMap;
use std::str::FromStr;

use regex::Regex;

use super::md5::md5;

/// Labels by name while they are being rewritten; an empty value is an absent label.
pub type LabelSet = BTreeMap<String, String>;

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Sets `target_label` to the expanded `replacement` if the regex matches.
    Replace,
    /// Drops what does not match.
    Keep,
    /// Drops what matches.
    Drop,
    /// Drops what differs from `target_label`.
    KeepEqual,
    /// Drops what equals `target_label`.
    DropEqual,
    /// Sets `target_label` to a hash modulo `modulus`.
    HashMod,
    /// Copies labels whose name matches to the expanded `replacement`.
    LabelMap,
    /// Removes labels whose name matches.
    LabelDrop,
    /// Removes labels whose name does not match.
    LabelKeep,
    /// Sets `target_label` in lower case.
    Lowercase,
    /// Sets `target_label` in upper case.
    Uppercase,
}

/// Names as the configuration has them.
const ACTIONS: [(&str, Action); 11] = [
    ("replace", Action::Replace),
    ("keep", Action::Keep),
    ("drop", Action::Drop),
    ("keepequal", Action::KeepEqual),
    ("dropequal", Action::DropEqual),
    ("hashmod", Action::HashMod),
    ("labelmap", Action::LabelMap),
    ("labeldrop", Action::LabelDrop),
    ("labelkeep", Action::LabelKeep),
    ("lowercase", Action::Lowercase),
    ("uppercase", Action::Uppercase),
];

impl FromStr for Action {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.to_lowercase();
        ACTIONS.iter().find(|(name, _)| *name == lower).map(|(_, action)| *action).ok_or_else(|| {
            let names: Vec<&str> = ACTIONS.iter().map(|(name, _)| *name).collect();
            format!("{text:?} is not an action; there are {}", names.join(", "))
        })
    }
}

/// One of the `relabel_configs`.
#[derive(Debug, Clone)]
pub struct RelabelRule {
    /// Their values are joined to what the regex is matched with.
    pub source_labels: Vec<String>,
    /// Between the joined values.
    pub separator: String,
    /// Anchored at both ends.
    pub regex: Regex,
    /// What to do.
    pub action: Action,
    /// Where a result goes.
    pub target_label: String,
    /// With `$1` or `${name}` for what the regex captured.
    pub replacement: String,
    /// Of `hashmod`.
    pub modulus: u64,
}

impl PartialEq for RelabelRule {
    fn eq(&self, other: &Self) -> bool {
        let fields = |rule: &Self| (rule.action, rule.modulus, rule.regex.as_str().to_owned());
        fields(self) == fields(other)
            && (&self.source_labels, &self.separator) == (&other.source_labels, &other.separator)
            && (&self.target_label, &self.replacement) == (&other.target_label, &other.replacement)
    }
}

impl RelabelRule {
    /// A rule with Prometheus' defaults.
    ///
    /// # Errors
    /// If the regex is none.
    pub fn new(action: Action, regex: &str) -> Result<Self, String> {
        let regex = Regex::new(&format!("^(?s:{regex})$")).map_err(|_| match Regex::new(regex) {
            Err(error) => error.to_string(),
            Ok(_) => format!("{regex:?} cannot be anchored"),
        })?;
        Ok(Self {
            source_labels: Vec::new(),
            separator: ";".to_owned(),
            regex,
            action,
            target_label: String::new(),
            replacement: "$1".to_owned(),
            modulus: 0,
        })
    }

    /// Whether the rule has what its action needs.
    ///
    /// # Errors
    /// The field that is wrong, and why.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let needs_target = matches!(
            self.action,
            Action::Replace
                | Action::HashMod
                | Action::KeepEqual
                | Action::DropEqual
                | Action::Lowercase
                | Action::Uppercase
        );
        if needs_target && self.target_label.is_empty() {
            return Err(("target_label", "is empty; this action needs a label to work on"));
        }
        if self.action == Action::HashMod && self.modulus == 0 {
            return Err(("modulus", "is 0; hashmod needs a number to divide by"));
        }
        Ok(())
    }
}

/// Applies rules in order; `false` means dropped.
pub fn relabel(rules: &[RelabelRule], labels: &mut LabelSet) -> bool {
    rules.iter().all(|rule| apply(rule, labels))
}

fn apply(rule: &RelabelRule, labels: &mut LabelSet) -> bool {
    let value = joined(rule, labels);
    match rule.action {
        Action::Keep => return rule.regex.is_match(&value),
        Action::Drop => return !rule.regex.is_match(&value),
        Action::KeepEqual => return labels.get(&rule.target_label).map_or("", String::as_str) == value,
        Action::DropEqual => return labels.get(&rule.target_label).map_or("", String::as_str) != value,
        Action::Replace => replace(rule, &value, labels),
        Action::HashMod => {
            let hash = md5(value.as_bytes());
            let low = hash[8..].iter().fold(0u64, |low, byte| (low << 8) | u64::from(*byte));
            set(labels, &rule.target_label, (low % rule.modulus.max(1)).to_string());
        }
        Action::Lowercase => set(labels, &rule.target_label, value.to_lowercase()),
        Action::Uppercase => set(labels, &rule.target_label, value.to_uppercase()),
        Action::LabelMap => {
            let matching = labels.iter().filter(|(name, _)| rule.regex.is_match(name));
            let mapped = matching
                .map(|(name, value)| (rule.regex.replace(name, rule.replacement.as_str()).into_owned(), value.clone()));
            let mapped: Vec<(String, String)> = mapped.collect();
            mapped.into_iter().for_each(|(name, value)| set(labels, &name, value));
        }
        Action::LabelDrop => labels.retain(|name, _| !rule.regex.is_match(name)),
        Action::LabelKeep => labels.retain(|name, _| rule.regex.is_match(name)),
    }
    true
}

fn joined(rule: &RelabelRule, labels: &LabelSet) -> String {
    let mut joined = String::new();
    for (i, name) in rule.source_labels.iter().enumerate() {
        if i > 0 {
            joined.push_str(&rule.separator);
        }
        joined.push_str(labels.get(name).map_or("", String::as_str));
    }
    joined
}

fn replace(rule: &RelabelRule, value: &str, labels: &mut LabelSet) {
    let Some(captures) = rule.regex.captures(value) else { return };
    let mut target = String::new();
    captures.expand(&rule.target_label, &mut target);
    if !is_label_name(&target) {
        return;
    }
    let mut replacement = String::new();
    captures.expand(&rule.replacement, &mut replacement);
    set(labels, &target, replacement);
}

fn set(labels: &mut LabelSet, name: &str, value: String) {
    if value.is_empty() {
        labels.remove(name);
    } else {
        labels.insert(name.to_owned(), value);
    }
}

fn is_label_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && name.chars().all(allowed) && !name.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> LabelSet {
        text.split_whitespace().filter_map(|pair| pair.split_once('=')).map(|(n, v)| (n.into(), v.into())).collect()
    }

    fn rule(action: &str, sources: &str, regex: &str, target: &str, replacement: &str) -> RelabelRule {
        let mut rule = RelabelRule::new(action.parse().unwrap(), regex).unwrap();
        rule.source_labels = sources.split_whitespace().map(str::to_owned).collect();
        rule.target_label = target.to_owned();
        rule.replacement = replacement.to_owned();
        rule.modulus = 10;
        rule
    }

    #[test]
    fn every_action_does_what_prometheus_does() {
        for (action, sources, regex, target, replacement, wanted) in [
            ("replace", "a", "f(.*)", "d", "x${1}y", Some("a=foo b=bar c=foo d=xooy")),
            ("replace", "a b", "foo;(.*)", "d", "$1", Some("a=foo b=bar c=foo d=bar")),
            ("replace", "a", "nothing", "d", "x", Some("a=foo b=bar c=foo")),
            ("replace", "a", "oo", "d", "anchored", Some("a=foo b=bar c=foo")),
            ("replace", "missing", ".*", "b", "", Some("a=foo c=foo")),
            ("replace", "a", "(f)oo", "${1}_x", "v", Some("a=foo b=bar c=foo f_x=v")),
            ("replace", "a", "(f)oo", "${1}-x", "v", Some("a=foo b=bar c=foo")),
            ("keep", "a", "foo", "", "", Some("a=foo b=bar c=foo")),
            ("keep", "a", "fo", "", "", None),
            ("drop", "a", "foo", "", "", None),
            ("drop", "a", "bar", "", "", Some("a=foo b=bar c=foo")),
            ("keepequal", "a", ".*", "c", "", Some("a=foo b=bar c=foo")),
            ("keepequal", "a", ".*", "b", "", None),
            ("dropequal", "a", ".*", "c", "", None),
            ("dropequal", "a", ".*", "b", "", Some("a=foo b=bar c=foo")),
            ("labelmap", "", "(a|b)", "", "my_$1", Some("a=foo b=bar c=foo my_a=foo my_b=bar")),
            ("labelmap", "", "(a|b)", "", "${1}_my", Some("a=foo a_my=foo b=bar b_my=bar c=foo")),
            ("labeldrop", "", "a|b", "", "", Some("c=foo")),
            ("labelkeep", "", "a|b", "", "", Some("a=foo b=bar")),
            ("uppercase", "a", ".*", "d", "", Some("a=foo b=bar c=foo d=FOO")),
            ("Lowercase", "a", ".*", "d", "", Some("a=foo b=bar c=foo d=foo")),
        ] {
            let mut set = labels("a=foo b=bar c=foo");
            let kept = relabel(&[rule(action, sources, regex, target, replacement)], &mut set);
            assert_eq!(kept.then_some(set), wanted.map(labels), "{action} {regex}");
        }
    }

    #[test]
    fn hashmod_takes_the_low_half_of_md5() {
        // md5("foo") = acbd18db4cc2f85c edef654fccc4a4d8
        let mut set = labels("a=foo");
        relabel(&[rule("hashmod", "a", ".*", "h", "")], &mut set);
        assert_eq!(set["h"], (0xedef_654f_ccc4_a4d8_u64 % 10).to_string());
    }
}

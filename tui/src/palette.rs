//! What `:` offers: commands and services, ranked by how well they match what was typed. Pure.

use protocol::scaling::ObjectName;

use crate::app::{App, Tab};
use crate::change::Change;
use crate::keys::Action;
use crate::picture::ServiceKey;
use crate::screens;

/// What choosing an entry does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The same as a key.
    Act(Action),
    /// The page of a service.
    Service(ServiceKey),
    /// Whom a service can hurt.
    Radius(ServiceKey),
    /// Latencies of a service over time.
    Latencies(ServiceKey),
    /// The traces of a service.
    Traces(String),
    /// The decisions about a service.
    Decisions(String),
    /// The page of a policy.
    Policy(ObjectName),
    /// Asks whether to pause or to resume a policy.
    Change(Change),
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What is matched and shown.
    pub name: String,
    /// What it does, in words.
    pub help: &'static str,
    /// What it does.
    pub command: Command,
}

/// The commands without a service.
const COMMANDS: [(&str, &str, Action); 12] = [
    ("services", "all services, worst first", Action::Show(Tab::Services)),
    ("suspects", "who is suspected, and by what evidence", Action::Show(Tab::Suspects)),
    ("timeline", "what began, ended and changed", Action::Show(Tab::Timeline)),
    ("graph", "who calls whom", Action::Show(Tab::Graph)),
    ("decisions", "what the autoscaler decided, and why", Action::Show(Tab::Decisions)),
    ("policies", "what steers each workload", Action::Show(Tab::Policies)),
    ("traces", "requests on their way through the services", Action::Show(Tab::Traces)),
    ("errors", "traces with errors", Action::ErrorTraces),
    ("help", "the keys that work here", Action::Help),
    ("freeze", "hold the picture, or let it go on", Action::Freeze),
    ("refresh", "ask every source now", Action::Refresh),
    ("quit", "leave", Action::Quit),
];

/// Entries that match, best first.
pub fn entries(app: &App, typed: &str) -> Vec<Entry> {
    let mut all: Vec<Entry> = COMMANDS
        .iter()
        .map(|(name, help, action)| Entry { name: (*name).to_owned(), help, command: Command::Act(*action) })
        .collect();
    let mut previous = None;
    for row in &app.rows {
        let name = &row.name;
        let page = Command::Service(row.key.clone());
        all.push(Entry { name: format!("service {name}"), help: "its page", command: page });
        let radius = Command::Radius(row.key.clone());
        all.push(Entry { name: format!("radius {name}"), help: "whom it can hurt", command: radius });
        let latencies = Command::Latencies(row.key.clone());
        all.push(Entry { name: format!("latencies {name}"), help: "how long it takes, over time", command: latencies });
        let traced = &row.key.name;
        if previous != Some(traced) {
            let traces = Command::Traces(traced.clone());
            all.push(Entry { name: format!("traces {traced}"), help: "its traces", command: traces });
        }
        previous = Some(traced);
        all.push(Entry {
            name: format!("decisions {name}"),
            help: "its scaling",
            command: Command::Decisions(name.clone()),
        });
    }
    all.extend(of_policies(app));
    let mut ranked: Vec<(u32, usize, Entry)> = all
        .into_iter()
        .enumerate()
        .filter_map(|(order, entry)| Some((score(typed, &entry.name)?, order, entry)))
        .collect();
    ranked.sort_by_key(|(score, order, _)| (*score, *order));
    ranked.into_iter().map(|(_, _, entry)| entry).collect()
}

/// The page of each policy, and pausing or resuming it while nothing else is under way.
fn of_policies(app: &App) -> Vec<Entry> {
    let policies = app.picture.scaling.data.as_ref().map(|scaling| scaling.policies.as_slice()).unwrap_or_default();
    let mut all = Vec::new();
    for policy in policies {
        let name = screens::policy_label(app, &policy.policy);
        let page = Command::Policy(policy.policy.clone());
        all.push(Entry { name: format!("policy {name}"), help: "what it decides, and why", command: page });
        if app.may_change() {
            let change = Change::of(policy);
            let help = if change.pause { "it writes nothing then; asks first" } else { "it writes again; asks first" };
            all.push(Entry { name: format!("{} {name}", change.verb()), help, command: Command::Change(change) });
        }
    }
    all
}

/// How badly `typed` fits a name: 0 is the same; `None` when its letters do not occur in order.
fn score(typed: &str, name: &str) -> Option<u32> {
    let typed = typed.trim().to_lowercase();
    let name = name.to_lowercase();
    if typed.is_empty() {
        return Some(0);
    }
    if name == typed {
        return Some(0);
    }
    if name.starts_with(&typed) {
        return Some(1);
    }
    if name.split(' ').any(|word| word.starts_with(&typed)) {
        return Some(2);
    }
    if name.contains(&typed) {
        return Some(3);
    }
    let mut gaps = 0;
    let mut rest = name.chars();
    for wanted in typed.chars().filter(|c| !c.is_whitespace()) {
        while rest.next()? != wanted {
            gaps += 1;
        }
    }
    Some(4 + gaps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_in_order_match_and_others_do_not() {
        assert_eq!(score("quit", "quit"), Some(0));
        assert_eq!(score("pay", "service payment"), Some(2));
        assert!(score("spay", "service payment").is_some());
        assert!(score("dcsn", "decisions").is_some());
        assert_eq!(score("xyz", "decisions"), None);
        assert_eq!(score("snoisiced", "decisions"), None);
        assert_eq!(score("quitt", "quit"), None);
    }

    #[test]
    fn a_word_begun_comes_before_letters_scattered() {
        assert!(score("tra", "traces") < score("tra", "service inventory-a"));
    }
}

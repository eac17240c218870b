//! Pausing and resuming a policy: what is asked, what is said before and after it, how far it has come. Pure; `feed::changes`
//! sends it.

use protocol::scaling::{Mode, ObjectName, PolicyStatus};

/// How long a change that was made is told: as long as somebody looks for it.
const TOLD_MS: i64 = 60_000;

/// A policy that is to be paused or resumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The policy.
    pub policy: ObjectName,
    /// Paused, else resumed.
    pub pause: bool,
}

/// What came of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The change.
    pub change: Change,
    /// Why it was not made, in words with their remedy.
    pub result: Result<(), String>,
}

/// The change that was sent last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latest {
    /// The change.
    pub change: Change,
    /// What came of it; `None` while it is under way.
    pub result: Option<Result<(), String>>,
    /// When it was sent or answered, milliseconds since the epoch.
    pub at_ms: i64,
}

impl Change {
    /// What would turn a policy's state round.
    pub fn of(policy: &PolicyStatus) -> Self {
        Self { policy: policy.policy.clone(), pause: !policy.paused }
    }

    /// `pause` or `resume`.
    pub fn verb(&self) -> &'static str {
        if self.pause { "pause" } else { "resume" }
    }

    /// What will happen, a paragraph each. `status` is how the policy is now, if it is known.
    pub fn consequences(&self, status: Option<&PolicyStatus>) -> Vec<String> {
        let ObjectName { namespace, name } = &self.policy;
        let target = status.map(|s| format!(" of {} {}/{}", s.kind, s.workload.namespace, s.workload.name));
        let who = format!("The policy {namespace}/{name}{}.", target.unwrap_or_default());
        let what = if self.pause { paused_words(status) } else { resumed_words(status) };
        vec![who, what, "The autoscaler keeps it over restarts where it can, and logs who asked.".to_owned()]
    }
}

fn paused_words(status: Option<&PolicyStatus>) -> String {
    let replicas = status.and_then(|s| s.last.as_ref()).map(|last| match last.to {
        1 => "1 replica stays 1".to_owned(),
        count => format!("{count} replicas stay {count}"),
    });
    let stays = replicas.map(|words| format!(": {words}, whatever it wishes")).unwrap_or_default();
    format!("It goes on recommending and writes nothing until somebody resumes it{stays}.")
}

fn resumed_words(status: Option<&PolicyStatus>) -> String {
    let Some(status) = status else { return "It does again what its mode says.".to_owned() };
    let wish = match &status.last {
        Some(last) if last.wish != last.to => format!("; it wishes {} replicas, there are {}", last.wish, last.to),
        _ => String::new(),
    };
    match status.mode {
        Mode::Off => "Its mode is Off: it is not evaluated, resumed or not.".to_owned(),
        Mode::Recommend => "Its mode is Recommend: it goes on writing nothing.".to_owned(),
        Mode::Auto => format!("Its mode is Auto: it writes again from the next tick on{wish}."),
        Mode::ScaleUpOnly => format!("Its mode is ScaleUpOnly: it scales up again from the next tick on{wish}."),
        Mode::ScaleDownOnly => format!("Its mode is ScaleDownOnly: it scales down again from the next tick on{wish}."),
    }
}

impl Latest {
    /// A change that is being sent.
    pub fn sent(change: Change, at_ms: i64) -> Self {
        Self { change, result: None, at_ms }
    }

    /// Whether it is still worth a line. What failed is, until something else is asked.
    pub fn is_told(&self, now_ms: i64) -> bool {
        !matches!(self.result, Some(Ok(()))) || now_ms - self.at_ms <= TOLD_MS
    }

    /// How far it has come, in few words; `name` is what the screen calls the policy.
    pub fn short(&self, name: &str) -> String {
        match (&self.result, self.change.pause) {
            (None, true) => format!("pausing {name} …"),
            (None, false) => format!("resuming {name} …"),
            (Some(Ok(())), true) => format!("{name} was paused"),
            (Some(Ok(())), false) => format!("{name} was resumed"),
            (Some(Err(_)), true) => format!("{name} was NOT paused"),
            (Some(Err(_)), false) => format!("{name} was NOT resumed"),
        }
    }

    /// The same with the reason.
    pub fn words(&self, name: &str) -> String {
        let short = self.short(name);
        match &self.result {
            Some(Err(reason)) => format!("{short}: {reason}"),
            Some(Ok(())) if self.change.pause => format!("{short}: it goes on recommending and writes nothing"),
            _ => short,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{self, steering};

    #[test]
    fn what_will_happen_follows_from_mode_and_record() {
        let policy = |mode| PolicyStatus { mode, ..fixtures::policy("order", steering::order()) };
        let words = |pause, status: Option<&PolicyStatus>| {
            let change = Change { policy: fixtures::policy("order", steering::order()).policy, pause };
            change.consequences(status).join(" ")
        };
        let paused = words(true, Some(&policy(Mode::Auto)));
        assert!(paused.contains("The policy shop/order of Deployment shop/order."), "{paused}");
        assert!(
            paused.contains("recommending and writes nothing until somebody resumes it: 2 replicas stay 2"),
            "{paused}"
        );
        for (mode, expected) in [
            (Mode::Auto, "writes again from the next tick on; it wishes 4 replicas, there are 2"),
            (Mode::ScaleUpOnly, "scales up again from the next tick on; it wishes 4"),
            (Mode::ScaleDownOnly, "scales down again"),
            (Mode::Recommend, "goes on writing nothing"),
            (Mode::Off, "not evaluated, resumed or not"),
        ] {
            let resumed = words(false, Some(&policy(mode)));
            assert!(resumed.contains(expected), "{resumed}");
        }
        assert!(words(false, None).contains("what its mode says") && words(true, None).contains("writes nothing"));
    }

    #[test]
    fn a_change_turns_the_state_round() {
        let policy = |paused| PolicyStatus { paused, ..fixtures::policy("order", steering::order()) };
        assert_eq!(Change::of(&policy(false)).verb(), "pause");
        assert_eq!(Change::of(&policy(true)).verb(), "resume");
    }
}

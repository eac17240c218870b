//! Keeps the autoscaler's decisions that were fetched piece by piece. Pure; notices when the autoscaler began anew.

use protocol::scaling::{DecisionRecord, Outcome, PolicyStatus};

use crate::picture::Scaling;

/// Decisions kept: at ten policies and a tick every five seconds, about eight minutes of holds.
pub const DECISIONS_MAX: usize = 1_000;

/// The decisions so far, newest first.
#[derive(Debug, Clone, Default)]
pub struct DecisionLog {
    decisions: Vec<DecisionRecord>,
}

impl DecisionLog {
    /// What to pass as `since`; `None` when the autoscaler counts from anew and everything must be read.
    pub fn since(&mut self, policies: &[PolicyStatus]) -> Option<u64> {
        let newest_there = policies.iter().filter_map(|p| p.last.as_ref()).map(|d| d.sequence).max();
        let newest_here = self.decisions.first()?.sequence;
        if newest_there.is_some_and(|there| there < newest_here) {
            self.decisions.clear();
            return None;
        }
        Some(newest_here)
    }

    /// Takes new records (newest first) and gives all. When there are too many, the oldest holds go first.
    pub fn absorb(&mut self, mut records: Vec<DecisionRecord>, policies: Vec<PolicyStatus>) -> Scaling {
        let newest_here = self.decisions.first().map_or(0, |d| d.sequence);
        records.retain(|record| record.sequence > newest_here || self.decisions.is_empty());
        records.append(&mut self.decisions);
        records.sort_by_key(|record| std::cmp::Reverse(record.sequence));
        let mut surplus = records.len().saturating_sub(DECISIONS_MAX);
        while surplus > 0 {
            let Some(oldest_hold) = records.iter().rposition(|d| d.outcome == Outcome::Hold) else { break };
            records.remove(oldest_hold);
            surplus -= 1;
        }
        records.truncate(DECISIONS_MAX);
        self.decisions = records.clone();
        Scaling { decisions: records, policies }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn reads_everything_again_when_the_autoscaler_began_anew() {
        let mut log = DecisionLog::default();
        let policy = |sequence| fixtures::policy("order", fixtures::decision(sequence, "order", 1, 1));
        assert_eq!(log.since(&[policy(7)]), None);
        log.absorb(vec![fixtures::decision(7, "order", 1, 1)], vec![]);
        assert_eq!(log.since(&[policy(9)]), Some(7));
        assert_eq!(log.since(&[policy(2)]), None);
        assert!(log.absorb(vec![], vec![]).decisions.is_empty());
    }

    #[test]
    fn forgets_holds_before_changes() {
        let mut log = DecisionLog::default();
        let mut records: Vec<_> = (1..=DECISIONS_MAX as u64).map(|n| fixtures::decision(n, "order", 1, 1)).collect();
        records[0] = fixtures::decision(1, "order", 1, 2);
        log.absorb(records, vec![]);
        let kept = log.absorb(vec![fixtures::decision(5_000, "order", 1, 1)], vec![]).decisions;
        assert_eq!(kept.len(), DECISIONS_MAX);
        assert_eq!((kept[0].sequence, kept.last().unwrap().sequence), (5_000, 1));
        assert!(!kept.iter().any(|d| d.sequence == 2));
    }
}

//! Several signals make one number: the largest wish wins, and a signal that cannot say may hold, never lower.

use super::observation::Gap;
use super::replicas::Proposal;

/// What the signals ask for together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Combined {
    /// Replicas asked for; `None` when nothing may be done: no signal could say, or one could not and the others would
    /// lower.
    pub replicas: Option<i32>,
    /// Position of the signal with the largest wish; the first of equals.
    pub winner: Option<usize>,
    /// Position of the first signal that could not say.
    pub first_gap: Option<usize>,
}

/// Combines proposals for a workload with `current` replicas asked for.
pub fn combine(proposals: &[Result<Proposal, Gap>], current: i32) -> Combined {
    let mut best: Option<(usize, i32)> = None;
    for (index, proposal) in proposals.iter().enumerate() {
        let Ok(proposal) = proposal else { continue };
        // HPA takes the next one over a wish of zero even if that is not larger.
        if best.is_none_or(|(_, replicas)| replicas == 0 || proposal.replicas > replicas) {
            best = Some((index, proposal.replicas));
        }
    }
    let first_gap = proposals.iter().position(Result::is_err);
    let wish = best.map(|(_, replicas)| replicas);
    let replicas = wish.filter(|replicas| first_gap.is_none() || *replicas >= current);
    Combined { replicas, winner: best.map(|(index, _)| index), first_gap }
}

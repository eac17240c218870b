//! What may hold or shrink a wish: stabilisation windows, rate policies, fewest and most replicas; in HPA v2's order and
//! with its strictness. `cargo xtask conformance hpa` runs these very functions.

use std::time::Duration;

use super::history::History;
use crate::policy::{Behavior, Bounds, DOWN_WINDOW_DEFAULT};

/// A wish after each limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limited {
    /// After stabilisation.
    pub stabilized: i32,
    /// After the rate policies.
    pub rated: i32,
    /// After the bounds: the end.
    pub replicas: i32,
    /// What stabilisation did.
    pub stabilization: Stabilization,
    /// What limited the stabilised wish, if anything did.
    pub limit: Option<Limit>,
}

/// What stabilisation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stabilization {
    /// Nothing.
    Passed,
    /// Waited before going up.
    HeldUp,
    /// Waited before going down.
    HeldDown,
}

/// What limited a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// A rate policy for going up.
    UpRate,
    /// A rate policy for going down.
    DownRate,
    /// Most replicas.
    Most,
    /// Fewest replicas.
    Fewest,
}

/// Applies all limits to a wish for a workload that has `current` replicas within its bounds.
pub fn limit(
    behavior: Option<&Behavior>,
    bounds: Bounds,
    current: i32,
    wish: i32,
    history: &History,
    now_ms: i64,
) -> Limited {
    match behavior {
        Some(behavior) => with_behavior(behavior, bounds, current, wish, history, now_ms),
        None => without_behavior(bounds, current, wish, history, now_ms),
    }
}

/// The rule for an absent `behavior`: down only to the highest wish of five minutes, up at most to twice the replicas
/// (four at least).
fn without_behavior(bounds: Bounds, current: i32, wish: i32, history: &History, now_ms: i64) -> Limited {
    let cutoff = now_ms - millis(DOWN_WINDOW_DEFAULT);
    let recent = history.recommendations.iter().filter(|r| r.at_ms >= cutoff);
    let stabilized = recent.map(|r| r.replicas).fold(wish, i32::max);
    let stabilization = if stabilized == wish { Stabilization::Passed } else { Stabilization::HeldDown };
    let step = current.saturating_mul(2).max(4);
    let rated = stabilized.min(step);
    let replicas = rated.min(bounds.max).max(bounds.min);
    let limit = if stabilized < bounds.min {
        Some(Limit::Fewest)
    } else if stabilized > step.min(bounds.max) {
        Some(if bounds.max > step { Limit::UpRate } else { Limit::Most })
    } else {
        None
    };
    Limited { stabilized, rated, replicas, stabilization, limit }
}

fn with_behavior(
    behavior: &Behavior,
    bounds: Bounds,
    current: i32,
    wish: i32,
    history: &History,
    now_ms: i64,
) -> Limited {
    let (stabilized, stabilization) = stabilize(behavior, current, wish, history, now_ms);
    let mut limited = Limited { stabilized, rated: stabilized, replicas: stabilized, stabilization, limit: None };
    if stabilized > current {
        let rate = history.up_limit(now_ms, current, &behavior.up).max(current);
        limited.rated = stabilized.min(rate);
        limited.replicas = limited.rated.min(bounds.max);
        if limited.replicas < stabilized {
            limited.limit = Some(if bounds.max > rate { Limit::UpRate } else { Limit::Most });
        }
    } else if stabilized < current {
        let rate = history.down_limit(now_ms, current, &behavior.down).min(current);
        limited.rated = stabilized.max(rate);
        limited.replicas = limited.rated.max(bounds.min);
        if limited.replicas > stabilized {
            limited.limit = Some(if bounds.min < rate { Limit::DownRate } else { Limit::Fewest });
        }
    }
    limited
}

/// Up no further than the least wish of the upward window, down no further than the highest of the downward one.
fn stabilize(behavior: &Behavior, current: i32, wish: i32, history: &History, now_ms: i64) -> (i32, Stabilization) {
    let after = |window: Duration| {
        let cutoff = now_ms - millis(window);
        history.recommendations.iter().filter(move |r| r.at_ms > cutoff).map(|r| r.replicas)
    };
    let least = after(behavior.up.window).fold(wish, i32::min);
    let most = after(behavior.down.window).fold(wish, i32::max);
    // First up to the least, then down to the most, as HPA does; `clamp` would refuse a least above the most.
    let stabilized = current.max(least).min(most);
    let stabilization = if stabilized == wish {
        Stabilization::Passed
    } else if wish >= current {
        Stabilization::HeldUp
    } else {
        Stabilization::HeldDown
    };
    (stabilized, stabilization)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

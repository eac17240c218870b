//! Which replicas of a Deployment to create and which to end now: scaling and the rolling update in one rule. Pure: the
//! same replicas give the same plan. Follows the Deployment controller's arithmetic of maxSurge and maxUnavailable.

/// A replica as the plan sees it. Replicas that are ending already are not shown to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Replica {
    /// Tells it from the others; a higher one is newer.
    pub id: u64,
    /// Whether it is of the version asked for.
    pub current: bool,
    /// Whether it has been ready for long enough.
    pub available: bool,
    /// What its end would cost, compared with others.
    pub cost: i32,
}

/// Bounds of a rolling update, in replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Replicas beyond the number asked for.
    pub surge: u32,
    /// Replicas that may be missing.
    pub unavailable: u32,
}

/// What to do now; the rest follows when replicas have become ready or have ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Replicas of the version asked for to create.
    pub create: u32,
    /// Replicas to end.
    pub end: Vec<u64>,
}

/// Plans the next step towards `desired` available replicas of the current version.
pub(super) fn plan(replicas: &[Replica], desired: u32, bounds: Bounds) -> Plan {
    let count = |test: &dyn Fn(&Replica) -> bool| {
        u32::try_from(replicas.iter().filter(|r| test(r)).count()).unwrap_or(u32::MAX)
    };
    let current = count(&|r| r.current);
    let live = count(&|_| true);
    let old = live - current;
    if current > desired {
        let surplus = (current - desired) as usize;
        let mut end = least_useful(replicas.iter().filter(|r| r.current));
        end.truncate(surplus);
        return Plan { create: 0, end };
    }
    if old == 0 {
        return Plan { create: desired - current, end: Vec::new() };
    }
    // With neither surge nor gap nothing could ever move; Kubernetes then allows a gap of one.
    let gap = if bounds.surge == 0 { bounds.unavailable.max(1) } else { bounds.unavailable };
    let create = (desired - current).min(desired.saturating_add(bounds.surge).saturating_sub(live));
    let available = count(&|r| r.available);
    let mut spare = available.saturating_sub(desired.saturating_sub(gap));
    let end = least_useful(replicas.iter().filter(|r| !r.current))
        .into_iter()
        .filter(|id| {
            let available = replicas.iter().any(|r| r.id == *id && r.available);
            // One that is not available gives nothing up by ending.
            if available && spare == 0 {
                return false;
            }
            spare -= u32::from(available);
            true
        })
        .collect();
    Plan { create, end }
}

/// Those that are not available first, then the cheapest, then the newest.
fn least_useful<'a>(replicas: impl Iterator<Item = &'a Replica>) -> Vec<u64> {
    let mut ordered: Vec<_> = replicas.map(|r| (r.available, r.cost, std::cmp::Reverse(r.id))).collect();
    ordered.sort_unstable();
    ordered.into_iter().map(|(_, _, std::cmp::Reverse(id))| id).collect()
}

#[cfg(test)]
mod tests;

//! How long requests wait for a free server, and how many servers keep that wait short: Erlang's C formula, with the
//! correction of Allen and Cunneen where arrivals or service times vary otherwise than in a Poisson stream with exponential
//! service. Pure arithmetic; knows nothing of replicas. Start at `servers_for`.
//!
//! With `a` servers busy on average (arrival rate times service time) out of `c`:
//! - Erlang's B, the share that would find all servers busy if nobody waited, by its inverse: `1/B(c) = 1 + c/a * 1/B(c-1)`,
//!   `B(0) = 1` (Jagerman, "Some Properties of the Erlang Loss Function", Bell System Technical Journal 53, 1974). All terms are
//!   positive, so that nothing cancels, and what is too large to be a number means a share of 0.
//! - Erlang's C, the share that waits: `C = B / (1 - a/c * (1 - B))`. Who waits, waits for an exponential time, of mean
//!   `service / (c - a)`: `P(wait > t) = C exp(-(c - a) t / service)` (Cooper, "Introduction to Queueing Theory", 1981, chapter 3).
//! - For other streams the wait is that times `(Ca2 + Cs2) / 2`, with the squared coefficients of variation of the times between
//!   arrivals and of the service times (Allen, "Probability, Statistics and Queueing Theory", 1990, chapter 5; how good it is:
//!   Whitt, "Approximations for the GI/G/m Queue", Production and Operations Management 2, 1993).

/// The most servers that are reckoned with: a workload of 5,000 replicas that do two things at once.
pub const SERVERS_MAX: u32 = 10_000;

/// What there is to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Arrivals a second.
    pub rate: f64,
    /// Seconds that one server works on one of them, on average.
    pub service_seconds: f64,
    /// `(Ca2 + Cs2) / 2`: 1 for Poisson arrivals and exponential service times, less for steadier ones.
    pub variability: f64,
}

/// What the servers must keep to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Goal {
    /// The share of arrivals that may not wait longer, such as 0.99; below 1.
    pub quantile: f64,
    /// The longest wait of that share, in seconds.
    pub wait_seconds: f64,
    /// The largest share of the servers that may be busy on average, above 0 and at most 1.
    pub utilization_max: f64,
}

impl Load {
    /// Servers that are busy on average, if there are enough of them.
    pub fn busy(&self) -> f64 {
        self.rate * self.service_seconds
    }

    /// The share of arrivals that wait for longer than `seconds` for one of `servers`: 1 if they never catch up.
    pub fn wait_share(&self, servers: u32, seconds: f64) -> f64 {
        let busy = self.busy();
        self.tail(servers, busy, wait_probability(servers, busy), seconds)
    }

    /// The wait in seconds that a share `quantile` of arrivals stays within; infinite if `servers` never catch up.
    pub fn wait_quantile(&self, servers: u32, quantile: f64) -> f64 {
        let busy = self.busy();
        let (waits, longer) = (wait_probability(servers, busy), 1.0 - quantile);
        if waits <= longer {
            return 0.0;
        }
        let spare = f64::from(servers) - busy;
        if spare <= 0.0 {
            return f64::INFINITY;
        }
        self.service_seconds * self.variability / spare * (waits / longer).ln()
    }

    fn tail(&self, servers: u32, busy: f64, waits: f64, seconds: f64) -> f64 {
        let spare = f64::from(servers) - busy;
        if spare <= 0.0 {
            return 1.0;
        }
        let mean = self.service_seconds * self.variability / spare;
        if mean > 0.0 { waits * (-seconds / mean).exp() } else { 0.0 }
    }
}

/// Erlang's C: the share of arrivals that find `servers` busy, `busy` of which are on average. 1 if they never catch up.
pub fn wait_probability(servers: u32, busy: f64) -> f64 {
    if busy <= 0.0 {
        return 0.0;
    }
    if f64::from(servers) <= busy {
        return 1.0;
    }
    waits(f64::from(servers), busy, inverse_blocking(servers, busy, f64::INFINITY))
}

/// The fewest servers, in whole groups of `group`, that keep to the goal; at least one group. `None` if [`SERVERS_MAX`] do not, or if
/// the load is no amount.
pub fn servers_for(load: Load, goal: Goal, group: u32) -> Option<u32> {
    let (busy, group) = (load.busy(), group.max(1));
    if !(busy.is_finite() && busy >= 0.0) {
        return None;
    }
    // A hair less, so that a load of exactly three groups does not ask for four.
    let groups = (busy / (f64::from(group) * goal.utilization_max) - 1e-9).ceil().max(1.0);
    let first = groups * f64::from(group);
    if first > f64::from(SERVERS_MAX) {
        return None;
    }
    let mut servers = first as u32;
    if busy == 0.0 {
        return Some(servers);
    }
    let longer = 1.0 - goal.quantile;
    // From here on a part of the sum shows that few enough wait.
    let enough = 1.0 / (longer * (1.0 - busy / first).max(0.0));
    let mut inverse = inverse_blocking(servers, busy, enough);
    loop {
        let waits = waits(f64::from(servers), busy, inverse);
        // Most sizings end at the first test, which needs no logarithm.
        if f64::from(servers) > busy
            && (waits <= longer || load.tail(servers, busy, waits, goal.wait_seconds) <= longer)
        {
            return Some(servers);
        }
        for _ in 0..group {
            servers += 1;
            inverse = 1.0 + f64::from(servers) / busy * inverse;
        }
        if servers > SERVERS_MAX {
            return None;
        }
    }
}

/// Erlang's C from the inverse of B.
fn waits(servers: f64, busy: f64, inverse_blocking: f64) -> f64 {
    let utilization = busy / servers;
    if utilization >= 1.0 { 1.0 } else { 1.0 / ((1.0 - utilization) * inverse_blocking + utilization) }
}

/// `1/B`, the recursion read from its end: `sum over k of c (c-1) .. (c-k+1) / a^k`. Near the load the terms fall off after some
/// times the root of the servers, so that 10,000 of them cost a few hundred terms. What is beyond `enough` may be given as less.
fn inverse_blocking(servers: u32, busy: f64, enough: f64) -> f64 {
    let (mut term, mut sum) = (1.0f64, 1.0f64);
    let mut left = f64::from(servers);
    while left >= 1.0 {
        term *= left / busy;
        sum += term;
        left -= 1.0;
        if sum >= enough || (left < busy && term < sum * f64::EPSILON * 0.1) {
            break;
        }
    }
    sum
}

#[cfg(test)]
mod tests;

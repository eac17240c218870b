//! One replica as a queue: M/G/k in steady state, and how it gets there. Pure.
//!
//! In steady state the mean number that waits is Erlang's C of an M/M/k queue, corrected for how much service times vary:
//! `Lq = C(k, r) * r / (1 - r) * (1 + cv^2) / 2` (Allen and Cunneen; exact for k = 1, where it is Pollaczek and Khinchine's).
//! In between, the queue follows the fluid equation `dq/dt = arrivals - capacity * r(q)`, where `r(q)` is the load at which so
//! many would wait in steady state (pointwise stationary fluid flow approximation: Wang, Tipper, Banerjee, INFOCOM 1996). So
//! one equation holds from idle to overload, where `r` is 1 and the queue grows by what is too much. A step solves it
//! implicitly: it cannot swing, and what arrives is served or waits, to the last bit.

/// Places of the table; its loads are denser towards 1, where queues are long.
const PLACES: usize = 512;

/// Up to this load waiting is taken as random; what waits beyond that is a backlog, which all newcomers find before them.
const RANDOM_LOAD_MAX: f64 = 0.95;

/// A replica's queue: as many servers as requests run at once, and how their times vary.
#[derive(Debug, Clone)]
pub struct Station {
    servers: u32,
    /// Squared coefficient of variation of service times.
    variation_squared: f64,
    /// Mean number waiting at the loads of the table.
    waiting: Vec<f64>,
}

/// A queue after a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Advanced {
    /// Requests waiting.
    pub queue: f64,
    /// Share of the capacity that was used.
    pub load: f64,
}

/// How long newcomers wait: nothing with probability `1 - probability`, else an exponential time; and before either the backlog.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Waiting {
    /// Seconds that everybody waits.
    pub backlog: f64,
    /// Who waits beyond that.
    pub probability: f64,
    /// Mean seconds of those who do.
    pub mean_if_any: f64,
}

impl Waiting {
    /// Mean seconds.
    pub fn mean(&self) -> f64 {
        self.backlog + self.probability * self.mean_if_any
    }

    /// The time that a share `point` (0 to 1) of newcomers waits at most.
    pub fn quantile(&self, point: f64) -> f64 {
        let beyond = 1.0 - point;
        if beyond >= self.probability || self.mean_if_any <= 0.0 {
            return self.backlog;
        }
        self.backlog - self.mean_if_any * libm::log(beyond.max(f64::MIN_POSITIVE) / self.probability)
    }
}

impl Station {
    /// Of so many servers, at least 1.
    pub fn new(servers: u32, variation_squared: f64) -> Self {
        let servers = servers.max(1);
        let mut station = Self { servers, variation_squared, waiting: Vec::new() };
        station.waiting = (0..PLACES).map(|place| station.steady(load_at(place))).collect();
        station
    }

    /// Who has to wait at this load (0 to 1), in steady state.
    fn wait_probability(&self, load: f64) -> f64 {
        queueing::wait_probability(self.servers, load * f64::from(self.servers))
    }

    /// Mean number waiting in steady state; infinite from load 1 on.
    pub fn steady(&self, load: f64) -> f64 {
        if load >= 1.0 {
            return f64::INFINITY;
        }
        self.wait_probability(load) * load / (1.0 - load) * (1.0 + self.variation_squared) / 2.0
    }

    /// Lets `arrivals` come to a queue that can serve at most `capacity` in this step.
    pub fn advance(&self, queue: f64, arrivals: f64, capacity: f64) -> Advanced {
        let all = queue + arrivals;
        let after = |place: usize| self.waiting[place] + capacity * load_at(place);
        if all >= after(PLACES - 1) {
            return Advanced { queue: all - capacity, load: 1.0 };
        }
        // The first place whose queue and service together are too much; 0 is never, as nothing waits at load 0.
        let (mut low, mut high) = (0, PLACES - 1);
        while high - low > 1 {
            let middle = usize::midpoint(low, high);
            if after(middle) > all {
                high = middle;
            } else {
                low = middle;
            }
        }
        let between = after(high) - after(low);
        let share = if between > 0.0 { ((all - after(low)) / between).clamp(0.0, 1.0) } else { 0.0 };
        let load = load_at(low) + share * (load_at(high) - load_at(low));
        Advanced { queue: (all - capacity * load).max(0.0), load }
    }

    /// How long newcomers wait behind this queue, at a capacity a second.
    pub fn waiting(&self, advanced: Advanced, capacity_a_second: f64) -> Waiting {
        let served = capacity_a_second * advanced.load;
        if advanced.queue <= 0.0 || served <= 0.0 {
            return Waiting::default();
        }
        let random = advanced.queue.min(self.steady(advanced.load.min(RANDOM_LOAD_MAX)));
        let probability = self.wait_probability(advanced.load);
        Waiting {
            backlog: (advanced.queue - random) / served,
            probability,
            mean_if_any: if probability > 0.0 { random / served / probability } else { 0.0 },
        }
    }
}

fn load_at(place: usize) -> f64 {
    let gap = 1.0 - place as f64 / PLACES as f64;
    1.0 - gap * gap
}

#[cfg(test)]
mod tests;

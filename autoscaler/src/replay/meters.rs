//! What is known of a simulated cluster, and how late: counters are read now and then, and a rate is made of two readings. Two
//! ways: a Prometheus that scrapes, and Kubernetes' own way of kubelet and metrics-server.

use std::collections::VecDeque;
use std::time::Duration;

use cluster::simulated::Simulation;

use super::question::Metric;
use crate::observe::thousandths;
use crate::planner::observation::PodSample;

/// How often a kubelet measures its containers (cAdvisor's housekeeping interval).
const KUBELET_MS: i64 = 10_000;

/// Kubelets measure a container when its turn comes: pods of successive numbers are so far apart.
const KUBELET_PHASE_MS: i64 = 3_000;

/// How often metrics-server asks the kubelets (`--metric-resolution`, as its manifests set it).
const METRICS_SERVER_MS: i64 = 15_000;

/// How readings come about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Way {
    /// A Prometheus scrapes every container so often; CPU is a rate over a window.
    Scraped { every: Duration, window: Duration },
    /// Kubelets measure every 10 s, metrics-server asks them every 15 s and makes a rate of the last two measurements.
    MetricsServer,
}

/// A counter as it was read at some times, the oldest first.
#[derive(Debug, Clone, Default)]
struct Readings(VecDeque<(i64, f64)>);

impl Readings {
    /// Adds a reading unless it is there already, and forgets what is older than `keep_ms`.
    fn push(&mut self, (at_ms, value): (i64, f64), keep_ms: i64) {
        if self.0.back().is_some_and(|(newest_ms, _)| *newest_ms >= at_ms) {
            return;
        }
        self.0.push_back((at_ms, value));
        while self.0.front().is_some_and(|(oldest_ms, _)| *oldest_ms < at_ms - keep_ms) {
            self.0.pop_front();
        }
    }

    /// Growth a second between the oldest and the newest reading of a window that ends now.
    fn rate(&self, now_ms: i64, window_ms: i64) -> Option<Rate> {
        let first = self.0.iter().find(|(at_ms, _)| *at_ms >= now_ms - window_ms)?;
        Rate::between(*first, *self.0.back()?)
    }

    /// Growth a second between the last two readings.
    fn last_two(&self) -> Option<Rate> {
        let before = self.0.len().checked_sub(2)?;
        Rate::between(self.0[before], *self.0.back()?)
    }
}

/// A counter's growth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rate {
    /// A second.
    pub value: f64,
    /// Milliseconds of the newer reading.
    pub at_ms: i64,
    span_ms: i64,
}

impl Rate {
    fn between(first: (i64, f64), last: (i64, f64)) -> Option<Self> {
        let span_ms = last.0 - first.0;
        let value = (last.1 - first.1) / (span_ms as f64 / 1000.0);
        (span_ms > 0).then_some(Self { value, at_ms: last.0, span_ms })
    }
}

/// What is known of a pod.
#[derive(Debug, Clone)]
struct Known {
    number: u64,
    /// The kubelet's latest measurement.
    measured: Option<(i64, f64)>,
    readings: Readings,
}

/// Readings of one workload.
#[derive(Debug, Clone)]
pub(super) struct Meter {
    way: Way,
    service: usize,
    phase_ms: i64,
    /// In the order of the pods' numbers.
    pods: Vec<Known>,
    /// What queries ask for.
    metrics: Vec<(Metric, Readings)>,
    next_ms: i64,
}

impl Meter {
    /// Of a service's CPU, `phase_ms` off the full minute, and of what queries ask for.
    pub fn new(way: Way, service: usize, phase_ms: i64, metrics: impl Iterator<Item = Metric>) -> Self {
        let metrics = metrics.map(|metric| (metric, Readings::default())).collect();
        Self { way, service, phase_ms, pods: Vec::new(), metrics, next_ms: i64::MIN }
    }

    /// Reads what it is time to read.
    pub fn read(&mut self, simulation: &Simulation) {
        let now_ms = simulation.now_ms();
        let is_due = now_ms >= self.next_ms;
        if !is_due && self.way != Way::MetricsServer {
            return;
        }
        self.follow(simulation);
        for (known, pod) in self.pods.iter_mut().zip(simulation.fleet(self.service).pods()) {
            let phase_ms = i64::try_from(pod.number).unwrap_or_default().wrapping_mul(KUBELET_PHASE_MS);
            let is_measured = self.way != Way::MetricsServer
                || known.measured.is_none_or(|(at_ms, _)| now_ms >= next(at_ms, KUBELET_MS, phase_ms));
            if is_measured && pod.starts_ms <= now_ms {
                known.measured = Some((now_ms, pod.cpu_seconds));
            }
        }
        if !is_due {
            return;
        }
        let (every_ms, keep_ms) = match self.way {
            Way::Scraped { every, window } => (millis(every).max(1), millis(window)),
            Way::MetricsServer => (METRICS_SERVER_MS, 2 * METRICS_SERVER_MS + KUBELET_MS),
        };
        self.next_ms = next(now_ms, every_ms, self.phase_ms);
        for (metric, readings) in &mut self.metrics {
            let (value, keep_ms) = match *metric {
                Metric::Requests { service, window } => {
                    let flow = simulation.flow(service);
                    (flow.served + flow.refused, millis(window))
                }
                Metric::UnderWay { service } => (simulation.flow(service).under_way, 0),
            };
            readings.push((now_ms, value), keep_ms);
        }
        for known in &mut self.pods {
            if let Some(measured) = known.measured {
                known.readings.push(measured, keep_ms);
            }
        }
    }

    /// Knows the pods that there are now.
    fn follow(&mut self, simulation: &Simulation) {
        let pods = simulation.fleet(self.service).pods();
        self.pods.retain(|known| pods.binary_search_by_key(&known.number, |pod| pod.number).is_ok());
        for pod in pods.iter().skip(self.pods.len()) {
            self.pods.push(Known { number: pod.number, measured: None, readings: Readings::default() });
        }
    }

    /// Brings samples up to date: the CPU in millicores of each pod that has been read twice.
    pub fn cpu(&self, simulation: &Simulation, samples: &mut Vec<PodSample>) {
        let now_ms = simulation.now_ms();
        let mut filled = 0;
        for pod in simulation.fleet(self.service).pods() {
            let Some(known) = self.pods.iter().find(|known| known.number == pod.number) else { continue };
            let (rate, window) = match self.way {
                Way::Scraped { window, .. } => (known.readings.rate(now_ms, millis(window)), window),
                Way::MetricsServer => {
                    let rate = known.readings.last_two();
                    let span_ms = rate.map_or(0, |rate| rate.span_ms);
                    (rate, Duration::from_millis(span_ms.unsigned_abs()))
                }
            };
            let Some(Rate { value, at_ms, .. }) = rate else { continue };
            let millis = thousandths(value);
            match samples.get_mut(filled) {
                Some(sample) if sample.pod == pod.name => {
                    (sample.millis, sample.at_ms, sample.window) = (millis, at_ms, window);
                }
                place => {
                    let sample = PodSample { pod: pod.name.clone(), millis, at_ms, window };
                    match place {
                        Some(old) => *old = sample,
                        None => samples.push(sample),
                    }
                }
            }
            filled += 1;
        }
        samples.truncate(filled);
    }

    /// What a query gives, and the milliseconds of the newest reading behind it. Refused requests count as requests.
    pub fn number(&self, metric: Metric, now_ms: i64) -> Option<(f64, i64)> {
        let (_, readings) = self.metrics.iter().find(|(known, _)| *known == metric)?;
        match metric {
            Metric::Requests { window, .. } => {
                readings.rate(now_ms, millis(window)).map(|rate| (rate.value, rate.at_ms))
            }
            Metric::UnderWay { .. } => readings.0.back().map(|(at_ms, value)| (*value, *at_ms)),
        }
    }
}

/// The first time after `now_ms` that is a multiple of `every_ms`, but for the phase.
pub(super) fn next(now_ms: i64, every_ms: i64, phase_ms: i64) -> i64 {
    now_ms + every_ms - (now_ms - phase_ms).rem_euclid(every_ms)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests;

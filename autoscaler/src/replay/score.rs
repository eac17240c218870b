//! What a contender did for the shop and at what price: minutes in which the objective was missed, CPU, changes, latency, and
//! how long trouble lasted. And what several runs say together.

use cluster::simulated::Answers;
use serde::Serialize;

/// Virtual seconds of a judged interval: what reports and error budgets count.
const MINUTE: f64 = 60.0;

/// Virtual seconds of the intervals by which the length of trouble is told.
const MOMENT: f64 = 10.0;

/// Latencies are counted in buckets that are so much wider than the one before, which is how exact a percentile is.
const BUCKET_FACTOR: f64 = 1.02;

/// The first bucket's upper end, in seconds.
const BUCKET_FIRST: f64 = 0.001;

/// Buckets: up to some 20 minutes.
const BUCKETS: usize = 710;

/// What the front door promises.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    /// Share of answered requests that are fast, such as 0.99 ...
    pub quantile: f64,
    /// ... that is, within so many seconds.
    pub below_seconds: f64,
    /// Share of requests that are answered, such as 0.999.
    pub availability: f64,
}

/// One run's figures.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Score {
    /// Whole minutes in which the objective was missed.
    pub slo_missing_minutes: f64,
    /// Whole minutes judged.
    pub minutes: f64,
    /// Requested CPU of the replicas of steered workloads, from creation to end, in core hours.
    pub cpu_hours: f64,
    /// Writes of a number of replicas.
    pub changes: f64,
    /// 99th percentile of all answered requests.
    pub p99_ms: f64,
    /// Mean length of the times in which the objective was missed, told in steps of 10 s; 0 without one.
    pub recovery_s: f64,
}

/// One minute as the picture shows it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// Journeys a second.
    pub rate: f64,
    /// Replicas of steered workloads.
    pub replicas: f64,
    /// 99th percentile of answered requests; NaN without one.
    pub p99_ms: f64,
    /// Whether the objective was missed.
    pub missed: bool,
}

/// Requests of an interval.
#[derive(Debug, Clone, Copy, Default)]
struct Interval {
    seconds: f64,
    requests: f64,
    failed: f64,
    slow: f64,
}

impl Interval {
    fn add(&mut self, seconds: f64, answers: &Answers, slow: f64) {
        self.seconds += seconds;
        self.requests += answers.requests;
        self.failed += answers.failed;
        self.slow += slow;
    }

    fn missed(&self, objective: Objective) -> bool {
        let answered = self.requests - self.failed;
        self.failed > self.requests * (1.0 - objective.availability)
            || self.slow > answered * (1.0 - objective.quantile)
    }
}

/// Adds a run up.
pub(super) struct Scorer {
    objective: Objective,
    minute: Interval,
    moment: Interval,
    /// Seconds of each time of trouble; the last one may go on.
    troubles: Vec<f64>,
    in_trouble: bool,
    buckets: Vec<f64>,
    score: Score,
    cpu_seconds: f64,
    latencies: Vec<f64>,
    journeys: f64,
    replica_seconds: f64,
    /// Minutes for a picture, if one is wanted.
    pub moments: Option<Vec<Moment>>,
}

impl Scorer {
    pub fn new(objective: Objective, with_moments: bool) -> Self {
        Self {
            objective,
            minute: Interval::default(),
            moment: Interval::default(),
            troubles: Vec::new(),
            in_trouble: false,
            buckets: vec![0.0; BUCKETS],
            score: Score::default(),
            cpu_seconds: 0.0,
            latencies: Vec::new(),
            journeys: 0.0,
            replica_seconds: 0.0,
            moments: with_moments.then(Vec::new),
        }
    }

    /// Adds a step of so many seconds, at a rate of journeys, with so many replicas that request so many cores.
    pub fn add(&mut self, seconds: f64, rate: f64, answers: &Answers, replicas: f64, cores: f64) {
        let each = if answers.latencies.is_empty() {
            0.0
        } else {
            (answers.requests - answers.failed) / answers.latencies.len() as f64
        };
        let mut slow = 0.0;
        for latency in &answers.latencies {
            self.buckets[bucket(*latency)] += each;
            if *latency > self.objective.below_seconds {
                slow += each;
            }
        }
        self.cpu_seconds += cores * seconds;
        if self.moments.is_some() {
            self.latencies.extend_from_slice(&answers.latencies);
            self.journeys += rate * seconds;
            self.replica_seconds += replicas * seconds;
        }
        self.minute.add(seconds, answers, slow);
        self.moment.add(seconds, answers, slow);
        if self.moment.seconds >= MOMENT {
            self.end_moment();
        }
        if self.minute.seconds >= MINUTE {
            self.end_minute();
        }
    }

    fn end_moment(&mut self) {
        let moment = std::mem::take(&mut self.moment);
        let missed = moment.missed(self.objective);
        match self.troubles.last_mut() {
            Some(trouble) if missed && self.in_trouble => *trouble += moment.seconds,
            _ if missed => self.troubles.push(moment.seconds),
            _ => {}
        }
        self.in_trouble = missed;
    }

    fn end_minute(&mut self) {
        let minute = std::mem::take(&mut self.minute);
        let missed = minute.missed(self.objective);
        self.score.minutes += 1.0;
        self.score.slo_missing_minutes += f64::from(u8::from(missed));
        if let Some(moments) = &mut self.moments {
            self.latencies.sort_by(f64::total_cmp);
            let place = (self.latencies.len() as f64 * 0.99) as usize;
            let p99_ms = self.latencies.get(place).map_or(f64::NAN, |seconds| seconds * 1000.0);
            let (rate, replicas) = (self.journeys / minute.seconds, self.replica_seconds / minute.seconds);
            moments.push(Moment { rate, replicas, p99_ms, missed });
            self.latencies.clear();
            (self.journeys, self.replica_seconds) = (0.0, 0.0);
        }
    }

    /// The whole run; what is left of a minute is not judged.
    pub fn finish(mut self, changes: u64) -> (Score, Option<Vec<Moment>>) {
        let troubles = &self.troubles;
        self.score.cpu_hours = self.cpu_seconds / 3600.0;
        self.score.changes = changes as f64;
        self.score.p99_ms = percentile(&self.buckets, 0.99) * 1000.0;
        self.score.recovery_s =
            if troubles.is_empty() { 0.0 } else { troubles.iter().sum::<f64>() / troubles.len() as f64 };
        (self.score, self.moments)
    }
}

fn bucket(seconds: f64) -> usize {
    let place = libm::log(seconds.max(BUCKET_FIRST) / BUCKET_FIRST) / libm::log(BUCKET_FACTOR);
    (place.ceil() as usize).min(BUCKETS - 1)
}

/// The upper end of the bucket in which this share of all is reached; 0 without any.
fn percentile(buckets: &[f64], share: f64) -> f64 {
    let wanted = buckets.iter().sum::<f64>() * share;
    let mut sum = 0.0;
    for (place, count) in buckets.iter().enumerate() {
        sum += count;
        if sum >= wanted && sum > 0.0 {
            return BUCKET_FIRST * libm::pow(BUCKET_FACTOR, place as f64);
        }
    }
    0.0
}

/// A mean over runs, and how far off it may be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// Mean.
    pub mean: f64,
    /// Half the width of the 95 % confidence interval of the mean (Student's t); none of a single run.
    pub ci95: Option<f64>,
}

/// Two-sided 95 % quantiles of Student's t for 1 to 30 degrees of freedom (NIST/SEMATECH e-Handbook, 1.3.6.7.2).
const STUDENT_T: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// Beyond 30 degrees of freedom: the normal distribution's.
const NORMAL: f64 = 1.960;

impl Estimate {
    /// Of the values of runs; at least one.
    pub fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count.max(1.0);
        let ci95 = (values.len() > 1).then(|| {
            let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (count - 1.0);
            let t = STUDENT_T.get(values.len() - 2).copied().unwrap_or(NORMAL);
            t * (variance / count).sqrt()
        });
        Self { mean, ci95 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECTIVE: Objective = Objective { quantile: 0.99, below_seconds: 0.25, availability: 0.999 };

    fn answers(failed: f64, latencies: &[f64]) -> Answers {
        Answers { requests: 100.0, failed, latencies: latencies.to_vec() }
    }

    #[test]
    fn a_minute_is_missed_by_latency_or_by_failures() {
        let mut scorer = Scorer::new(OBJECTIVE, true);
        let minute = |scorer: &mut Scorer, bad: &Answers, seconds: u32| {
            (0..60).for_each(|second| {
                let well = answers(0.0, &[0.1; 10]);
                scorer.add(1.0, 5.0, if second < seconds { bad } else { &well }, 3.0, 0.3);
            });
        };
        let slow = answers(0.0, &[0.3; 10]);
        minute(&mut scorer, &slow, 0);
        minute(&mut scorer, &slow, 1);
        minute(&mut scorer, &answers(7.0, &[0.1; 10]), 1);
        minute(&mut scorer, &answers(5.0, &[0.1; 10]), 1);
        minute(&mut scorer, &slow, 25);
        let (score, moments) = scorer.finish(4);
        let missed: Vec<bool> = moments.unwrap().iter().map(|moment| moment.missed).collect();
        assert_eq!(missed, [false, true, true, false, true], "1 of 60 is more than 1 %; 7 of 6,000 more than 0.1 %");
        assert_eq!((score.slo_missing_minutes, score.minutes, score.changes), (3.0, 5.0, 4.0));
        assert!((score.cpu_hours - 0.025).abs() < 1e-12, "0.3 cores for 5 minutes: {}", score.cpu_hours);
        // Moments of trouble: 10 s (slow), 10 s and 10 s (failing), 30 s (slow).
        assert!((score.recovery_s - 15.0).abs() < 1e-9, "{}", score.recovery_s);
        assert!((300.0..=306.0).contains(&score.p99_ms), "26 of 300 seconds were slow: {}", score.p99_ms);
    }

    #[test]
    fn a_minute_without_requests_misses_nothing() {
        let mut scorer = Scorer::new(OBJECTIVE, false);
        (0..60).for_each(|_| scorer.add(1.0, 0.0, &Answers::default(), 1.0, 0.1));
        let (score, _) = scorer.finish(0);
        assert_eq!((score.slo_missing_minutes, score.minutes, score.p99_ms), (0.0, 1.0, 0.0));
    }

    #[test]
    fn estimates_are_students() {
        assert_eq!(Estimate::of(&[3.0]), Estimate { mean: 3.0, ci95: None });
        let three = Estimate::of(&[1.0, 2.0, 3.0]);
        assert_eq!(three.mean, 2.0);
        assert!((three.ci95.unwrap() - 4.303 / 3f64.sqrt()).abs() < 1e-9);
        assert_eq!(Estimate::of(&[5.0; 40]).ci95, Some(0.0));
    }
}

//! The course of one case: a fault is switched on, somebody notices, somebody is named, it is switched off, all is well again.
//! And of a calm time, in which nobody may be named.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use protocol::faults::{Faults, Suspect};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::demo::Demo;
use super::plan::Case;
use super::score::{Calm, Named, Outcome};
use super::sli::{Baseline, Promise, Sli};

/// How often everything is asked.
const BEAT: Duration = Duration::from_secs(1);
/// How often one beat is tried.
const TRIES: usize = 5;
/// A fault that nobody notices for so long has no impact.
const IMPACT_MAX_S: f64 = 30.0;
/// So long after the impact the case is over, whoever is named.
const NAME_MAX_S: f64 = 30.0;
/// The culprit is named when it is first this often in a row.
const STAYS: usize = 3;
/// All must be well, and nobody suspected, this often in a row.
const WELL: usize = 3;
/// And at last after so long.
const RECOVERY_MAX: Duration = Duration::from_secs(120);

/// One run, with all that was read in it.
pub struct Course<'a> {
    pub demo: &'a Demo,
    pub sli: Sli,
    pub seed: u64,
}

/// Who was first when, in milliseconds since the epoch.
#[derive(Debug, Default)]
struct Naming {
    first_since_ms: Option<i64>,
    in_a_row: usize,
    wrong_s: u64,
}

impl Naming {
    fn look(&mut self, faults: &Faults, culprit: &str, now_ms: i64) {
        match faults.suspects.first() {
            Some(first) if first.service == culprit => {
                self.first_since_ms.get_or_insert(now_ms);
                self.in_a_row += 1;
            }
            other => {
                self.wrong_s += u64::from(other.is_some());
                (self.first_since_ms, self.in_a_row) = (None, 0);
            }
        }
    }
}

impl Course<'_> {
    /// Asks everything once; a machine that a fault has taken all of may need to be asked again.
    async fn beat(&mut self) -> anyhow::Result<(i64, Faults)> {
        let mut tries = 1;
        loop {
            match tokio::try_join!(self.demo.counters(), self.demo.suspected()) {
                Ok((counters, faults)) => {
                    let now_ms = now_ms();
                    self.sli.read(now_ms, counters);
                    return Ok((now_ms, faults));
                }
                Err(error) if tries == TRIES => return Err(error),
                Err(_) => tries += 1,
            }
            tokio::time::sleep(BEAT).await;
        }
    }

    /// Watches for so long; whoever is blamed meanwhile is blamed falsely.
    pub async fn calm(&mut self, what: &str, seconds: u64) -> anyhow::Result<Calm> {
        let mut alarms: BTreeMap<String, (Named, u64)> = BTreeMap::new();
        let mut beats = beats();
        for _ in 0..seconds {
            beats.tick().await;
            let (_, faults) = self.beat().await?;
            for suspect in &faults.suspects {
                alarms.entry(suspect.service.clone()).or_insert_with(|| (named(suspect), 0)).1 += 1;
            }
        }
        let alarms = alarms.into_values().collect();
        Ok(Calm { seed: self.seed, what: what.to_owned(), seconds, alarms })
    }

    /// Runs one case to its end and back to calm.
    pub async fn run(&mut self, case: &Case) -> anyhow::Result<Outcome> {
        let baseline = self.sli.baseline(now_ms());
        let fault = self.demo.begin(&case.fault()).await?;
        let injected_ms = fault.began_ms.unwrap_or_else(now_ms);
        let promises = self.promises(case);
        let since = |ms: i64| seconds(ms - injected_ms);
        let (mut naming, mut impact) = (Naming::default(), None::<(i64, String)>);
        let mut beats = beats();
        let last = loop {
            beats.tick().await;
            let (now_ms, faults) = self.beat().await?;
            naming.look(&faults, case.service, now_ms);
            if impact.is_none() {
                let moved = self.sli.moved(&baseline, &promises, injected_ms, now_ms);
                impact = moved.map(|(at_ms, promise)| (at_ms, promise.to_string()));
            }
            let is_over = match &impact {
                None => since(now_ms) >= IMPACT_MAX_S,
                Some((at_ms, _)) => naming.in_a_row >= STAYS || seconds(now_ms - at_ms) >= NAME_MAX_S,
            };
            if is_over {
                break faults;
            }
        };
        self.demo.end(fault.id).await?;
        let recovered_s = self.recover(&baseline, &promises).await?;
        let (impact_ms, moved) = impact.unzip();
        let rank = last.suspects.iter().position(|suspect| suspect.service == case.service).map(|place| place + 1);
        let named_ms = naming.first_since_ms;
        Ok(Outcome {
            seed: case.seed,
            fault: case.fault(),
            kind: case.kind.to_owned(),
            culprit: case.service.to_owned(),
            injected_ms,
            impact_s: impact_ms.map(since),
            moved: moved.unwrap_or_default(),
            rank,
            named_s: named_ms.zip(impact_ms).map(|(named, impact)| seconds(named - impact)),
            named_after_injection_s: named_ms.map(since),
            wrong_s: naming.wrong_s,
            suspects: last.suspects.iter().map(named).collect(),
            verdict: last.verdict,
            recovered_s,
        })
    }

    /// Those who may notice: customers, the service itself, whoever calls it; where its calls are what is wrong, whom it calls.
    fn promises(&self, case: &Case) -> Vec<Promise> {
        let own = [Promise::Served(case.service.to_owned()), Promise::Called(case.service.to_owned())];
        let others = self.sli.promises().into_iter().filter(|promise| match promise {
            Promise::Journey(_) => true,
            Promise::Called(peer) => case.is_of_calls() && peer != case.service,
            Promise::Served(_) => false,
        });
        own.into_iter().chain(others).collect()
    }

    /// Waits until all is well and nobody suspected; how long that took.
    async fn recover(&mut self, baseline: &Baseline, promises: &[Promise]) -> anyhow::Result<Option<f64>> {
        let (ended, mut well) = (Instant::now(), 0);
        let mut beats = beats();
        while ended.elapsed() < RECOVERY_MAX {
            beats.tick().await;
            let (now_ms, faults) = self.beat().await?;
            let is_well = faults.suspects.is_empty() && self.sli.is_calm(baseline, promises, now_ms);
            well = if is_well { well + 1 } else { 0 };
            if well == WELL {
                return Ok(Some(ended.elapsed().as_secs_f64()));
            }
        }
        Ok(None)
    }
}

fn beats() -> tokio::time::Interval {
    let mut beats = interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beats
}

fn named(suspect: &Suspect) -> Named {
    let fault = serde_json::to_value(suspect.fault).ok().and_then(|fault| Some(fault.as_str()?.to_owned()));
    Named {
        service: suspect.service.clone(),
        fault: fault.unwrap_or_default(),
        score: suspect.score,
        evidence: suspect.evidence.iter().map(|evidence| evidence.text.clone()).collect(),
    }
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

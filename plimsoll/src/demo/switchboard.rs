//! The faults of the command line and which of them are on. Brings every replica to what the time asks for, beat by
//! beat: replicas that start while a fault is on get it too, and one that gave no answer is told again.

use std::time::Duration;

use futures::future::join_all;

use super::fault::FaultSpec;
use super::stack::View;

/// An admin port answers within milliseconds unless its replica has no CPU time left; the next beat tries again.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often replicas are told that a fault is over when the load has ended.
const END_ATTEMPTS: u32 = 10;
const END_PAUSE: Duration = Duration::from_millis(250);

/// Switches faults.
pub struct Switchboard {
    specs: Vec<(FaultSpec, State)>,
    http: reqwest::Client,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Off,
    On,
    /// Over, but some replica has not heard of it yet.
    Ending,
}

impl Switchboard {
    /// All off.
    pub fn new(specs: &[FaultSpec]) -> Self {
        let http = reqwest::Client::builder().timeout(PATIENCE).build().unwrap_or_default();
        Self { specs: specs.iter().map(|spec| (spec.clone(), State::Off)).collect(), http }
    }

    /// Brings every replica to the state that the time asks for; says what changed.
    pub async fn switch(&mut self, view: &View, elapsed: Duration) -> Vec<String> {
        self.step(view, elapsed, FaultSpec::is_on, "").await
    }

    /// Ends what is still on, so that the orders can settle and the books be read; says what changed.
    pub async fn end(&mut self, view: &View, elapsed: Duration) -> Vec<String> {
        let mut changes = Vec::new();
        for _ in 0..END_ATTEMPTS {
            changes.extend(self.step(view, elapsed, |_, _| false, ", as the load has ended").await);
            if self.specs.iter().all(|(_, state)| *state == State::Off) {
                break;
            }
            tokio::time::sleep(END_PAUSE).await;
        }
        changes
    }

    async fn step(
        &mut self,
        view: &View,
        elapsed: Duration,
        wanted: fn(&FaultSpec, Duration) -> bool,
        why: &str,
    ) -> Vec<String> {
        let mut changes = Vec::new();
        for (spec, state) in &mut self.specs {
            let (before, is_wanted) = (*state, wanted(spec, elapsed));
            if before == State::Off && !is_wanted {
                continue;
            }
            let all_know = tell(&self.http, view, spec, is_wanted).await;
            *state = match (is_wanted, all_know) {
                (true, _) => State::On,
                (false, true) => State::Off,
                (false, false) => State::Ending,
            };
            let word = match (before, is_wanted) {
                (State::On, false) => "off",
                (State::Off | State::Ending, true) => "on",
                _ => continue,
            };
            changes.push(format!("{:4.0} s  fault {} {word}{why}", elapsed.as_secs_f64(), spec.label()));
        }
        changes
    }
}

/// Tells every replica of the service; whether all took it.
async fn tell(http: &reqwest::Client, view: &View, spec: &FaultSpec, on: bool) -> bool {
    let each = view.cluster.pod_addresses(&spec.service, "admin").into_iter().map(async |admin| {
        let told = if on { spec.switch_on(http, admin).await } else { spec.switch_off(http, admin).await };
        if let Err(error) = &told {
            // While a crash is on that is its effect, and otherwise the next beat tries again.
            tracing::debug!(fault = spec.label(), %admin, %error, "a fault could not be switched in a replica");
        }
        told.is_ok()
    });
    join_all(each).await.into_iter().all(|took| took)
}

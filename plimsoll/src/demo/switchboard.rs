//! Switches the faults of a plan. Brings every replica to what the time asks for, beat by beat: replicas that start while a
//! fault is on get it too, and one that gave no answer is told again.

use std::net::SocketAddr;
use std::time::Duration;

use demo_services::chassis::{FaultKind, Setting};
use futures::future::join_all;

use super::fault::FaultSpec;
use super::plan::{Entry, Plan, State};
use super::stack::View;

/// An admin port answers within milliseconds unless its replica has no CPU time left; the next beat tries again.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often replicas are told that a fault is over when the load has ended.
const END_ATTEMPTS: u32 = 10;
const END_PAUSE: Duration = Duration::from_millis(250);

/// Switches faults.
pub struct Switchboard {
    plan: Plan,
    http: reqwest::Client,
}

impl Switchboard {
    /// For the faults of this plan.
    pub fn new(plan: Plan) -> Self {
        let http = reqwest::Client::builder().timeout(PATIENCE).build().unwrap_or_default();
        Self { plan, http }
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
            if self.plan.open().iter().all(|entry| entry.state == State::Waiting) {
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
        for mut entry in self.plan.open() {
            let (before, is_wanted) = (entry.state, wanted(&entry.spec, elapsed));
            if before == State::Waiting && !is_wanted {
                if entry.spec.has_ended(elapsed) {
                    // Ended before it had begun.
                    self.plan.reached(&entry, State::Over, elapsed);
                }
                continue;
            }
            let all_know = self.tell(view, &mut entry, is_wanted).await;
            let state = match (is_wanted, all_know) {
                (true, _) => State::On,
                (false, true) => State::Over,
                (false, false) => State::Ending,
            };
            self.plan.reached(&entry, state, elapsed);
            let word = match (before, is_wanted) {
                (State::On, false) => "off",
                (State::Waiting | State::Ending, true) => "on",
                _ => continue,
            };
            changes.push(format!("{:4.0} s  fault {} {word}{why}", elapsed.as_secs_f64(), entry.spec.label()));
        }
        changes
    }

    /// Tells every replica of the service that is concerned; whether all took it.
    async fn tell(&self, view: &View, entry: &mut Entry, on: bool) -> bool {
        let mut replicas = view.cluster.pod_addresses(&entry.spec.service, "admin");
        if on && let Some(share) = zone_share(&entry.spec) {
            replicas = of_zone(&mut entry.zone, replicas, share);
        }
        let spec = &entry.spec;
        let each = replicas.into_iter().map(async |admin| {
            let told = if on { self.switch_on(spec, admin).await } else { self.switch_off(spec, admin).await };
            if let Err(error) = &told {
                // While a crash is on that is its effect, and otherwise the next beat tries again.
                tracing::debug!(fault = spec.label(), %admin, %error, "a fault could not be switched in a replica");
            }
            told.is_ok()
        });
        join_all(each).await.into_iter().all(|took| took)
    }

    /// Switches the fault on in one replica; switching on what is on changes nothing.
    async fn switch_on(&self, spec: &FaultSpec, admin: SocketAddr) -> Result<(), reqwest::Error> {
        let url = format!("http://{admin}/faults/{}", spec.kind);
        let body = serde_json::json!({ "value": spec.value });
        self.http.put(url).json(&body).send().await?.error_for_status()?;
        Ok(())
    }

    /// Switches the fault off in one replica; one that does not run has no fault.
    async fn switch_off(&self, spec: &FaultSpec, admin: SocketAddr) -> Result<(), reqwest::Error> {
        let url = format!("http://{admin}/faults/{}", spec.kind);
        match self.http.delete(url).send().await {
            Err(error) if error.is_connect() && !error.is_timeout() => Ok(()),
            answer => answer?.error_for_status().map(drop),
        }
    }
}

/// The share of replicas that a fault strikes, where it strikes only some.
fn zone_share(spec: &FaultSpec) -> Option<f64> {
    if spec.kind != FaultKind::Zone {
        return None;
    }
    match spec.kind.read(&spec.service, spec.value.as_deref()) {
        Ok(Setting::Share(share)) => Some(share),
        _ => None,
    }
}

/// The replicas of a zone: those that were in it before, or, when none of them is left, as many as make up the share.
fn of_zone(zone: &mut Vec<SocketAddr>, mut replicas: Vec<SocketAddr>, share: f64) -> Vec<SocketAddr> {
    zone.retain(|replica| replicas.contains(replica));
    if zone.is_empty() {
        replicas.sort_unstable();
        replicas.truncate((share * replicas.len() as f64).ceil() as usize);
        zone.extend(replicas);
    }
    zone.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_keeps_its_replicas_while_others_come_and_go() {
        let replica = |n: u8| SocketAddr::from(([127, 0, 0, n], 9901));
        let all = |numbers: &[u8]| numbers.iter().map(|n| replica(*n)).collect::<Vec<_>>();
        let mut zone = Vec::new();
        assert_eq!(of_zone(&mut zone, all(&[3, 1, 2]), 0.5), all(&[1, 2]));
        assert_eq!(of_zone(&mut zone, all(&[0, 2, 3, 4]), 0.5), all(&[2]));
        assert_eq!(of_zone(&mut zone, all(&[9]), 0.5), all(&[9]), "of one replica it has that one");
        assert_eq!(of_zone(&mut Vec::new(), Vec::new(), 0.5), []);
    }
}

//! Leader election by a Lease of coordination.k8s.io: of several autoscalers one leads, and a lead that may be over writes
//! nothing. The rules are in `election` and pure; here they meet the API server. Decides nothing about workloads.

mod election;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use lifecycle::{Heartbeat, words};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::election::{Answer, Election, Order, Seen};
pub use self::election::{Standing, Terms};
use super::access::Connection;
use super::fence::Fence;

/// Annotation of the Lease: where its holder's API answers, for followers to forward to.
pub const ADDRESS_ANNOTATION: &str = "plimsoll.dev/address";

/// A renewal that has no answer by then is sent anew while the lead still holds.
const CALL_PATIENCE: Duration = Duration::from_secs(2);

/// Longest round of an election that goes on, with much to spare: a call and the pause between two take 2 s each.
pub const ROUND_LONGEST: Duration = Duration::from_secs(30);

/// Pause after an answer that calls for another try at once: an API server that says no is not asked in a loop.
const TRY_AGAIN: Duration = Duration::from_millis(250);

/// How long giving the Lease back may take at shutdown; else it runs out by itself.
const RELEASE_PATIENCE: Duration = Duration::from_secs(3);

/// Which Lease, and as whom.
#[derive(Debug, Clone)]
pub struct Candidacy {
    /// The Lease's namespace.
    pub namespace: String,
    /// The Lease's name.
    pub name: String,
    /// This candidate; on a cluster the name of its pod, to which admission compares it.
    pub identity: String,
    /// Where this candidate's API answers, if others can reach it.
    pub address: Option<String>,
    /// How long things hold.
    pub terms: Terms,
}

/// A candidate that does not run yet.
pub struct Elector {
    api: Api<Lease>,
    candidacy: Candidacy,
    shared: Arc<Shared>,
    standing: watch::Sender<Standing>,
    election: Election,
    /// The Lease as it was last read or written, so that a write keeps what others put on it.
    lease: Option<Lease>,
    origin: Instant,
    heart: Option<Heartbeat>,
}

struct Shared {
    until: Mutex<Option<Instant>>,
    standing: watch::Receiver<Standing>,
}

/// Lets the leader write, as long as its lead holds.
#[derive(Clone)]
pub struct LeaseFence(Arc<Shared>);

impl Fence for LeaseFence {
    fn check(&self) -> Result<Instant, String> {
        if let Some(until) = self.0.until.lock().filter(|until| Instant::now() < *until) {
            return Ok(until);
        }
        Err(match &*self.0.standing.borrow() {
            Standing::Leading => "the Lease was not renewed in time".to_owned(),
            Standing::Following { leader, .. } => format!("{leader} leads"),
            Standing::Nobody { reason } => reason.clone(),
        })
    }
}

impl Elector {
    /// A candidate for the Lease.
    pub fn new(connection: &Connection, candidacy: Candidacy) -> Self {
        Self::over(connection.client().clone(), candidacy)
    }

    fn over(client: Client, candidacy: Candidacy) -> Self {
        let election = Election::new(candidacy.identity.clone(), candidacy.terms);
        let first = election.standing(Duration::ZERO);
        let standing = watch::Sender::new(first);
        let shared = Arc::new(Shared { until: Mutex::new(None), standing: standing.subscribe() });
        let api = Api::namespaced(client, &candidacy.namespace);
        Self { api, candidacy, shared, standing, election, lease: None, origin: Instant::now(), heart: None }
    }

    /// Says where this candidate's API answers, once its port is open; `None` if others cannot reach it.
    pub fn answers_at(&mut self, address: Option<String>) {
        self.candidacy.address = address;
    }

    /// Says by these beats that the election goes on: one a round, which takes [`ROUND_LONGEST`] at most.
    pub fn beats(&mut self, heart: Heartbeat) {
        self.heart = Some(heart);
    }

    /// Lets writes through while this candidate leads.
    pub fn fence(&self) -> LeaseFence {
        LeaseFence(Arc::clone(&self.shared))
    }

    /// Tells who leads.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Takes, renews and follows until `stop`, then gives the Lease back. `stop` comes when nothing writes any more.
    ///
    /// # Errors
    /// Never: whatever goes wrong is said once, and tried again.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), std::convert::Infallible> {
        let mut trouble = false;
        loop {
            if let Some(heart) = &self.heart {
                heart.beat();
            }
            let sent = self.now();
            let order = self.election.order(sent);
            let Some((answer, lease)) = self.ask(&order, &stop).await else { break };
            if lease.is_some() {
                self.lease = lease;
            }
            let now = self.now();
            trouble = say(&answer, trouble);
            let leads = self.election.until().is_some_and(|until| now < until);
            let again = matches!(answer, Answer::Outrun) || (matches!(answer, Answer::Failed(_)) && leads);
            self.election.learn(sent, now, answer);
            self.publish();
            let next = if again { now + jittered(TRY_AGAIN) } else { self.election.wake(sent).max(now) };
            if !self.rest(next, &stop).await {
                break;
            }
        }
        self.release().await;
        Ok(())
    }

    /// Sends an order and awaits its answer, and says so when a lead runs out in between; none at shutdown.
    async fn ask(&self, order: &Order, stop: &CancellationToken) -> Option<(Answer, Option<Lease>)> {
        let answer = self.send(order);
        tokio::pin!(answer);
        let mut ends = self.election.until();
        loop {
            let end = self.origin + ends.unwrap_or_default();
            tokio::select! {
                () = stop.cancelled() => return None,
                answer = &mut answer => return Some(answer),
                () = tokio::time::sleep_until(end), if ends.is_some() => {
                    ends = None;
                    self.publish();
                }
            }
        }
    }

    /// Sleeps until `next`, and wakes when a lead runs out in between to say so; false at shutdown.
    async fn rest(&self, next: Duration, stop: &CancellationToken) -> bool {
        let ends = self.election.until().filter(|until| *until < next && *until > self.now());
        for moment in ends.into_iter().chain([next]) {
            tokio::select! {
                () = stop.cancelled() => return false,
                () = tokio::time::sleep_until(self.origin + moment) => self.publish(),
            }
        }
        true
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn publish(&self) {
        *self.shared.until.lock() = self.election.until().map(|until| self.origin + until);
        let standing = self.election.standing(self.now());
        self.standing.send_if_modified(|known| {
            if *known == standing {
                return false;
            }
            tell(&self.candidacy, &standing);
            *known = standing;
            true
        });
    }

    /// What the API server says, and the Lease as it is then if it was shown.
    async fn send(&self, order: &Order) -> (Answer, Option<Lease>) {
        let (params, name) = (PostParams::default(), &self.candidacy.name);
        let call = async {
            match order {
                Order::Look => self.api.get_opt(name).await,
                Order::Create => self.api.create(&params, &self.claim(Lease::default(), 0)).await.map(Some),
                Order::Write { version, transitions } => {
                    let mut lease = self.claim(self.lease.clone().unwrap_or_default(), *transitions);
                    lease.metadata.resource_version = Some(version.clone());
                    self.api.replace(name, &params, &lease).await.map(Some)
                }
            }
        };
        let Ok(answer) = tokio::time::timeout(CALL_PATIENCE, call).await else {
            return (Answer::Failed(format!("no answer within {} s", CALL_PATIENCE.as_secs())), None);
        };
        match answer {
            Ok(Some(lease)) => {
                let seen = seen(&lease);
                let answer = if *order == Order::Look { Answer::Found(seen) } else { Answer::Written(seen) };
                (answer, Some(lease))
            }
            Ok(None) => (Answer::Absent, None),
            // A Lease that is gone when it is to be written, or there when it is to be made, has been touched by another one.
            Err(kube::Error::Api(status)) if status.code == 409 => (Answer::Outrun, None),
            Err(kube::Error::Api(status)) if status.code == 404 && *order != Order::Create => (Answer::Outrun, None),
            Err(error) => (Answer::Failed(words(&error)), None),
        }
    }

    /// The Lease with this candidate as its holder; what others put on it stays.
    fn claim(&self, mut lease: Lease, transitions: i32) -> Lease {
        let Candidacy { namespace, name, identity, address, terms } = &self.candidacy;
        let now = MicroTime(Timestamp::now());
        let metadata = ObjectMeta { name: Some(name.clone()), namespace: Some(namespace.clone()), ..lease.metadata };
        lease.metadata = metadata;
        let annotations = lease.metadata.annotations.get_or_insert_default();
        match address {
            Some(address) => annotations.insert(ADDRESS_ANNOTATION.to_owned(), address.clone()),
            None => annotations.remove(ADDRESS_ANNOTATION),
        };
        let before = lease.spec.unwrap_or_default();
        let is_ours = before.holder_identity.as_deref() == Some(identity);
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(identity.clone()),
            acquire_time: before.acquire_time.filter(|_| is_ours).or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_duration_seconds: i32::try_from(terms.lease.as_secs()).ok(),
            lease_transitions: Some(transitions),
            ..before
        });
        lease
    }

    /// Gives the Lease back, so that the next one need not wait for it to run out. Writes end before: the fence closes first.
    async fn release(&mut self) {
        let held = self.election.close();
        self.publish();
        if held.is_none() {
            return;
        }
        let released = tokio::time::timeout(RELEASE_PATIENCE, async {
            loop {
                match self.give_back().await {
                    Err(kube::Error::Api(status)) if status.code == 409 => {}
                    outcome => return outcome,
                }
            }
        });
        match released.await {
            Ok(Ok(())) => tracing::info!(lease = %self.candidacy.name, "the Lease was given back"),
            Ok(Err(error)) => {
                tracing::warn!(reason = %words(&error), "the Lease could not be given back and runs out by itself");
            }
            Err(_) => tracing::warn!("the Lease could not be given back in time and runs out by itself"),
        }
    }

    async fn give_back(&self) -> Result<(), kube::Error> {
        let Some(mut lease) = self.api.get_opt(&self.candidacy.name).await? else { return Ok(()) };
        let Some(spec) = lease.spec.as_mut() else { return Ok(()) };
        if spec.holder_identity.as_deref() != Some(&self.candidacy.identity) {
            return Ok(());
        }
        spec.holder_identity = None;
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        if let Some(annotations) = &mut lease.metadata.annotations {
            annotations.remove(ADDRESS_ANNOTATION);
        }
        self.api.replace(&self.candidacy.name, &PostParams::default(), &lease).await.map(|_| ())
    }
}

fn seen(lease: &Lease) -> Seen {
    let spec = lease.spec.clone().unwrap_or_default();
    let annotations = lease.metadata.annotations.as_ref();
    Seen {
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
        holder: spec.holder_identity.unwrap_or_default(),
        lasts: Duration::from_secs(spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or(0)),
        transitions: spec.lease_transitions.unwrap_or(0),
        address: annotations.and_then(|annotations| annotations.get(ADDRESS_ANNOTATION)).cloned(),
    }
}

fn tell(candidacy: &Candidacy, standing: &Standing) {
    let Candidacy { name: lease, identity, .. } = candidacy;
    match standing {
        Standing::Leading => tracing::info!(lease, identity, "this autoscaler leads"),
        Standing::Following { leader, .. } => tracing::info!(lease, identity, leader, "another autoscaler leads"),
        Standing::Nobody { reason } => {
            tracing::info!(lease, identity, reason, "no autoscaler leads, as far as is known");
        }
    }
}

/// Says that the Lease cannot be reached when that begins and when it ends; whether it is so now.
fn say(answer: &Answer, trouble: bool) -> bool {
    match answer {
        Answer::Failed(reason) if !trouble => {
            tracing::warn!(reason, "the Lease cannot be read or written");
            true
        }
        Answer::Failed(_) => true,
        _ if trouble => {
            tracing::info!("the Lease can be read and written again");
            false
        }
        _ => false,
    }
}

/// Between half of it and one and a half: candidates that were outrun together do not try again together.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::random_range(0.5..1.5))
}

#[cfg(test)]
mod tests;

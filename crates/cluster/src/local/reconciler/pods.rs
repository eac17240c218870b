//! Creating and ending single replicas, and taking in what they report.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::{Id, JoinError};
use tokio::time::Instant;

use super::Reconciler;
use super::deployment::Pod;
use crate::local::cgroup::Cgroup;
use crate::local::environment;
use crate::local::manifest::model::{Mount, Volume};
use crate::local::replica::{Order, Replica, Report};
use crate::local::words::{self, Words};
use crate::{EventKind, ReplicaState};

/// Letters of generated names: Kubernetes' own choice, without vowels and look-alikes.
const NAME_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// What a replica that has gone leaves behind to be removed.
pub(super) struct Retired {
    cgroup: Arc<Cgroup>,
    attempts: u32,
}

/// The kernel may need a moment to empty a cgroup; after so many ticks it is left to the next run.
const REMOVE_ATTEMPTS_MAX: u32 = 40;

impl Reconciler {
    /// Creates a replica; `false` when that is not possible now.
    pub(super) fn create_pod(&mut self, index: usize) -> bool {
        match self.try_create_pod(index) {
            Ok(()) => {
                self.deployments[index].create_failure = None;
                true
            }
            Err(reason) => {
                let deployment = &mut self.deployments[index];
                if deployment.create_failure.as_ref() != Some(&reason) {
                    deployment.create_failure = Some(reason.clone());
                    self.tell(index, EventKind::Warning, "FailedCreate", reason);
                }
                false
            }
        }
    }

    fn try_create_pod(&mut self, index: usize) -> Result<(), String> {
        let deployment = &self.deployments[index];
        let template = deployment.spec.template.clone();
        let (namespace, resources) = (deployment.spec.reference.namespace.clone(), deployment.resources);
        let name = format!("{}-{}-{}", deployment.spec.reference.name, hash_text(deployment.revision), suffix());
        let (id, revision) = (self.next_id, deployment.revision);
        let mounts = self.make_directories(&name, &template.mounts)?;
        let ports: BTreeSet<u16> = template.container.ports.iter().map(|port| port.number).collect();
        let ip = self.addresses.replica(&ports).map_err(|error| error.to_string())?;
        self.next_id += 1;
        let cgroup = self.make_cgroup(index, &name);
        let boost = self.surroundings.startup_boost;
        let boosted_until = (!boost.is_zero() && cgroup.is_some()).then(|| Instant::now() + boost);
        let variables = self.surroundings.variables.get(&namespace).map_or(&[][..], Vec::as_slice);
        let identity = environment::Pod { name: &name, namespace: &namespace, ip, template: &template };
        let environment = environment::build(&identity, &self.manifests, variables, &mounts);
        let (orders, orders_of_replica) = watch::channel(Order::Run);
        let pod = Pod {
            id,
            revision,
            ip,
            labels: Arc::new(template.labels),
            annotations: Arc::new(template.annotations),
            ports: template.container.ports.into(),
            state: ReplicaState::Pending,
            ready: false,
            ready_since: None,
            started_at_ms: None,
            ready_changed_at_ms: None,
            restarts: 0,
            deletion_cost: 0,
            message: String::new(),
            pid: None,
            resources,
            boosted_until,
            oom_kills: 0,
            orders,
            in_flight: Arc::default(),
            task: None,
            cgroup,
            name,
        };
        let replica = Replica {
            id,
            executable: self.surroundings.executable.clone(),
            environment,
            cgroups: pod.cgroup.as_ref().map(|cgroup| cgroup.to_enter()).unwrap_or_default(),
            ip,
            readiness: template.container.readiness,
            liveness: template.container.liveness,
            startup: template.container.startup,
            grace: template.grace,
            back_off: self.surroundings.back_off,
            words: Words::new(&self.surroundings.data.join("logs").join(format!("{}.log", pod.name))),
            spawner: self.surroundings.spawner.clone(),
            in_flight: pod.in_flight.clone(),
            orders: orders_of_replica,
            reports: self.report_to.clone(),
        };
        self.deployments[index].pods.push(pod);
        self.set_limits(index, id);
        let task = self.replicas.spawn(replica.live()).id();
        if let Some(pod) = self.deployments[index].pods.last_mut() {
            pod.task = Some(task);
        }
        Ok(())
    }

    /// Directories that stand in for the volumes.
    fn make_directories(&self, pod: &str, mounts: &[Mount]) -> Result<Vec<(String, PathBuf)>, String> {
        let data = &self.surroundings.data;
        let mut stand_ins = Vec::new();
        for mount in mounts {
            let directory = match &mount.volume {
                Volume::Claim { name } => data.join("volumes").join(name),
                Volume::Empty { name } => data.join("pods").join(pod).join(name),
            };
            fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
            stand_ins.push((mount.path.clone(), directory));
        }
        Ok(stand_ins)
    }

    fn make_cgroup(&self, index: usize, pod: &str) -> Option<Arc<Cgroup>> {
        match self.surroundings.cgroups.replica(pod) {
            Ok(cgroup) => cgroup.map(Arc::new),
            Err(error) => {
                self.tell(index, EventKind::Warning, "LimitsNotEnforced", format!("{pod}: {error}"));
                None
            }
        }
    }

    /// Writes a replica's limits to its cgroup.
    pub(super) fn set_limits(&self, index: usize, id: u64) {
        let Some(pod) = self.deployments[index].pods.iter().find(|pod| pod.id == id) else { return };
        let Some(cgroup) = &pod.cgroup else { return };
        if let Err(error) = cgroup.set(&pod.resources, pod.boosted_until.is_some()) {
            self.tell(index, EventKind::Warning, "LimitsNotEnforced", format!("{}: {error}", pod.name));
        }
    }

    /// Puts the CPU limit on replicas that started long enough ago; whether there were any.
    pub(super) fn end_boosts(&mut self, now: Instant) -> bool {
        let mut over = Vec::new();
        for (index, deployment) in self.deployments.iter_mut().enumerate() {
            for pod in deployment.pods.iter_mut().filter(|pod| pod.boosted_until.is_some_and(|until| now >= until)) {
                pod.boosted_until = None;
                over.push((index, pod.id));
            }
        }
        over.iter().for_each(|(index, id)| self.set_limits(*index, *id));
        !over.is_empty()
    }

    /// Takes a replica out of traffic and asks it to end.
    pub(super) fn end_pod(&mut self, index: usize, id: u64) {
        let Some(pod) = self.deployments[index].pods.iter_mut().find(|pod| pod.id == id) else { return };
        pod.state = ReplicaState::Terminating;
        pod.in_flight.leave();
        pod.orders.send_replace(Order::Leave);
        let name = pod.name.clone();
        self.tell(index, EventKind::Normal, "Killing", format!("{name} is asked to end"));
    }

    pub(super) fn tell(&self, index: usize, kind: EventKind, reason: &str, message: String) {
        let at_ms = self.surroundings.clock.now_ms();
        self.surroundings.events.tell(at_ms, &self.deployments[index].spec.reference, kind, reason, message);
    }

    /// Takes in what a replica tells.
    pub(super) fn take_report(&mut self, id: u64, report: Report) {
        let found = self.deployments.iter().enumerate().find_map(|(index, deployment)| {
            deployment.pods.iter().position(|pod| pod.id == id).map(|position| (index, position))
        });
        let Some((index, position)) = found else { return };
        if report == Report::Gone {
            self.forget(index, position);
            return;
        }
        let now_ms = self.surroundings.clock.now_ms();
        let pod = &mut self.deployments[index].pods[position];
        let name = pod.name.clone();
        match report {
            Report::Gone => {}
            Report::Started { pid } => {
                pod.pid = Some(pid);
                pod.restarts += u32::from(pod.started_at_ms.is_some());
                pod.started_at_ms = Some(now_ms);
                if !pod.is_ending() {
                    pod.state = ReplicaState::Running;
                }
            }
            Report::Ready => {
                pod.set_ready(true, now_ms);
                pod.message.clear();
                if pod.boosted_until.take().is_some() {
                    self.set_limits(index, id);
                }
            }
            Report::NotReady { reason } => {
                pod.set_ready(false, now_ms);
                pod.message.clone_from(&reason);
                self.tell(index, EventKind::Warning, "Unhealthy", format!("{name}: {reason}"));
            }
            Report::Unhealthy { reason } => {
                pod.set_ready(false, now_ms);
                self.tell(index, EventKind::Warning, "Unhealthy", format!("{name}: {reason}; it is started again"));
            }
            Report::Ended { reason, last_words, wait } => self.take_end(index, position, &reason, &last_words, wait),
        }
    }

    fn take_end(&mut self, index: usize, position: usize, reason: &str, last_words: &str, wait: std::time::Duration) {
        let now_ms = self.surroundings.clock.now_ms();
        let boost = self.surroundings.startup_boost;
        let pod = &mut self.deployments[index].pods[position];
        pod.set_ready(false, now_ms);
        pod.pid = None;
        let oom_kills = pod.cgroup.as_ref().map_or(0, |cgroup| cgroup.oom_kills());
        let out_of_memory = oom_kills > pod.oom_kills;
        pod.oom_kills = oom_kills;
        let words = if last_words.is_empty() { String::new() } else { format!("; its last words: {last_words}") };
        let why = if out_of_memory { "was killed for using more memory than its limit" } else { reason };
        pod.message = format!("{why}{words}");
        if pod.cgroup.is_some() && !boost.is_zero() {
            pod.boosted_until = Some(Instant::now() + wait + boost);
        }
        if !pod.is_ending() {
            pod.state = if wait.is_zero() { ReplicaState::Pending } else { ReplicaState::CrashLoopBackOff };
        }
        let (id, name) = (pod.id, pod.name.clone());
        let code = match (out_of_memory, wait.is_zero()) {
            (true, _) => "OOMKilled",
            (false, true) => "Restarting",
            (false, false) => "BackOff",
        };
        let next = if wait.is_zero() { "now".to_owned() } else { format!("in {wait:?}") };
        self.set_limits(index, id);
        self.tell(index, EventKind::Warning, code, format!("{name} {why}; it is started again {next}{words}"));
    }

    /// Notes that the task of a replica has ended; whether that was news.
    pub(super) fn take_join(&mut self, joined: Result<(Id, ()), JoinError>) -> bool {
        let Err(error) = joined else { return false };
        tracing::error!(%error, "the task of a replica panicked; its process is killed and replaced");
        let found = self.deployments.iter().enumerate().find_map(|(index, deployment)| {
            deployment.pods.iter().position(|pod| pod.task == Some(error.id())).map(|position| (index, position))
        });
        let Some((index, position)) = found else { return false };
        self.forget(index, position);
        true
    }

    fn forget(&mut self, index: usize, position: usize) {
        let pod = self.deployments[index].pods.remove(position);
        self.addresses.release(pod.ip);
        remove_if_there(&self.surroundings.data.join("pods").join(&pod.name));
        words::prune(&self.surroundings.data.join("logs"));
        self.retired.extend(pod.cgroup.map(|cgroup| Retired { cgroup, attempts: 0 }));
    }

    /// Removes the cgroups of replicas that have gone.
    pub(super) fn remove_retired(&mut self) {
        self.retired.retain_mut(|retired| match retired.cgroup.remove() {
            Ok(()) => false,
            Err(error) => {
                retired.attempts += 1;
                if retired.attempts == REMOVE_ATTEMPTS_MAX {
                    tracing::warn!(%error, "the cgroup of a replica that has ended could not be removed");
                }
                retired.attempts < REMOVE_ATTEMPTS_MAX
            }
        });
    }
}

impl Pod {
    fn set_ready(&mut self, ready: bool, now_ms: i64) {
        if self.ready != ready {
            self.ready = ready;
            self.ready_changed_at_ms = Some(now_ms);
            self.ready_since = ready.then(Instant::now);
        }
    }
}

fn remove_if_there(directory: &Path) {
    if let Err(error) = fs::remove_dir_all(directory)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(path = %directory.display(), %error, "the files of a replica that has ended could not be removed");
    }
}

fn letters(mut number: u64, length: usize) -> String {
    let base = NAME_LETTERS.len() as u64;
    let mut text = String::new();
    for _ in 0..length {
        let letter = NAME_LETTERS[usize::try_from(number % base).expect("a remainder below 27 fits")];
        text.push(char::from(letter));
        number /= base;
    }
    text
}

fn hash_text(revision: u64) -> String {
    letters(revision, 9)
}

fn suffix() -> String {
    letters(rand::random(), 5)
}

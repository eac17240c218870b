//! How far a new version of a workload has come, from what its controller reports. Pure.

use crate::kubernetes::wire::Deployed;
use crate::{Rollout, WorkloadKind};

/// What was known before, of the same workload.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before<'a> {
    pub desired: u32,
    pub rollout: &'a Rollout,
}

/// Judges it.
pub(super) fn rollout(kind: WorkloadKind, object: &Deployed, before: Option<Before<'_>>) -> Rollout {
    let (spec, status) = (&object.spec, &object.status);
    if status.observed_generation < object.metadata.generation {
        // The controller has not looked yet. Another number of replicas is no new version; anything else may be one.
        return match before {
            Some(before) if before.desired != spec.replicas.unwrap_or(1) => before.rollout.clone(),
            _ => Rollout::Progressing,
        };
    }
    match kind {
        WorkloadKind::Deployment => deployment(object),
        WorkloadKind::StatefulSet => {
            let done = status.update_revision == status.current_revision || status.updated_replicas >= status.replicas;
            if done { Rollout::Complete } else { Rollout::Progressing }
        }
    }
}

fn deployment(object: &Deployed) -> Rollout {
    let status = &object.status;
    let progress = status.conditions.iter().find(|condition| condition.kind == "Progressing");
    match progress {
        Some(progress) if progress.reason == "ProgressDeadlineExceeded" => {
            Rollout::Stuck { reason: progress.message.clone() }
        }
        _ if status.updated_replicas < status.replicas => Rollout::Progressing,
        // Until it is available, the reason is NewReplicaSetCreated or ReplicaSetUpdated; a paused one keeps its own.
        Some(progress)
            if matches!(
                progress.reason.as_str(),
                "NewReplicaSetCreated" | "ReplicaSetUpdated" | "FoundNewReplicaSet"
            ) =>
        {
            Rollout::Progressing
        }
        _ => Rollout::Complete,
    }
}

//! The schema of a policy's status: exactly the fields that `status::Status` writes.

use serde_json::{Value, json};

use super::object;

/// The schema.
pub(super) fn schema() -> Value {
    let count = |description| json!({"type": "integer", "format": "int32", "description": description});
    let text = |description| json!({"type": "string", "description": description});
    let mut conditions = json!({
        "type": "array",
        "description": "Valid, AbleToScale, ScalingActive, ScalingLimited and Conflict.",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    });
    conditions["items"] = condition();
    object(
        "What the autoscaler says of this policy; written by it alone, and only when something has changed.",
        &[],
        json!({
            "observedGeneration": generation(),
            "currentReplicas": count("Replicas asked for."),
            "readyReplicas": count("Replicas that receive traffic."),
            "desiredReplicas": count("Replicas that the policy asks for."),
            "reason": text("Stable code of the latest decision."),
            "paused": {"type": "boolean", "description": "An operator has paused it at run time."},
            "lastScaleTime": time("When replicas were last changed by this policy."),
            "lastDecision": object(
                "The decision that this status was written for.",
                &[],
                json!({
                    "time": time("When."),
                    "outcome": text("ScaleUp, ScaleDown or Hold."),
                    "reason": text("Stable code."),
                    "message": text("One sentence."),
                    "applied": {"type": "boolean", "description": "Whether it was carried out."},
                }),
            ),
            "conditions": conditions,
        }),
    )
}

fn condition() -> Value {
    object(
        "A condition, as Kubernetes' own objects have it.",
        &["type", "status", "reason", "message", "lastTransitionTime"],
        json!({
            "type": {"type": "string", "description": "Which one."},
            "status": {"type": "string", "description": "Whether it holds.", "enum": ["True", "False", "Unknown"]},
            "reason": {"type": "string", "description": "Stable code."},
            "message": {"type": "string", "description": "One sentence."},
            "lastTransitionTime": time("When status last changed."),
            "observedGeneration": generation(),
        }),
    )
}

fn generation() -> Value {
    json!({"type": "integer", "format": "int64", "description": "The generation of the spec that this is about."})
}

fn time(description: &str) -> Value {
    json!({"type": "string", "format": "date-time", "description": description})
}

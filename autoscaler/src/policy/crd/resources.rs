//! The schema of `resources`. Reads no policy.

use serde_json::{Value, json};

use super::{QUANTITY, int_or_string, object, text, words};

/// Longest name of a container; Kubernetes' own limit.
const CONTAINER_MAX: u32 = 63;

/// A rule of the whole spec, with its message.
pub(super) const NOT_JUDGED_BY_ITSELF: (&str, &str) = (
    "!has(self.resources) || self.resources.apply != 'Rollout' || !self.signals.exists(s, has(s.utilization) && \
     (s.utilization.resource == 'cpu' ? has(self.resources.cpu) : has(self.resources.memory)))",
    "resources.apply Rollout writes the requests that utilization is judged by: use InPlace, or another signal",
);

pub(super) fn resources() -> Value {
    let properties = json!({
        "cpu": amounts("CPU that a container may request. Left out, its CPU is left alone.", "50m"),
        "memory": amounts("Memory that a container may request. Left out, its memory is left alone.", "64Mi"),
        "container": text(
            "One container of each replica. Left out, all of them, each within these bounds.",
            CONTAINER_MAX,
            r"\S",
            "the name is empty; write one or leave it out to mean all containers",
        ),
        "apply": words(
            "InPlace: to running replicas, without a restart. Rollout: by a rolling update. Recommend: not at all, they are \
             worked out and recorded.",
            &json!(["InPlace", "Rollout", "Recommend"]),
            Some(&json!("InPlace")),
        ),
    });
    object(
        "Requests of containers, sized by what they use. Limits keep their ratio to requests; none is set where there was none. \
         Left out, resources are left alone.",
        &[],
        properties,
    )
}

fn amounts(description: &str, such_as: &str) -> Value {
    let amount = |which: &str| {
        let message = "expected a quantity above 0, such as 50m, 1 or 64Mi";
        int_or_string(&format!("The {which}, such as {such_as}."), (1, None), QUANTITY, message)
    };
    object(description, &["min", "max"], json!({"min": amount("least"), "max": amount("most")}))
}

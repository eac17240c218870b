//! The custom resource `ScalingPolicy` as Kubernetes is told of it: exactly the fields that `raw` reads, with the defaults of
//! the checked types. Never reads a policy. What a schema cannot say (PromQL, names used twice) `check` alone refuses.

mod composite;
mod resources;
mod signal;
mod status;

use cluster::WorkloadKind;
use protocol::duration::Display;
use protocol::scaling::Mode;
use serde_json::{Value, json};

use super::check::{
    AMOUNT_MAX, BUDGETS_MAX, QUANTILE_MAX, QUANTILE_MIN, RATES_MAX, SERVICE_MAX, SIGNAL_NAME_MAX, SIGNALS_MAX,
};
use super::{CPU_PERCENT_DEFAULT, Change, MAX_AGE_DEFAULT, RatePolicy, ScalingRules, Select, TOLERANCE_DEFAULT};

/// The first lines of the file.
const HEADER: &str = "# Written by `cargo xtask bless` from autoscaler/src/policy/crd.rs; change it there.\n";

/// As `check` refuses; a test tries the loader on both sides of each limit.
const REPLICAS_MAX: u32 = 150_000;

/// As `check` refuses.
const WINDOW_SECONDS_MAX: u32 = 3600;

/// As `check` refuses.
const PERIOD_SECONDS_MAX: u32 = 1800;

/// As `check` refuses.
const PERCENT_MAX: u32 = 1000;

/// Longest text of a duration, a percentage or a quantity: the API server weighs a rule by the longest text it may meet.
const DURATION_MAX: u32 = 64;

/// Names as `check` takes them.
pub(super) const NAME: &str = "^[a-z0-9.-]+$";

/// Durations as `protocol::duration` reads them.
const DURATION: &str = "^(0|([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?)$";

/// Whole percentages from 1 to 1000.
const PERCENT: &str = r"^\+?0*([1-9][0-9]{0,2}|1000)\s*%$";

/// Whole percentages from 1 to 100.
const SHARE_PERCENT: &str = r"^\+?0*([1-9][0-9]?|100)\s*%$";

/// Percentages above 0 and below 100.
const AVAILABILITY: &str = r"^0*([1-9][0-9]?(\.[0-9]*)?|\.[0-9]*[1-9][0-9]*)%$";

/// Quantities as `protocol::quantity` reads them, above 0: a digit other than 0 stands before the point or after it.
const QUANTITY: &str = concat!(
    r"^\+?([0-9]*[1-9][0-9]*(\.[0-9]*)?|[0-9]*\.[0-9]*[1-9][0-9]*)",
    r"([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?$"
);

/// The file `k8s/crds/scalingpolicies.plimsoll.dev.yaml`.
pub fn yaml() -> String {
    let body = serde_saphyr::to_string(&definition()).expect("YAML has a form for every JSON value");
    format!("{HEADER}{body}")
}

fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "scalingpolicies.plimsoll.dev"},
        "spec": {
            "group": "plimsoll.dev",
            "names": {
                "kind": "ScalingPolicy",
                "listKind": "ScalingPolicyList",
                "plural": "scalingpolicies",
                "singular": "scalingpolicy",
                // Not `sp`: Linkerd's ServiceProfile is called so.
                "shortNames": ["scp"],
                // Not `all`: `kubectl delete all --all` must not delete what operators have written.
                "categories": ["plimsoll"],
            },
            "scope": "Namespaced",
            "versions": [{
                "name": "v1alpha1",
                "served": true,
                "storage": true,
                "additionalPrinterColumns": columns(),
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": resource()},
            }],
        },
    })
}

/// What `kubectl get` shows; those of priority 1 only with `-o wide`.
fn columns() -> Value {
    json!([
        {"name": "Target", "type": "string", "jsonPath": ".spec.target.name"},
        {"name": "Mode", "type": "string", "jsonPath": ".spec.mode"},
        {"name": "Replicas", "type": "integer", "jsonPath": ".status.currentReplicas"},
        {"name": "Wish", "type": "integer", "jsonPath": ".status.desiredReplicas"},
        {"name": "Reason", "type": "string", "jsonPath": ".status.reason"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        {"name": "Kind", "type": "string", "jsonPath": ".spec.target.kind", "priority": 1},
        {"name": "Min", "type": "integer", "jsonPath": ".spec.replicas.min", "priority": 1},
        {"name": "Max", "type": "integer", "jsonPath": ".spec.replicas.max", "priority": 1},
        {"name": "Ready", "type": "integer", "jsonPath": ".status.readyReplicas", "priority": 1},
        {"name": "Scaled", "type": "date", "jsonPath": ".status.lastScaleTime", "priority": 1},
        {"name": "Decision", "type": "string", "jsonPath": ".status.lastDecision.message", "priority": 1},
    ])
}

pub(super) fn resource() -> Value {
    object(
        "Says which workload is scaled, by which signals and within which limits.",
        &["spec"],
        json!({
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec(),
            "status": status::schema(),
        }),
    )
}

fn spec() -> Value {
    let properties = json!({
        "target": target(),
        "mode": words(
            "Off: not evaluated. Recommend: evaluated and recorded, nothing is written. Auto: carried out. ScaleUpOnly, \
             ScaleDownOnly: carried out in that direction only.",
            &json!([Mode::Off, Mode::Recommend, Mode::Auto, Mode::ScaleUpOnly, Mode::ScaleDownOnly]),
            Some(&json!(Mode::Auto)),
        ),
        "replicas": replicas(),
        "objective": objective(),
        "signals": {
            "type": "array",
            "description": "Readings that ask for capacity; the largest wish wins. Each needs a name of its own.",
            "minItems": 1,
            "maxItems": SIGNALS_MAX,
            "default": [{"utilization": {
                "resource": "cpu",
                "target": format!("{CPU_PERCENT_DEFAULT}%"),
                "maxAge": Display(MAX_AGE_DEFAULT).to_string(),
            }}],
            "items": signal::signal(),
        },
        "behavior": behavior(),
        "budgets": {
            "type": "array",
            "description": "What the replicas take of others, such as a database's connections. It is never exceeded: replicas \
                            are held instead. Needs names of their own.",
            "maxItems": BUDGETS_MAX,
            "items": budget(),
        },
        "fallback": fallback(),
        "resources": resources::resources(),
    });
    let spec = object("What is scaled, and how.", &["target", "replicas"], properties);
    let fallback = (
        "!has(self.fallback) || self.fallback.replicas <= self.replicas.max",
        "fallback.replicas must not be above replicas.max: lower the one or raise the other",
    );
    let sized = (
        "(has(self.objective) && has(self.objective.latency)) || !self.signals.exists(s, has(s.demand) || has(s.upstream))",
        "demand and upstream are sized by objective.latency: write one, such as {quantile: 0.99, below: 250ms}",
    );
    let budgets = (
        "!has(self.budgets) || self.budgets.all(b, b.perReplica * self.replicas.min <= b.total)",
        "the fewest replicas take more than a budget has: raise its total, or lower perReplica or replicas.min",
    );
    with_rules(spec, &[fallback, sized, budgets, resources::NOT_JUDGED_BY_ITSELF])
}

fn budget() -> Value {
    object(
        "Something that others bear so much of. Policies of the namespace that name the same one share it; where they differ \
         in its total, the smallest holds.",
        &["name", "total", "perReplica"],
        json!({
            "name": text("What is shared, such as postgres-connections.", SIGNAL_NAME_MAX, r"\S", "the name is empty"),
            "total": integer("How much of it there is, for all replicas of all policies that name it.", 1, AMOUNT_MAX),
            "perReplica": integer("How much each replica takes, as long as it exists.", 1, AMOUNT_MAX),
        }),
    )
}

fn objective() -> Value {
    let latency = object(
        "How fast requests are answered.",
        &["quantile", "below"],
        json!({
            "quantile": {
                "type": "number",
                "description": "The share of requests that must be, such as 0.99.",
                "minimum": QUANTILE_MIN,
                "maximum": QUANTILE_MAX,
            },
            "below": duration("How fast; more than 0, such as 250ms."),
        }),
    );
    let availability = text(
        "The share of requests that are answered well, such as 99.9%.",
        DURATION_MAX,
        AVAILABILITY,
        "expected a percentage above 0% and below 100%, such as 99.9%",
    );
    let properties = json!({"latency": latency, "availability": availability});
    object("What customers were promised.", &[], properties)
}

fn target() -> Value {
    object(
        "The workload, in the policy's own namespace. No two policies may have one target.",
        &["kind", "name"],
        json!({
            "kind": words(
                "The kind of the workload, of apps/v1.",
                &json!([WorkloadKind::Deployment, WorkloadKind::StatefulSet]),
                None,
            ),
            "name": text("The name of the workload.", 253, NAME, "expected a name of a-z, 0-9, - and ."),
            "service": text(
                "What its spans and metrics call it. Left out, the name of the workload.",
                SERVICE_MAX,
                r"\S",
                "the service is empty; write one or leave it out",
            ),
        }),
    )
}

fn replicas() -> Value {
    let mut min = integer("The fewest replicas.", 1, REPLICAS_MAX);
    min["default"] = json!(1);
    let max = integer("The most replicas.", 1, REPLICAS_MAX);
    let bounds = object("The bounds of every plan.", &["max"], json!({"min": min, "max": max}));
    with_rule(bounds, "self.min <= self.max", "min must not be above max: lower min or raise max")
}

fn behavior() -> Value {
    object(
        "How fast replicas may change. Left out, a tick may go up to the larger of 4 and twice the replicas, and down to \
         the highest wish of the last five minutes.",
        &[],
        json!({
            "scaleUp": rules("How fast upwards.", &ScalingRules::up_default()),
            "scaleDown": rules("How fast downwards.", &ScalingRules::down_default()),
        }),
    )
}

fn rules(description: &str, default: &ScalingRules) -> Value {
    let mut window = integer("The most cautious wish of this many seconds counts.", 0, WINDOW_SECONDS_MAX);
    window["default"] = json!(default.window.as_secs());
    let mut rules = object(
        description,
        &[],
        json!({
            "stabilizationWindowSeconds": window,
            "selectPolicy": words(
                "Which of the policies counts: Max, the one that allows most; Min, the one that allows least; Disabled, \
                 none, so that this direction is closed.",
                &json!([select(Select::Max), select(Select::Min), select(Select::Disabled)]),
                Some(&json!(select(default.select))),
            ),
            "policies": {
                "type": "array",
                "description": "How much may change within how long.",
                "minItems": 1,
                "maxItems": RATES_MAX,
                "default": default.policies.iter().map(rate_default).collect::<Vec<_>>(),
                "items": rate(),
            },
            "tolerance": {
                "type": "number",
                "description": "Nothing is done while a reading is within this share of its target, such as 0.1.",
                "minimum": 0,
                "default": TOLERANCE_DEFAULT,
            },
        }),
    );
    rules["default"] = json!({});
    rules
}

fn rate() -> Value {
    object(
        "At most so much change within a period.",
        &["type", "value", "periodSeconds"],
        json!({
            "type": words("What value counts.", &json!(["Pods", "Percent"]), None),
            "value": integer("So many pods, or so many percent of the replicas.", 1, REPLICAS_MAX),
            "periodSeconds": integer("The period.", 1, PERIOD_SECONDS_MAX),
        }),
    )
}

fn rate_default(rate: &RatePolicy) -> Value {
    let (kind, value) = match rate.change {
        Change::Pods(pods) => ("Pods", pods),
        Change::Percent(percent) => ("Percent", percent),
    };
    json!({"type": kind, "value": value, "periodSeconds": rate.period.as_secs()})
}

fn select(select: Select) -> &'static str {
    match select {
        Select::Max => "Max",
        Select::Min => "Min",
        Select::Disabled => "Disabled",
    }
}

fn fallback() -> Value {
    object(
        "What to do when no signal could be read for long. Left out, replicas are held.",
        &["afterMissing", "replicas"],
        json!({
            "afterMissing": duration("How long nothing must have been readable, such as 3m."),
            "replicas": integer("At least so many replicas then, never fewer than there are.", 1, REPLICAS_MAX),
        }),
    )
}

fn object(description: &str, required: &[&str], properties: Value) -> Value {
    let mut object = json!({"type": "object", "description": description});
    object["properties"] = properties;
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

fn words(description: &str, words: &Value, default: Option<&Value>) -> Value {
    let mut schema = json!({"type": "string", "description": description, "enum": words});
    if let Some(default) = default {
        schema["default"] = default.clone();
    }
    schema
}

fn integer(description: &str, minimum: u32, maximum: u32) -> Value {
    json!({
        "type": "integer", "format": "int32", "description": description, "minimum": minimum, "maximum": maximum,
    })
}

fn duration(description: &str) -> Value {
    text(description, DURATION_MAX, DURATION, "expected a duration such as 30s, 3m or 1h30m")
}

/// A text that a pattern describes. A rule, because what Kubernetes says of a `pattern` is the pattern.
fn text(description: &str, longest: u32, pattern: &str, message: &str) -> Value {
    let text = json!({"type": "string", "description": description, "minLength": 1, "maxLength": longest});
    with_rule(text, &format!("self.matches(r'{pattern}')"), message)
}

/// A number within limits, or a text that a pattern describes.
fn int_or_string(description: &str, (least, most): (u32, Option<u32>), pattern: &str, message: &str) -> Value {
    let mut schema = json!({
        "x-kubernetes-int-or-string": true,
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "description": description,
        "maxLength": DURATION_MAX,
        "minimum": least,
    });
    if let Some(most) = most {
        schema["maximum"] = json!(most);
    }
    with_rule(schema, &format!("type(self) == int || self.matches(r'{pattern}')"), message)
}

/// Exactly one of the fields is written.
fn one_of(schema: Value, fields: &[&str]) -> Value {
    let written: Vec<String> = fields.iter().map(|field| format!("(has(self.{field}) ? 1 : 0)")).collect();
    let (last, first) = fields.split_last().expect("there are fields");
    let message = format!("write exactly one of {} and {last}", first.join(", "));
    with_rule(schema, &format!("{} == 1", written.join(" + ")), &message)
}

/// What was found, Kubernetes says itself: a message that holds it would cost more than a rule may.
fn with_rule(schema: Value, rule: &str, message: &str) -> Value {
    with_rules(schema, &[(rule, message)])
}

fn with_rules(mut schema: Value, rules: &[(&str, &str)]) -> Value {
    let rules: Vec<Value> = rules.iter().map(|(rule, message)| json!({"rule": rule, "message": message})).collect();
    schema["x-kubernetes-validations"] = json!(rules);
    schema
}

#[cfg(test)]
pub(super) mod tests;

//! The JSON Schema of a policy file, for editors (yaml-language-server) and CI: made of the custom resource's schema, so that no field
//! is described twice. Draft 7, which is what editors read. Never reads a policy.

use serde_json::{Map, Value, json};

use super::crd;

/// Where it is to be found; an identifier, which nobody fetches.
const ID: &str = "https://plimsoll.dev/schemas/scalingpolicy.json";

/// The file `k8s/schemas/scalingpolicy.json`.
pub fn json() -> String {
    let mut text = serde_json::to_string_pretty(&schema()).expect("a JSON value has a text");
    text.push('\n');
    text
}

fn schema() -> Value {
    let mut policy = translated(&crd::resource());
    // What the API server knows by itself of any object; a file has no status.
    let properties = &mut policy["properties"];
    properties["apiVersion"] = json!({"const": "plimsoll.dev/v1alpha1"});
    properties["kind"] = json!({"const": "ScalingPolicy"});
    properties["metadata"] = metadata();
    if let Some(properties) = properties.as_object_mut() {
        properties.remove("status");
    }
    policy["required"] = json!(["apiVersion", "kind", "metadata", "spec"]);
    policy["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    policy["$id"] = json!(ID);
    policy["title"] = json!("ScalingPolicy");
    policy
}

fn metadata() -> Value {
    let name = |description: &str| json!({"type": "string", "description": description, "pattern": crd::NAME, "maxLength": 253});
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    json!({
        "type": "object",
        "required": ["name"],
        "additionalProperties": false,
        "properties": {
            "name": name("The policy's name."),
            "namespace": name("The namespace of the policy and of its target; default if it is left out."),
            "labels": texts,
            "annotations": texts,
        },
    })
}

/// Kubernetes' dialect in JSON Schema's: objects are closed, and rules become patterns and choices where these can say them.
fn translated(schema: &Value) -> Value {
    let Some(fields) = schema.as_object() else { return schema.clone() };
    let mut made = Map::new();
    for (key, value) in fields {
        match key.as_str() {
            // `format` is Kubernetes' int32, which JSON Schema does not know; the rest is translated below.
            "format" | "x-kubernetes-int-or-string" | "x-kubernetes-validations" => {}
            "properties" => {
                let each = value.as_object().into_iter().flatten();
                made.insert(key.clone(), each.map(|(name, field)| (name.clone(), translated(field))).collect());
                made.insert("additionalProperties".to_owned(), json!(false));
            }
            "items" => {
                made.insert(key.clone(), translated(value));
            }
            _ => {
                made.insert(key.clone(), value.clone());
            }
        }
    }
    for rule in fields.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
        add_rule(&mut made, rule["rule"].as_str().unwrap_or_default());
    }
    Value::Object(made)
}

/// A rule that arithmetic decides stays with the loader.
fn add_rule(schema: &mut Map<String, Value>, rule: &str) {
    if let Some(pattern) = pattern_of(rule) {
        match schema.get_mut("anyOf").and_then(Value::as_array_mut) {
            // A number within limits, or a text of this form.
            Some(forms) => forms.iter_mut().filter(|form| form["type"] == "string").for_each(|form| {
                form["pattern"] = json!(pattern);
            }),
            None => {
                schema.insert("pattern".to_owned(), json!(pattern));
            }
        }
    }
    let choices: Vec<Value> = choices_of(rule).into_iter().map(|field| json!({"required": [field]})).collect();
    if !choices.is_empty() {
        schema.insert("oneOf".to_owned(), json!(choices));
    }
}

/// The pattern of `self.matches(r'PATTERN')`.
fn pattern_of(rule: &str) -> Option<&str> {
    let (_, rest) = rule.split_once("self.matches(r'")?;
    rest.strip_suffix("')")
}

/// The fields of `(has(self.A) ? 1 : 0) + (has(self.B) ? 1 : 0) == 1`.
fn choices_of(rule: &str) -> Vec<&str> {
    let Some(sum) = rule.strip_suffix(" == 1") else { return Vec::new() };
    sum.split(" + ").filter_map(|part| part.strip_prefix("(has(self.")?.strip_suffix(") ? 1 : 0)")).collect()
}

#[cfg(test)]
mod tests;

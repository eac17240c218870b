//! The unit tests of the JSON Schema: it is what is committed, no rule was lost, and it takes and refuses what the loader does, as
//! far as a schema can tell. `fault` is a validator of what the schema uses.

use std::path::{Path, PathBuf};

use protocol::yaml::read_file;

use super::*;
use crate::policy::crd::tests::{BEYOND_ANY_SCHEMA, regex};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn files(name: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder(name)).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "yaml"));
    files.sort();
    files
}

fn documents(file: &Path) -> Vec<Value> {
    read_file(file).unwrap().iter().map(|document| document.parse().unwrap()).collect()
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => false,
    }
}

/// The first thing about a value that the schema does not allow.
fn fault(schema: &Value, value: &Value, place: &str) -> Option<String> {
    let mut faults = Vec::new();
    for (key, rule) in schema.as_object().unwrap() {
        let length = value.as_str().map(|text| text.chars().count() as f64);
        let items = value.as_array().map(|items| items.len() as f64);
        let number = value.as_f64();
        let is_above = |found: Option<f64>| found.is_some_and(|found| found > rule.as_f64().unwrap());
        let is_below = |found: Option<f64>| found.is_some_and(|found| found < rule.as_f64().unwrap());
        let choices = || rule.as_array().unwrap().iter().filter(|one| fault(one, value, place).is_none()).count();
        let broken = match key.as_str() {
            "type" => !is_of_type(value, rule.as_str().unwrap()),
            "const" => value != rule,
            "enum" => !rule.as_array().unwrap().contains(value),
            "pattern" => value.as_str().is_some_and(|text| !regex(rule.as_str().unwrap()).is_match(text)),
            "minimum" => is_below(number),
            "maximum" => is_above(number),
            "minLength" => is_below(length),
            "maxLength" => is_above(length),
            "minItems" => is_below(items),
            "maxItems" => is_above(items),
            "required" => rule.as_array().unwrap().iter().any(|name| value.get(name.as_str().unwrap()).is_none()),
            "anyOf" => choices() == 0,
            "oneOf" => choices() != 1,
            "additionalProperties" if rule == &json!(false) => value
                .as_object()
                .is_some_and(|fields| fields.keys().any(|name| schema["properties"].get(name).is_none())),
            "additionalProperties" => {
                value.as_object().is_some_and(|fields| fields.values().any(|field| fault(rule, field, place).is_some()))
            }
            "properties" => {
                let known = value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .filter_map(|(name, field)| Some((rule.get(name)?, name, field)));
                faults.extend(known.filter_map(|(rule, name, field)| fault(rule, field, &format!("{place}.{name}"))));
                false
            }
            "items" => {
                let each = value.as_array().into_iter().flatten().enumerate();
                faults.extend(each.filter_map(|(n, item)| fault(rule, item, &format!("{place}[{n}]"))));
                false
            }
            "$schema" | "$id" | "title" | "description" | "default" => false,
            other => panic!("{place}: no editor knows {other}"),
        };
        if broken {
            faults.push(format!("{place}: {value} breaks {key} {rule}"));
        }
    }
    faults.into_iter().next()
}

#[test]
fn the_committed_file_equals_its_source() {
    let file = folder("../k8s/schemas/scalingpolicy.json");
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == json(), "{} differs: run `cargo xtask bless` and look at the diff", file.display());
}

#[test]
fn what_is_right_is_of_the_schema() {
    let mut all = files("../k8s/shop/policies");
    all.push(folder("tests/policies/all-fields.yaml"));
    assert!(all.len() > 1);
    for file in all {
        for document in documents(&file) {
            assert_eq!(fault(&schema(), &document, ""), None, "{}", file.display());
        }
    }
}

#[test]
fn what_is_wrong_is_not_where_a_schema_can_tell() {
    let mut wrong = Vec::new();
    for file in files("tests/policies/bad") {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let is_taken = |value: Value| fault(&schema(), &value, "").is_none();
        let taken = read_file(&file).unwrap().iter().all(|document| document.parse().is_ok_and(is_taken));
        let beyond = BEYOND_ANY_SCHEMA.iter().any(|(beginning, _)| name.starts_with(beginning));
        if taken != beyond {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "taken by the schema, or else named as beyond one: {wrong:?}");
}

/// Every rule of the custom resource is translated, or compares two fields.
#[test]
fn no_rule_is_lost() {
    fn rules(schema: &Value, found: &mut Vec<String>) {
        match schema {
            Value::Object(fields) => {
                let own = fields.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten();
                found.extend(own.map(|rule| rule["rule"].as_str().unwrap().to_owned()));
                fields.values().for_each(|field| rules(field, found));
            }
            Value::Array(items) => items.iter().for_each(|item| rules(item, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    rules(&crd::resource(), &mut found);
    assert!(found.len() >= 15, "{found:?}");
    for rule in found {
        let is_translated = pattern_of(&rule).is_some() || choices_of(&rule).len() >= 2;
        let compares_fields = rule.contains(" <= ") || rule.contains(".exists(");
        assert!(is_translated != compares_fields, "{rule}");
    }
}

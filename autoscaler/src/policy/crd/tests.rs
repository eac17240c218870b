//! The unit tests of the custom resource: it is what is committed, it has the fields of the loader and no others, it takes
//! and refuses what the loader does, and its defaults change no policy. `fault` and `fill` are what Kubernetes does with it.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use parking_lot::Mutex;
use protocol::duration;
use protocol::quantity::Quantity;
use protocol::yaml::{read_file, split};
use regex::Regex;

use super::*;
use crate::policy::formula::unit::Unit;
use crate::policy::{PolicySet, from_documents};

/// What the loader knows by name only to say that it is not there yet.
const NOT_YET: [&str; 1] = ["forecast"];

/// Beginnings of the names of wrong files that any schema takes, and why none can tell; the autoscaler refuses them.
pub(in crate::policy) const BEYOND_ANY_SCHEMA: [(&str, &str); 22] = [
    ("min-above-max", "a rule, not the schema"),
    ("budget-fewest", "a rule, not the schema"),
    ("budget-name-twice", "two items of a list"),
    ("fallback-above-max", "a rule, not the schema"),
    ("demand-without-objective", "a rule, not the schema"),
    ("backlog-promql", "PromQL"),
    ("promql", "PromQL"),
    ("same-name-twice", "two objects"),
    ("same-target-twice", "two objects"),
    ("same-signal-twice", "two items of a list"),
    ("formula-", "a language of its own"),
    ("expression-max-age", "an amount in words"),
    ("expression-query-name-twice", "two items of a list"),
    ("expression-query-promql", "PromQL"),
    ("schedule-cron-", "a language of its own"),
    ("schedule-never", "the calendar"),
    ("schedule-zone", "the database of time zones"),
    ("schedule-for-", "an amount in words"),
    ("schedule-replicas-above-max", "two fields far apart"),
    ("resources-min-above-max", "amounts in words"),
    ("resources-of-nothing", "one of two fields, or both"),
    ("resources-rollout", "a rule, not the schema"),
];

/// Beginnings of those that Kubernetes would not even look up.
const BEYOND_A_RESOURCE: [(&str, &str); 4] = [
    ("api-version", "the API server knows only the group's own version"),
    ("kind", "the API server looks the kind up first"),
    ("name.", "the API server checks every object's name"),
    ("namespace", "the API server checks every object's namespace"),
];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn yaml_files(name: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder(name)).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    files
}

fn documents(file: &Path) -> Vec<Value> {
    read_file(file).unwrap().iter().map(|d| d.parse().unwrap()).collect()
}

fn example() -> Value {
    documents(&folder("tests/policies/all-fields.yaml")).remove(0)
}

fn load(document: &Value) -> Result<PolicySet, String> {
    from_documents(split(Path::new("probe.yaml"), &document.to_string())).map_err(|e| e.to_string())
}

/// A pattern, compiled once: that takes far longer than to match.
pub(in crate::policy) fn regex(pattern: &str) -> Regex {
    static COMPILED: LazyLock<Mutex<HashMap<String, Regex>>> = LazyLock::new(Mutex::default);
    let mut compiled = COMPILED.lock();
    compiled.entry(pattern.to_owned()).or_insert_with(|| Regex::new(pattern).unwrap()).clone()
}

/// The first thing about a value that the schema does not allow.
fn fault(schema: &Value, value: &Value, place: &str) -> Option<String> {
    let say = |what: String| Some(format!("{place}: {what}"));
    let right_type = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        None => schema["x-kubernetes-int-or-string"] == true && (value.is_i64() || value.is_string()),
        Some(_) => false,
    };
    if !right_type {
        return say(format!("found {value}, expected {}", schema["type"]));
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        return say(format!("found {value}, expected one of {}", schema["enum"]));
    }
    if let Some(number) = value.as_f64() {
        let (min, max) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
        if min.is_some_and(|min| number < min) || max.is_some_and(|max| number > max) {
            return say(format!("found {number}, out of range"));
        }
    }
    if let Some(text) = value.as_str() {
        let length = text.chars().count() as u64;
        let (min, max) = (schema["minLength"].as_u64(), schema["maxLength"].as_u64());
        if min.is_some_and(|min| length < min) || max.is_some_and(|max| length > max) {
            return say(format!("found {length} characters"));
        }
    }
    if let Some(message) = broken_rule(schema, value) {
        return say(message);
    }
    match value {
        Value::Array(items) if (items.len() as u64) < schema["minItems"].as_u64().unwrap_or(0) => {
            say("too few items".to_owned())
        }
        Value::Array(items) if (items.len() as u64) > schema["maxItems"].as_u64().unwrap_or(u64::MAX) => {
            say("too many items".to_owned())
        }
        Value::Array(items) => {
            let faults = items.iter().enumerate().map(|(i, v)| fault(&schema["items"], v, &format!("{place}[{i}]")));
            faults.flatten().next()
        }
        Value::Object(fields) if schema.get("properties").is_some() => {
            let has = |name: &Value| fields.contains_key(name.as_str().unwrap());
            let mut required = schema["required"].as_array().into_iter().flatten();
            if let Some(missing) = required.find(|name| !has(name)) {
                return say(format!("{missing} is missing"));
            }
            let faults = fields.iter().map(|(name, value)| match schema["properties"].get(name) {
                Some(schema) => fault(schema, value, &format!("{place}.{name}")),
                None => say(format!("{name} is unknown")),
            });
            faults.flatten().next()
        }
        _ => None,
    }
}

/// The message of a rule that does not hold, of the two kinds of rule that need no arithmetic.
fn broken_rule(schema: &Value, value: &Value) -> Option<String> {
    let pattern = regex(r"self\.matches\(r'(.*)'\)");
    let exactly_one = regex(r"\(has\(self\.(\w+)\) \? 1 : 0\)");
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    let broken = rules.map(|rule| (rule["rule"].as_str().unwrap(), rule)).find(|(rule, _)| {
        if let (Some(found), Some(text)) = (pattern.captures(rule), value.as_str()) {
            return !regex(&found[1]).is_match(text);
        }
        let fields: Vec<&str> = exactly_one.captures_iter(rule).map(|f| f.extract::<1>().1[0]).collect();
        !fields.is_empty() && fields.iter().filter(|field| value.get(**field).is_some()).count() != 1
    });
    broken.map(|(_, rule)| rule["message"].as_str().unwrap().to_owned())
}

/// Fills in the defaults, as the API server does.
fn fill(schema: &Value, value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| fill(&schema["items"], item)),
        Value::Object(fields) => {
            for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
                if let Some(default) = schema.get("default") {
                    fields.entry(name).or_insert_with(|| default.clone());
                }
                if let Some(value) = fields.get_mut(name) {
                    fill(schema, value);
                }
            }
        }
        _ => {}
    }
}

/// Every object and number of the example below `spec`, as a JSON pointer with its schema.
fn nodes(schema: &Value, value: &Value, pointer: &str, found: &mut Vec<(String, Value)>) {
    found.push((pointer.to_owned(), schema.clone()));
    match value {
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                nodes(&schema["items"], item, &format!("{pointer}/{i}"), found);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                nodes(&schema["properties"][name], field, &format!("{pointer}/{name}"), found);
            }
        }
        _ => {}
    }
}

fn example_nodes() -> Vec<(String, Value)> {
    let mut found = Vec::new();
    nodes(&spec(), &example()["spec"], "/spec", &mut found);
    found
}

fn paths(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    found.insert(path.to_owned());
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        paths(property, &format!("{path}/{name}"), found);
    }
    if let Some(items) = schema.get("items") {
        paths(items, &format!("{path}/_"), found);
    }
}

#[test]
fn the_committed_file_equals_its_source() {
    let file = folder("../k8s/crds/scalingpolicies.plimsoll.dev.yaml");
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == yaml(), "{} differs: run `cargo xtask bless` and look at the diff", file.display());
    let read = split(&file, &committed)[0].parse::<Value>();
    assert_eq!(read, Ok(definition()));
}

#[test]
fn the_example_has_every_field_of_the_schema_and_no_other() {
    let mut of_schema = BTreeSet::new();
    paths(&spec(), "/spec", &mut of_schema);
    let without_number = |part: &str| if part.parse::<usize>().is_ok() { "_".to_owned() } else { part.to_owned() };
    let of_example: BTreeSet<String> = example_nodes()
        .iter()
        .map(|(pointer, _)| pointer.split('/').map(without_number).collect::<Vec<_>>().join("/"))
        .collect();
    assert_eq!(of_example, of_schema);
    load(&example()).unwrap();
}

/// The loader names the fields it knows when it meets one it does not.
#[test]
fn every_object_has_the_fields_that_the_loader_knows() {
    let mut objects = 0;
    for (pointer, schema) in example_nodes().iter().filter(|(_, schema)| schema["type"] == "object") {
        let mut probe = example();
        probe.pointer_mut(pointer).unwrap()["no-such-field"] = json!(1);
        let message = load(&probe).unwrap_err();
        let known =
            message.split("unknown field `no-such-field`, expected ").nth(1).unwrap_or_else(|| panic!("{message}"));
        let known = known.split(" (line").next().unwrap().trim_start_matches("one of ");
        let known: BTreeSet<&str> = known.split([',', ' ', '`']).filter(|w| !w.is_empty() && *w != "or").collect();
        let known: BTreeSet<&str> = known.difference(&NOT_YET.into()).copied().collect();
        let described: BTreeSet<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(described, known, "{pointer}");
        objects += 1;
    }
    assert!(objects >= 15, "only {objects} objects were tried");
}

#[test]
fn the_loader_has_the_limits_of_the_schema() {
    let mut base = example();
    base["spec"]["replicas"]["max"] = json!(REPLICAS_MAX);
    base["spec"]["fallback"]["replicas"] = json!(1);
    base["spec"]["replicas"]["min"] = json!(1);
    base["spec"]["budgets"][0] = json!({"name": "all", "total": AMOUNT_MAX, "perReplica": 1});
    for signal in base["spec"]["signals"].as_array_mut().unwrap() {
        if let Some(schedule) = signal.get_mut("schedule") {
            schedule["replicas"] = json!(1);
        }
    }
    // The least that `max` may be.
    base["spec"]["resources"]["memory"]["min"] = json!("1m");
    let mut tried = 0;
    for (pointer, schema) in example_nodes() {
        let limits = [("minimum", -1), ("maximum", 1)];
        for (limit, step) in limits.into_iter().filter_map(|(key, step)| Some((schema[key].as_i64()?, step))) {
            let with = |value: i64| {
                let mut probe = base.clone();
                *probe.pointer_mut(&pointer).unwrap() = json!(value);
                load(&probe)
            };
            assert!(with(limit).is_ok(), "{pointer} {limit}: {:?}", with(limit));
            assert!(with(limit + step).is_err(), "{pointer} {}", limit + step);
            tried += 1;
        }
    }
    assert!(tried >= 20, "only {tried} limits were tried");
}

#[test]
fn the_shops_policies_and_the_example_are_of_the_schema() {
    let mut files = yaml_files("../k8s/shop/policies");
    files.push(folder("tests/policies/all-fields.yaml"));
    assert!(files.len() > 1);
    for file in files {
        for document in documents(&file) {
            assert_eq!(fault(&resource(), &document, &file.display().to_string()), None);
        }
    }
}

#[test]
fn wrong_files_are_refused_by_the_schema_where_it_can_tell() {
    let mut wrong = Vec::new();
    for file in yaml_files("tests/policies/bad") {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let is_taken = |value: Value| fault(&resource(), &value, &name).is_none();
        let taken = read_file(&file).unwrap().iter().all(|document| document.parse().is_ok_and(is_taken));
        let beyond = BEYOND_ANY_SCHEMA.iter().chain(&BEYOND_A_RESOURCE);
        let expected = beyond.into_iter().any(|(beginning, _)| name.starts_with(beginning));
        if taken != expected {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "taken by the schema, or else named as beyond one: {wrong:?}");
}

#[test]
fn defaults_of_the_schema_change_no_policy() {
    let head = json!({"apiVersion": "plimsoll.dev/v1alpha1", "kind": "ScalingPolicy", "metadata": {"name": "order"}});
    let with = |field: &str, value: Value| {
        let mut document = head.clone();
        document["spec"] = json!({"target": {"kind": "Deployment", "name": "order"}, "replicas": {"max": 4}});
        document["spec"][field] = value;
        document
    };
    let mut all = vec![
        with("mode", json!("Off")),
        with("behavior", json!({})),
        with("behavior", json!({"scaleDown": {"stabilizationWindowSeconds": 20}})),
        with("behavior", json!({"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}})),
        with("resources", json!({"memory": {"min": "64Mi", "max": 1_073_741_824}})),
        with("signals", json!([{"query": {"promql": "sum(up)", "perReplica": 5}}])),
        example(),
    ];
    all.extend(yaml_files("../k8s/shop/policies").iter().flat_map(|file| documents(file)));
    for document in all {
        let mut filled = document.clone();
        fill(&resource(), &mut filled);
        assert_eq!(fault(&resource(), &filled, "filled"), None);
        assert_eq!(load(&filled), load(&document), "{document}");
        assert!(load(&document).is_ok());
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    !text.is_empty() && regex(pattern).is_match(text)
}

proptest::proptest! {
    #[test]
    fn durations_are_judged_as_the_loader_judges_them(text in "([0-9]{0,2}(y|w|d|h|m|s|ms|x)?){0,4}") {
        assert_eq!(matches(DURATION, &text), duration::parse(&text).is_ok(), "{text:?}");
    }

    #[test]
    fn quantities_are_judged_as_the_loader_judges_them(
        text in "[+-]?[0-9]{0,3}\\.?[0-9]{0,3}(n|u|m|k|K|M|Gi|Ei|E|e5|E-3|e|mi|%| )?"
    ) {
        assert_eq!(matches(QUANTITY, &text), Quantity::parse(&text).is_ok_and(|q| q.millis() > 0), "{text:?}");
    }

    #[test]
    fn units_are_judged_as_the_loader_judges_them(text in "([a-z]{0,2}|1| )([*/]([A-Z]{0,2}|1|2| ))?(/s)?") {
        assert_eq!(matches(composite::UNIT, &text), Unit::parse(&text).is_some(), "{text:?}");
    }

    #[test]
    fn percentages_are_judged_as_the_loader_judges_them(text in "[+-]?[0-9]{0,5}\\.? ?%?") {
        let mut probe = example();
        probe["spec"]["signals"][0]["utilization"]["target"] = json!(text);
        assert_eq!(matches(PERCENT, &text), load(&probe).is_ok(), "{text:?}");
    }
}

//! The annotation in which a workload keeps the sizes planned for its containers, and which of them still hold. Each says over
//! which resources of the pod template it was made; where the template says others now, whoever changed it has decided anew, and
//! the size is void. One that does not say (written by an earlier version, or by hand) holds until it is written anew. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::plan::{Part, Planned, Role, Shape};
use crate::Resources;

/// A container's entry, as JSON: `{"cpuRequest": "200m", "over": {"cpuRequest": "100m"}}`; what is not set is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    resources: Amounts,
    /// What the template said when it was planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    over: Option<Amounts>,
}

/// [`Resources`] without what is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Amounts(Resources);

impl Serialize for Amounts {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Resources { cpu_request, cpu_limit, memory_request, memory_limit } = self.0;
        let named = [
            ("cpuRequest", cpu_request),
            ("cpuLimit", cpu_limit),
            ("memoryRequest", memory_request),
            ("memoryLimit", memory_limit),
        ];
        serializer.collect_map(named.into_iter().filter_map(|(name, amount)| Some((name, amount?))))
    }
}

impl<'de> Deserialize<'de> for Amounts {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Resources::deserialize(deserializer).map(Self)
    }
}

/// A planned size that does not hold any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::kubernetes) struct Void {
    pub container: String,
    /// The template says other resources than those over which it was planned; else it has no such container any more, or one
    /// whose resources cannot be changed in place.
    pub superseded: bool,
    /// One sentence.
    pub words: String,
}

impl Void {
    fn superseded(container: String, planned: &Resources, over: &Resources, now: &Resources) -> Self {
        let words = format!(
            "the size planned for container {container} ({planned}) holds no longer: the pod template says {now} now, and {over} \
             when it was planned"
        );
        Self { container, superseded: true, words }
    }

    fn gone(container: String, planned: &Resources, why: &str) -> Self {
        let words = format!("the size planned for container {container} ({planned}) is ignored: {why}");
        Self { container, superseded: false, words }
    }
}

/// What an annotation says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::kubernetes) struct Plan {
    /// The sizes that hold.
    pub sizes: Planned,
    /// Those that do not.
    pub void: Vec<Void>,
    /// Why it cannot be read; then nothing holds.
    pub unreadable: Option<String>,
}

impl Plan {
    /// Reads what is annotated to a workload with this template.
    pub fn read(text: Option<&str>, template: &Shape) -> Self {
        let Some(text) = text else { return Self::default() };
        let entries: BTreeMap<String, Entry> = match serde_json::from_str(text) {
            Ok(entries) => entries,
            Err(error) => return Self { unreadable: Some(error.to_string()), ..Self::default() },
        };
        let mut plan = Self::default();
        for (container, Entry { resources: Amounts(planned), over }) in entries {
            let now = match template.part(&container) {
                None => Err("the pod template has no such container"),
                Some(Part { role: Role::Init, .. }) => Err("it is an init container now"),
                Some(part) => Ok(part.resources),
            };
            match (now, over) {
                (Err(why), _) => plan.void.push(Void::gone(container, &planned, why)),
                (Ok(now), Some(Amounts(over))) if over != now => {
                    plan.void.push(Void::superseded(container, &planned, &over, &now));
                }
                (Ok(_), _) => drop(plan.sizes.insert(container, planned)),
            }
        }
        plan
    }

    /// Whether the annotation says more than the sizes that hold, or cannot be read.
    pub fn is_worn(&self) -> bool {
        !self.void.is_empty() || self.unreadable.is_some()
    }

    /// Whether there is anything to look after.
    pub fn is_empty(&self) -> bool {
        self.sizes.is_empty() && !self.is_worn()
    }
}

/// The annotation for these sizes over this template; `None` where there is nothing to annotate.
pub(in crate::kubernetes) fn write(sizes: &Planned, template: &Shape) -> Option<String> {
    let entry = |(container, resources): (&String, &Resources)| {
        let over = template.resources(container).map(Amounts);
        (container.clone(), Entry { resources: Amounts(*resources), over })
    };
    let entries: BTreeMap<String, Entry> = sizes.iter().map(entry).collect();
    let text = || serde_json::to_string(&entries).expect("names and amounts are text");
    (!entries.is_empty()).then(text)
}

#[cfg(test)]
mod tests {
    use protocol::quantity::Quantity;

    use super::*;

    fn cpu(request: &str) -> Resources {
        Resources { cpu_request: Quantity::parse(request).ok(), ..Resources::default() }
    }

    fn template(parts: &[(&str, Role, &str)]) -> Shape {
        let part = |(name, role, request): &(&str, Role, &str)| Part {
            name: (*name).into(),
            role: *role,
            resources: cpu(request),
            cpu_restarts: false,
            memory_restarts: false,
        };
        Shape { parts: parts.iter().map(part).collect(), whole: None }
    }

    #[test]
    fn each_size_holds_over_the_resources_that_it_was_planned_over() {
        let before = template(&[("a", Role::Main, "100m"), ("b", Role::Main, "1"), ("c", Role::Sidecar, "1")]);
        let sizes =
            Planned::from([("a".to_owned(), cpu("200m")), ("b".to_owned(), cpu("2")), ("c".to_owned(), cpu("3"))]);
        let text = write(&sizes, &before).unwrap();
        assert!(text.starts_with(r#"{"a":{"cpuRequest":"200m","over":{"cpuRequest":"100m"}},"#), "{text}");
        assert_eq!(Plan::read(Some(&text), &before), Plan { sizes, ..Plan::default() });
        let after = template(&[("a", Role::Main, "0.1"), ("b", Role::Main, "1500m"), ("c", Role::Init, "1")]);
        let plan = Plan::read(Some(&text), &after);
        assert_eq!(plan.sizes, Planned::from([("a".to_owned(), cpu("200m"))]), "the same amount in other words");
        let words: Vec<&str> = plan.void.iter().map(|void| void.words.as_str()).collect();
        assert!(words[0].contains("container b (cpu 2 ") && words[0].contains("says cpu 1500m "), "{words:?}");
        assert!(words[1].ends_with("is ignored: it is an init container now"), "{words:?}");
        assert!(plan.is_worn());
    }

    #[test]
    fn what_an_older_one_wrote_holds_and_what_cannot_be_read_does_not() {
        let template = template(&[("a", Role::Main, "100m")]);
        let old = r#"{"a":{"cpuRequest":"200m","cpuLimit":null,"memoryRequest":null,"memoryLimit":null}}"#;
        let plan = Plan::read(Some(old), &template);
        assert_eq!((plan.sizes["a"], plan.is_worn()), (cpu("200m"), false));
        assert_eq!(Plan::read(None, &template), Plan::default());
        for text in ["", "[]", r#"{"a":{"cpuRequest":"200 millis"}}"#, r#"{"a":7}"#, r#"{"a":{"over":7}}"#] {
            let plan = Plan::read(Some(text), &template);
            assert!(plan.unreadable.is_some() && plan.sizes.is_empty() && !plan.is_empty(), "{text}");
        }
        assert_eq!(write(&Planned::new(), &template), None);
    }
}

//! A custom resource as it came: of its metadata what can be read, and the rest as JSON. Reading one never fails, so that an odd
//! one costs no other.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use kube::core::{ApiResource, DynamicResourceScope};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The object.
#[derive(Debug, Clone)]
pub(in crate::kubernetes::policies) struct Raw {
    pub metadata: ObjectMeta,
    pub data: Value,
}

impl Raw {
    /// Namespace and name.
    pub fn key(&self) -> (String, String) {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        (text(&self.metadata.namespace), text(&self.metadata.name))
    }

    /// What an annotation says; its JSON if that is no text.
    pub fn annotation(&self, name: &str) -> Option<Cow<'_, str>> {
        match &self.data["metadata"]["annotations"][name] {
            Value::Null => None,
            Value::String(text) => Some(text.into()),
            other => Some(other.to_string().into()),
        }
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let data = Value::deserialize(deserializer)?;
        let found = &data["metadata"];
        let text = |name: &str| found[name].as_str().map(str::to_owned);
        let metadata = ObjectMeta {
            name: text("name"),
            namespace: text("namespace"),
            uid: text("uid"),
            resource_version: text("resourceVersion"),
            generation: found["generation"].as_i64(),
            creation_timestamp: Time::deserialize(&found["creationTimestamp"]).ok(),
            ..ObjectMeta::default()
        };
        Ok(Self { metadata, data })
    }
}

impl Resource for Raw {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn group(definition: &ApiResource) -> Cow<'_, str> {
        definition.group.as_str().into()
    }

    fn version(definition: &ApiResource) -> Cow<'_, str> {
        definition.version.as_str().into()
    }

    fn kind(definition: &ApiResource) -> Cow<'_, str> {
        definition.kind.as_str().into()
    }

    fn api_version(definition: &ApiResource) -> Cow<'_, str> {
        definition.api_version.as_str().into()
    }

    fn plural(definition: &ApiResource) -> Cow<'_, str> {
        definition.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

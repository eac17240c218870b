//! Reads Kubernetes manifests strictly: what the local runtime cannot honour is an error that names file, document and
//! field, never a silent difference between here and a cluster. Starts nothing. Read `load_documents` first.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use protocol::yaml::{self, Document, DocumentError};
use serde::de::DeserializeOwned;

mod check;
mod cross;
mod kustomization;
pub(crate) mod model;
mod raw;
pub(crate) mod scalar;

pub use model::Manifests;

/// Namespace of objects that name none, as `kubectl` has it.
const NAMESPACE_DEFAULT: &str = "default";

/// API group of documents that the autoscaler reads; here they are passed over.
const POLICY_GROUP: &str = "plimsoll.dev/";

/// Reads files and directories. A directory is read through its `kustomization.yaml` where it has one, otherwise all
/// its `*.yaml` files are read in the order of their names.
///
/// # Errors
/// The first thing that is wrong: file, document, field, and what was expected.
pub fn load(paths: &[PathBuf]) -> Result<Manifests, DocumentError> {
    let mut documents = Vec::new();
    for path in paths {
        kustomization::collect(path, &mut documents, 0)?;
    }
    load_documents(documents)
}

/// Reads documents that are in memory already, such as those built into the binary.
///
/// # Errors
/// As for [`load`].
pub fn load_documents(documents: Vec<Document>) -> Result<Manifests, DocumentError> {
    let namespaces = kustomization::namespaces(&documents)?;
    let mut objects = Objects::default();
    for document in documents {
        let namespace = kustomization::namespace_of(&namespaces, &document.file);
        objects.read(document, namespace)?;
    }
    cross::check(&objects)?;
    Ok(objects.into_manifests())
}

/// An object and the document it came from, for errors that are found later.
struct Located<T> {
    document: Document,
    value: T,
}

/// Everything read so far.
#[derive(Default)]
struct Objects {
    deployments: Vec<Located<model::Deployment>>,
    services: Vec<Located<model::Service>>,
    config_maps: BTreeMap<model::Key, BTreeMap<String, String>>,
    secrets: BTreeMap<model::Key, BTreeMap<String, String>>,
    claims: BTreeSet<model::Key>,
    seen: BTreeMap<(&'static str, model::Key), (PathBuf, usize)>,
}

impl Objects {
    fn read(&mut self, document: Document, namespace: Option<&str>) -> Result<(), DocumentError> {
        let header: raw::Header = document.parse()?;
        let Some(kind) = header.kind else { return Err(document.error("kind", "is missing")) };
        let Some(version) = header.api_version else { return Err(document.error("apiVersion", "is missing")) };
        if version.starts_with(POLICY_GROUP) && kind == "ScalingPolicy" {
            return Ok(());
        }
        match (version.as_str(), kind.as_str()) {
            ("apps/v1", "Deployment") => {
                let object: raw::Object<raw::DeploymentSpec> = document.parse()?;
                let key = self.register("Deployment", &object.metadata, namespace, &document)?;
                let value = check::deployment(&document, key, object.spec)?;
                self.deployments.push(Located { document, value });
            }
            ("v1", "Service") => {
                let object: raw::Object<raw::ServiceSpec> = document.parse()?;
                let key = self.register("Service", &object.metadata, namespace, &document)?;
                let value = check::service(&document, key, object.spec)?;
                self.services.push(Located { document, value });
            }
            ("v1", "ConfigMap") => {
                let object: raw::ConfigMap = document.parse()?;
                let key = self.register("ConfigMap", &object.metadata, namespace, &document)?;
                self.config_maps.insert(key, check::texts(object.data));
            }
            ("v1", "Secret") => {
                let object: raw::Secret = document.parse()?;
                let key = self.register("Secret", &object.metadata, namespace, &document)?;
                self.secrets.insert(key, check::secret(&document, object.data, object.string_data)?);
            }
            ("v1", "PersistentVolumeClaim") => {
                let object: raw::Object<raw::ClaimSpec> = document.parse()?;
                let key = self.register("PersistentVolumeClaim", &object.metadata, namespace, &document)?;
                self.claims.insert(key);
            }
            ("v1", "Namespace") => drop(document.parse::<raw::Namespace>()?),
            (_, "Kustomization") if kustomization::is_named_so(&document.file) => {}
            _ => return Err(unknown_kind(&document, &version, &kind)),
        }
        Ok(())
    }

    fn register(
        &mut self,
        kind: &'static str,
        metadata: &raw::Metadata,
        namespace: Option<&str>,
        document: &Document,
    ) -> Result<model::Key, DocumentError> {
        let own = metadata.namespace.as_ref().map(|text| text.0.as_str());
        let namespace = namespace.or(own).unwrap_or(NAMESPACE_DEFAULT).to_owned();
        check::name(document, "metadata.name", &metadata.name.0)?;
        let key = (namespace, metadata.name.0.clone());
        let place = (document.file.clone(), document.number);
        if let Some((file, number)) = self.seen.insert((kind, key.clone()), place) {
            let (namespace, name) = key;
            let place = format!("{}: document {number}", file.display());
            return Err(document.error("metadata.name", &format!("{kind} {namespace}/{name} is also in {place}")));
        }
        Ok(key)
    }

    fn into_manifests(self) -> Manifests {
        Manifests {
            deployments: self.deployments.into_iter().map(|located| located.value).collect(),
            services: self.services.into_iter().map(|located| located.value).collect(),
            config_maps: self.config_maps,
            secrets: self.secrets,
        }
    }
}

fn unknown_kind(document: &Document, version: &str, kind: &str) -> DocumentError {
    let expected = "expected apps/v1 Deployment, or v1 Service, ConfigMap, Secret, PersistentVolumeClaim or Namespace";
    document.error("kind", &format!("the local runtime does not run {kind} of {version}: {expected}"))
}

fn parse_strictly<T: DeserializeOwned>(document: &Document) -> Result<T, DocumentError> {
    document.parse()
}

fn read_documents(file: &Path, documents: &mut Vec<Document>) -> Result<(), DocumentError> {
    documents.extend(yaml::read_file(file)?);
    Ok(())
}

#[cfg(test)]
mod tests;

//! Rules of k8s/: nothing is said twice, and nothing is forgotten. The chart installs the custom resource of k8s/crds, its roles
//! grant what ARCHITECTURE.md says and no more, each folder of kustomize lists its files, and there is one version.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use protocol::yaml;
use serde::Deserialize;

/// The custom resource, as generated and as the chart has it.
const CRD: &str = "k8s/crds/scalingpolicies.plimsoll.dev.yaml";
const CRD_IN_CHART: &str = "k8s/plimsoll/files/scalingpolicies.plimsoll.dev.yaml";

/// Names under which kustomize looks for its file.
const KUSTOMIZATIONS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Checks all rules.
pub(super) fn breaches(root: &Path) -> anyhow::Result<Vec<String>> {
    let read = |name: &str| fs::read_to_string(root.join(name)).with_context(|| format!("cannot read {name}"));
    let mut breaches = Vec::new();
    if read(CRD)? != read(CRD_IN_CHART)? {
        breaches.push(format!("{CRD_IN_CHART}: differs from {CRD}: make it a link to it"));
    }
    breaches.extend(right_breaches(&rights_written(&read("ARCHITECTURE.md")?), &rights_granted(root)?));
    for folder in ["k8s/shop", "k8s/e2e"] {
        kustomization_breaches(root, &root.join(folder), &mut breaches)?;
    }
    breaches.extend(version_breaches(&read));
    Ok(breaches)
}

/// Who may do what: program, API group, resource, verb.
type Right = (String, String, String, String);

fn right_breaches(written: &BTreeSet<Right>, granted: &BTreeSet<Right>) -> Vec<String> {
    let line = |(who, group, resource, verb): &Right| format!("the {who} may {verb} {resource} ({group})");
    let surplus = granted.difference(written).map(|right| format!("k8s/plimsoll/rbac: {}", line(right)));
    let missing = written.difference(granted).map(|right| format!("ARCHITECTURE.md: {}", line(right)));
    let surplus = surplus.map(|text| format!("{text}, which ARCHITECTURE.md does not say"));
    surplus.chain(missing.map(|text| format!("{text}, which no role in k8s/plimsoll/rbac grants"))).collect()
}

/// The table under "Rights on a cluster".
fn rights_written(architecture: &str) -> BTreeSet<Right> {
    let table = architecture.split("### Rights on a cluster").nth(1).unwrap_or_default();
    let table = table.split("\n#").next().unwrap_or_default();
    let mut rights = BTreeSet::new();
    for row in table.lines().filter_map(|line| line.strip_prefix("| ")).skip(2) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [who, group, resources, verbs, ..] = cells[..] else { continue };
        let verbs: Vec<&str> = verbs.split(' ').collect();
        add(&mut rights, who, group, resources.split(", "), &verbs);
    }
    rights
}

fn add<'a>(
    rights: &mut BTreeSet<Right>,
    who: &str,
    group: &str,
    resources: impl Iterator<Item = &'a str>,
    verbs: &[&str],
) {
    for resource in resources {
        for verb in verbs {
            rights.insert((who.to_owned(), group.to_owned(), resource.to_owned(), (*verb).to_owned()));
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Role {
    rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Rule {
    api_groups: Vec<String>,
    resources: Vec<String>,
    verbs: Vec<String>,
}

/// The rules of the chart's roles: `autoscaler.yaml` and `autoscaler-nodes.yaml` are the autoscaler's.
fn rights_granted(root: &Path) -> anyhow::Result<BTreeSet<Right>> {
    let mut rights = BTreeSet::new();
    for file in files(&root.join("k8s/plimsoll/rbac"))? {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let who = name.split('-').next().unwrap_or_default();
        for document in yaml::read_file(&file)? {
            for rule in document.parse::<Role>()?.rules {
                let verbs: Vec<&str> = rule.verbs.iter().map(String::as_str).collect();
                for group in &rule.api_groups {
                    let group = if group.is_empty() { "core" } else { group };
                    let resources = rule.resources.iter().map(String::as_str);
                    add(&mut rights, who, group, resources, &verbs);
                }
            }
        }
    }
    Ok(rights)
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kustomization {
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    patches: Vec<Patch>,
    #[serde(default)]
    config_map_generator: Vec<Generator>,
    #[serde(default)]
    secret_generator: Vec<Generator>,
}

#[derive(Debug, Deserialize)]
struct Patch {
    path: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Generator {
    #[serde(default)]
    envs: Vec<String>,
    #[serde(default)]
    files: Vec<String>,
}

/// Folders of kustomize below `folder`: what they name exists, and every YAML file in them is named.
fn kustomization_breaches(root: &Path, folder: &Path, breaches: &mut Vec<String>) -> anyhow::Result<()> {
    let all = files(folder)?;
    let is_own = |file: &&PathBuf| KUSTOMIZATIONS.iter().any(|name| file.ends_with(name));
    if let Some(own) = all.iter().find(is_own) {
        let shown = own.strip_prefix(root).unwrap_or(own).display();
        let mut named = BTreeSet::new();
        for document in yaml::read_file(own)? {
            named.extend(document.parse::<Kustomization>()?.names());
        }
        for name in named.iter().filter(|name| !folder.join(name).exists()) {
            breaches.push(format!("{shown}: names {name}, which does not exist"));
        }
        let is_yaml = |file: &&PathBuf| file.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
        for file in all.iter().filter(|file| is_yaml(file) && !is_own(file)) {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !named.contains(&name) {
                breaches.push(format!("{shown}: does not name {name}, which lies beside it"));
            }
        }
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            kustomization_breaches(root, &path, breaches)?;
        }
    }
    Ok(())
}

impl Kustomization {
    fn names(self) -> impl Iterator<Item = String> {
        let generators = self.config_map_generator.into_iter().chain(self.secret_generator);
        let patches = self.patches.into_iter().filter_map(|patch| patch.path);
        self.resources.into_iter().chain(patches).chain(generators.flat_map(|g| g.envs.into_iter().chain(g.files)))
    }
}

fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    let mut files: Vec<PathBuf> = paths.into_iter().filter(|path| path.is_file()).collect();
    files.sort();
    Ok(files)
}

/// Where the version stands beside Cargo.toml: file, and what comes before it on its line.
const VERSIONS: [(&str, &str); 4] = [
    ("k8s/plimsoll/Chart.yaml", "version: "),
    ("k8s/plimsoll/Chart.yaml", "appVersion: "),
    ("k8s/shop/overlays/prod/kustomization.yaml", "newTag: "),
    ("Dockerfile", "ARG VERSION="),
];

fn version_breaches(read: &dyn Fn(&str) -> anyhow::Result<String>) -> Vec<String> {
    let said = |file: &str, before: &str| -> anyhow::Result<String> {
        let text = read(file)?;
        let value = text.lines().find_map(|line| line.trim_start().strip_prefix(before));
        Ok(value.unwrap_or_default().trim_matches('"').to_owned())
    };
    let own = match said("Cargo.toml", "version = ") {
        Ok(own) => own,
        Err(error) => return vec![error.to_string()],
    };
    let differs = |(file, before): (&str, &str)| match said(file, before) {
        Ok(version) if version == own => None,
        Ok(version) => Some(format!("{file}: says {before}{version:?}, Cargo.toml says {own}")),
        Err(error) => Some(error.to_string()),
    };
    VERSIONS.into_iter().filter_map(differs).collect()
}

#[cfg(test)]
mod tests;

//! What the suite is told by the environment. Reads nothing but `PLIMSOLL_E2E_*`: nobody's usual cluster is ever touched.

use std::path::PathBuf;

/// What the suite is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `PLIMSOLL_E2E_KUBECONFIG`: the cluster.
    pub kubeconfig: PathBuf,
    /// `PLIMSOLL_E2E_KUBECTL`: the program, `kubectl` by default.
    pub kubectl: String,
    /// `PLIMSOLL_E2E_IMAGE`: `plimsoll:e2e` by default.
    pub image: String,
    /// `PLIMSOLL_E2E_LOAD`: a shell command that brings the image to the nodes; `{image}` stands for its name.
    pub load: Option<String>,
    /// `PLIMSOLL_E2E_CHART`: the rendered chart, where helm is not installed.
    pub chart: Option<PathBuf>,
    /// `PLIMSOLL_E2E_PREPARE`: makes the directory `{path}`, writable by all, on the node.
    pub prepare: Option<String>,
    /// `PLIMSOLL_E2E_SWEEP`: removes the directory `{path}` from the node.
    pub sweep: Option<String>,
    /// `PLIMSOLL_E2E_CUT`: makes the API server unreachable.
    pub cut: Option<String>,
    /// `PLIMSOLL_E2E_MEND`: undoes the cut.
    pub mend: Option<String>,
    /// `PLIMSOLL_E2E_AUDIT_LOG`: the API server's audit log, a JSON object a line.
    pub audit_log: Option<PathBuf>,
    /// `PLIMSOLL_E2E_CGROUP_ROOT`: where the node's cgroups (v1 `cpu` hierarchy, or v2) are visible from here.
    pub cgroup_root: Option<PathBuf>,
    /// `PLIMSOLL_E2E_KEEP=1`: leaves everything in place at the end.
    pub keep: bool,
}

impl Settings {
    /// The settings of this process, or `None` when no cluster is named.
    pub fn from_environment() -> Option<Self> {
        Self::read(|name| std::env::var(name).ok())
    }

    /// The settings that `variable` knows, or `None` when no cluster is named.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let get = |name: &str| variable(&format!("PLIMSOLL_E2E_{name}")).filter(|value| !value.is_empty());
        Some(Self {
            kubeconfig: get("KUBECONFIG")?.into(),
            kubectl: get("KUBECTL").unwrap_or_else(|| "kubectl".to_owned()),
            image: get("IMAGE").unwrap_or_else(|| "plimsoll:e2e".to_owned()),
            load: get("LOAD"),
            chart: get("CHART").map(PathBuf::from),
            prepare: get("PREPARE"),
            sweep: get("SWEEP"),
            cut: get("CUT"),
            mend: get("MEND"),
            audit_log: get("AUDIT_LOG").map(PathBuf::from),
            cgroup_root: get("CGROUP_ROOT").map(PathBuf::from),
            keep: get("KEEP").is_some_and(|value| value != "0"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Settings;

    #[test]
    fn without_a_cluster_of_its_own_the_suite_does_not_run() {
        assert!(Settings::read(|name| (name == "KUBECONFIG").then(|| "/root/.kube/config".to_owned())).is_none());
        assert!(Settings::read(|_| Some(String::new())).is_none());
    }

    #[test]
    fn a_cluster_is_all_that_is_needed() {
        let settings = Settings::read(|name| (name == "PLIMSOLL_E2E_KUBECONFIG").then(|| "kind.yaml".to_owned()));
        let settings = settings.expect("a cluster is named");
        assert_eq!((settings.kubectl.as_str(), settings.image.as_str()), ("kubectl", "plimsoll:e2e"));
        assert!(!settings.keep && settings.cut.is_none());
    }
}

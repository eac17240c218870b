//! Tests of the rules of k8s/: on this checkout, and on small ones that break them.

use std::fs;
use std::path::Path;

use super::{breaches, kustomization_breaches, right_breaches, rights_granted, rights_written};

const TABLE: &str = "### Rights on a cluster\n\n| who | API group | resources | verbs |\n| --- | --- | --- | --- |\n\
    | autoscaler | core | pods, pods/resize | patch |\n| collector | core | nodes | get list |\n\n## Next\n\
    | autoscaler | core | secrets | get |\n";

#[test]
fn this_checkout_keeps_them() {
    assert_eq!(breaches(&crate::root()).unwrap(), Vec::<String>::new());
}

#[test]
fn a_right_too_many_and_one_too_few_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let rbac = folder.path().join("k8s/plimsoll/rbac");
    fs::create_dir_all(&rbac).unwrap();
    fs::write(
        rbac.join("autoscaler.yaml"),
        "rules:\n  - apiGroups: [\"\"]\n    resources: [pods, secrets]\n    verbs: [patch]\n",
    )
    .unwrap();
    fs::write(
        rbac.join("collector-nodes.yaml"),
        "rules:\n  - apiGroups: [\"\"]\n    resources: [nodes]\n    verbs: [get, list]\n",
    )
    .unwrap();
    assert_eq!(
        right_breaches(&rights_written(TABLE), &rights_granted(folder.path()).unwrap()),
        [
            "k8s/plimsoll/rbac: the autoscaler may patch secrets (core), which ARCHITECTURE.md does not say",
            "ARCHITECTURE.md: the autoscaler may patch pods/resize (core), which no role in k8s/plimsoll/rbac grants",
        ]
    );
}

#[test]
fn a_file_that_kustomize_would_miss_and_one_that_is_not_there_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("kustomization.yaml", "resources: [a.yaml, gone.yaml]\npatches: [{path: b.yaml}, {patch: x}]\n");
    for name in ["a.yaml", "b.yaml", "c.yaml"] {
        write(name, "");
    }
    let mut found = Vec::new();
    kustomization_breaches(folder.path(), Path::new(folder.path()), &mut found).unwrap();
    assert_eq!(
        found,
        [
            "kustomization.yaml: names gone.yaml, which does not exist",
            "kustomization.yaml: does not name c.yaml, which lies beside it",
        ]
    );
}

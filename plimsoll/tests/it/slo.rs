//! `plimsoll slo`: the shop's objectives are right, become rules that the collector takes, and go to other tools and back.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::process::PLIMSOLL;

fn plimsoll(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(PLIMSOLL).args(arguments).output().expect("the binary starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn shop() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../k8s/shop/objectives/shop.yaml");
    file.to_str().expect("the folder's name is text").to_owned()
}

#[test]
fn the_shop_s_objectives_become_rules_that_the_collector_takes() {
    assert_eq!(plimsoll(&["slo", "check", &shop()]).1, "ok: 19 objectives in 1 file\n");
    let (code, rules, _) = plimsoll(&["slo", "rules", &shop()]);
    assert_eq!(code, Some(0));
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("slo.yml"), rules).unwrap();
    let config = folder.path().join("collector.yml");
    fs::write(&config, "rule_files: [slo.yml]\nscrape_configs: []\n").unwrap();
    let (code, _, message) = plimsoll(&["collector", "--config", config.to_str().unwrap(), "--check"]);
    assert_eq!(code, Some(0), "{message}");
}

#[test]
fn objectives_go_to_openslo_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    for tool in ["openslo", "sloth"] {
        let (code, exported, _) = plimsoll(&["slo", "export", "--to", tool, &shop()]);
        assert_eq!(code, Some(0));
        let file = folder.path().join(format!("{tool}.yaml"));
        fs::write(&file, exported).unwrap();
        let (code, ours, notes) = plimsoll(&["slo", "import", "--namespace", "shop", file.to_str().unwrap()]);
        assert_eq!(code, Some(0), "{notes}");
        let back = folder.path().join("back.yaml");
        fs::write(&back, ours).unwrap();
        assert_eq!(plimsoll(&["slo", "check", back.to_str().unwrap()]).1, "ok: 19 objectives in 1 file\n");
    }
}

#[test]
fn a_file_of_objectives_that_is_wrong_is_named_with_its_field() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("slo.yaml");
    let text = fs::read_to_string(shop()).unwrap().replace("window: 30d", "window: 3d");
    fs::write(&file, text).unwrap();
    for action in ["check", "rules", "export"] {
        let (code, _, message) = plimsoll(&["slo", action, file.to_str().unwrap()]);
        assert_eq!(code, Some(2));
        assert!(message.contains("slo.yaml: document 1: spec.window: found 3d, expected 7d to 365d"), "{message}");
    }
    let (code, _, message) = plimsoll(&["slo", "import", file.to_str().unwrap()]);
    assert!(code == Some(2) && message.contains("apiVersion: found \"plimsoll.dev/v1alpha1\""), "{message}");
}

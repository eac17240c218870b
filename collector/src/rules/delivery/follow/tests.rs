//! Where Alertmanagers are posted to.

use super::*;
use crate::discovery::TargetGroup;

fn job(yaml: &str) -> AlertmanagerJob {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("scrape.yml");
    std::fs::write(&path, format!("alerting: {{ alertmanagers: [{yaml}] }}\n")).unwrap();
    crate::config::load(&path).unwrap().alerting.alertmanagers.remove(0)
}

fn group(targets: &[&str], labels: &[(&str, &str)]) -> Arc<Group> {
    let labels = labels.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    Arc::new(Group::from(TargetGroup { targets: targets.iter().map(|t| (*t).to_owned()).collect(), labels }))
}

#[test]
fn addresses_come_from_labels_and_each_is_told_once() {
    let job =
        job("{ scheme: https, path_prefix: am, relabel_configs: [{ source_labels: [zone], regex: b, action: drop }, \
         { source_labels: [path], regex: '(.+)', target_label: __alerts_path__ }] }");
    let groups = [
        group(&["a:1", "a:1", "bad/x"], &[]),
        group(&["b:1"], &[("zone", "b")]),
        group(&["c:1"], &[("__scheme__", "http"), ("path", "/other")]),
    ];
    let (active, dropped) = addresses(&job, groups.into_iter());
    let active: Vec<&str> = active.iter().map(Url::as_str).collect();
    assert_eq!(active, ["https://a:1/am/api/v2/alerts", "http://c:1/other"]);
    assert_eq!(dropped, ["https://b:1/am/api/v2/alerts"]);
}

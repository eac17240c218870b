//! Policy files that change under a running autoscaler: what is right holds from the next tick on, what is wrong changes nothing.

use std::path::{Path, PathBuf};

use autoscaler::Policies;
use autoscaler::policy::files::PolicyFiles;

use super::*;

fn bad() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policies/bad");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "yaml"));
    files.sort();
    files
}

async fn reload(running: &Running) -> (u16, Value) {
    let answer = reqwest::Client::new().post(format!("{}/-/reload", running.base)).send().await.unwrap();
    (answer.status().as_u16(), serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
}

/// Its name, bounds and mode, as the API tells them.
async fn in_force(running: &Running) -> String {
    let policies = running.client.policies().await.unwrap();
    let one = |status: &protocol::scaling::PolicyStatus| {
        format!("{} {}..{} {:?}", status.policy.name, status.min, status.max, status.mode)
    };
    policies.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn a_wrong_file_changes_nothing_and_a_right_one_holds_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("order.yaml");
    std::fs::write(&file, POLICY).unwrap();
    let files = PolicyFiles::new(vec![folder.path().to_owned()]);
    let running = start_with(|options| options.policies = Policies::Reloaded(files)).await;
    let before = running.record(|record| record.reason == "WithinTolerance").await;
    assert_eq!(in_force(&running).await, "order 1..6 Auto");

    let wrong = bad();
    assert!(wrong.len() >= 50, "only {} wrong files", wrong.len());
    for wrong in &wrong {
        let text = std::fs::read_to_string(wrong).unwrap();
        let expected = text.lines().next().unwrap().strip_prefix("# expect: ").unwrap();
        std::fs::write(&file, &text).unwrap();
        let (status, answer) = reload(&running).await;
        // The message names the file as it was given.
        let name = wrong.file_name().unwrap().to_str().unwrap();
        let message = answer["error"].as_str().unwrap().replace(file.to_str().unwrap(), name);
        assert_eq!((status, message.as_str()), (422, expected));
    }
    assert_eq!(in_force(&running).await, "order 1..6 Auto");
    // It goes on deciding by what it has.
    let since = running.client.decisions(Some("order"), None, 1).await.unwrap()[0].sequence;
    let after = running.record(|record| record.sequence > since).await;
    assert_eq!((after.reason, after.message), (before.reason, before.message));
    let metrics = reqwest::get(format!("{}/metrics", running.base)).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("plimsoll_autoscaler_policies_last_reload_successful 0"), "{metrics}");

    std::fs::write(&file, POLICY.replace("max: 6", "max: 5")).unwrap();
    std::fs::write(folder.path().join("more.yml"), POLICY.replace("order", "cart").replace("min: 1", "min: 3"))
        .unwrap();
    assert_eq!(reload(&running).await, (200, json!({"policies": 2})));
    assert_eq!(in_force(&running).await, "cart 3..6 Auto, order 1..5 Auto");
    running.end().await;
}

#[tokio::test]
async fn wrong_files_are_known_before_the_start() {
    let files = PolicyFiles::new(vec![bad().remove(0)]);
    let mut options = Options::new("http://127.0.0.1:1".parse().unwrap(), policy::PolicySet::default());
    options.listen = "127.0.0.1:0".parse().unwrap();
    options.policies = Policies::Reloaded(files);
    let cluster = Arc::new(FakeCluster::with(1)) as Arc<dyn cluster::Cluster>;
    let refused = Autoscaler::bind(options, cluster).await.err().unwrap();
    assert!(matches!(&refused, StartError::Policies(error) if error.field == "apiVersion"), "{refused}");
    let empty = tempfile::tempdir().unwrap();
    let message = PolicyFiles::new(vec![empty.path().to_owned()]).load().unwrap_err().to_string();
    assert!(message.ends_with("no .yaml file in it; name a folder with some, or a file"), "{message}");
}

#[tokio::test]
async fn policies_that_are_no_files_are_not_reloaded() {
    let running = start().await;
    assert_eq!(reload(&running).await.0, 404);
    running.end().await;
}

//! Claims about pauses: what is answered is kept, and what could not be kept does not count.

use cluster::Cluster;

use super::*;
use crate::policy::PolicySet;
use crate::reconciler::tests::fake::FakeCluster;
use crate::reconciler::tests::name;

fn state() -> State {
    State::new(PolicySet::default().fixed(), Arc::new(FakeCluster::with(1)) as Arc<dyn Cluster>)
}

#[tokio::test]
async fn a_pause_outlives_the_process_by_a_file_and_one_that_was_not_written_does_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let state = state();
    let pauses = |file: PauseFile| Pauses::File(Arc::new(file));
    pauses(PauseFile::open(folder.path()).unwrap()).set(&state, &name(), true).await.unwrap();
    assert!(state.is_paused(&name()));
    let file = PauseFile::open(folder.path()).unwrap();
    assert_eq!(file.paused(), BTreeSet::from([name()]));
    pauses(file).set(&state, &name(), false).await.unwrap();
    assert!(PauseFile::open(folder.path()).unwrap().paused().is_empty() && !state.is_paused(&name()));

    let gone = tempfile::tempdir().unwrap();
    let file = PauseFile::open(gone.path()).unwrap();
    drop(gone);
    let refused = pauses(file).set(&state, &name(), true).await.unwrap_err().to_string();
    assert!(refused.contains("paused.json was not written"), "{refused}");
    assert!(!state.is_paused(&name()));
}

#[test]
fn a_file_that_does_not_parse_is_said_and_nobody_is_resumed_by_mistake() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(FILE), "[{").unwrap();
    let message = PauseFile::open(folder.path()).unwrap_err().to_string();
    assert!(message.contains("paused.json") && message.contains("mend it, or remove it"), "{message}");
}

#[test]
fn what_a_watch_brings_late_does_not_undo_what_was_written_since() {
    let state = state();
    state.pause_written(&name(), true, "20");
    state.pause_seen(&name(), false, "19");
    assert!(state.is_paused(&name()), "that was before it was written");
    state.pause_seen(&name(), true, "20");
    state.pause_seen(&name(), false, "21");
    assert!(!state.is_paused(&name()), "its owner took the annotation away");
}

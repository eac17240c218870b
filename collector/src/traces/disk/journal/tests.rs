//! Claims about the journal.

use super::*;

fn open(dir: &Path) -> (Journal, Vec<Vec<u8>>, Replayed) {
    let mut found = Vec::new();
    let (journal, replayed) = Journal::open(dir.to_owned(), 1_000_000, |request| found.push(request.to_vec())).unwrap();
    (journal, found, replayed)
}

#[test]
fn what_was_written_is_handed_out_until_it_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, found, _) = open(folder.path());
    assert!(found.is_empty());
    journal.append(b"one", 0);
    journal.append(b"two", 1_000);
    journal.append(b"three", FILE_AGE_MAX_MS);
    drop(journal);
    let (journal, found, replayed) = open(folder.path());
    assert_eq!((found.concat(), replayed.requests, replayed.damaged_bytes), (b"onetwothree".to_vec(), 3, 0));
    journal.append(b"four", 1_000_001);
    journal.forget(1_000_000 + SLACK_MS);
    assert_eq!(open(folder.path()).1.len(), 4, "it may still be on its way");
    journal.forget(1_000_001 + SLACK_MS);
    drop(journal);
    assert_eq!(open(folder.path()).1, [b"four".to_vec()]);
}

#[test]
fn a_torn_end_costs_only_what_was_torn() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, ..) = open(folder.path());
    journal.append(b"one", 0);
    journal.append(b"two", 0);
    drop(journal);
    let path = folder.path().join("00000001.log");
    let length = path.metadata().unwrap().len();
    OpenOptions::new().write(true).open(&path).unwrap().set_len(length - 1).unwrap();
    let (journal, found, replayed) = open(folder.path());
    assert_eq!((found, replayed.damaged_bytes), (vec![b"one".to_vec()], 10));
    journal.append(b"three", 0);
    drop(journal);
    fs::write(folder.path().join("00000000.log"), b"nonsense").unwrap();
    assert_eq!(open(folder.path()).1, [b"one".to_vec(), b"three".to_vec()]);
}

#[test]
fn the_journal_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, ..) = open(folder.path());
    journal.append(&[0; 100], 0);
    journal.state.lock().close();
    journal.state.lock().closed[0].bytes = BYTES_MAX + 1;
    assert_eq!(journal.bytes(), (HEADER_BYTES + RECORD_HEADER_BYTES + 100) as u64);
    journal.forget(i64::MIN);
    assert_eq!(journal.bytes(), 0);
}

#[test]
fn how_large_it_is_can_be_asked_while_a_request_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, ..) = open(folder.path());
    journal.append(b"one", 0);
    let held = journal.state.lock();
    let (tell, told) = std::sync::mpsc::channel();
    let answer = std::thread::scope(|scope| {
        let journal = &journal;
        scope.spawn(move || tell.send(journal.bytes()));
        let answer = told.recv_timeout(std::time::Duration::from_secs(20));
        drop(held);
        answer
    });
    assert_eq!(answer, Ok((HEADER_BYTES + RECORD_HEADER_BYTES + 3) as u64));
}

//! The log on a disk that is full: `/dev/full` takes the place of the segment being written.

use super::*;
use crate::series::{Labels, Sample};

fn add(log: &mut Log) -> io::Result<()> {
    log.prepare(0)?;
    let mut mark = crate::store::record::LogMark::default();
    log.record.add(&mut mark, || Labels::new([("__name__", "a")]), 0.0, Sample { timestamp_ms: 1, value: 1.0 });
    log.commit()
}

fn fill(log: &mut Log) {
    log.prepare(0).unwrap();
    log.file = Some(Arc::new(OpenOptions::new().write(true).open("/dev/full").unwrap()));
}

#[test]
fn a_full_disk_gathers_no_segments_and_writing_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let files = || fs::read_dir(dir.path()).unwrap().count();
    let mut log = Log::new(dir.path().to_owned(), Vec::new(), 1, WalSync::Os);
    for _ in 0..10 {
        fill(&mut log);
        assert_eq!(add(&mut log).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!((files(), log.segments.len()), (0, 0));
    }
    add(&mut log).unwrap();
    fill(&mut log);
    assert!(add(&mut log).is_err());
    assert_eq!((files(), log.segments.len()), (1, 1), "what was written is kept");
    add(&mut log).unwrap();
    assert_eq!((files(), log.segments.len()), (2, 2));
}

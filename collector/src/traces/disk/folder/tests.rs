//! Claims about the folder.

use std::sync::mpsc;

use super::write::SEGMENT_AGE_MAX_MS;
use super::*;
use crate::traces::example::{START_MS, START_NS, span};
use crate::traces::sampling::{Because, Fragment, Kept};
use crate::traces::search::Search;
use crate::traces::span::TraceId;

const DAY_MS: i64 = 86_400_000;

fn open(dir: &Path, retention: SpanRetention) -> (SpanFolder, Vec<String>) {
    let mut names = Vec::new();
    let name = |service: &Text, name: &Text, _: Kind| names.push(format!("{service} {name}"));
    let folder = SpanFolder::open(dir, retention, START_MS, name, |_| {}).unwrap();
    (folder, names)
}

/// A trace that begins so many seconds after the start.
fn fragment(id: TraceId, second: u64) -> Fragment {
    let one = |service: &str, own, parent| {
        Arc::new(span(service, "GET /", Kind::Server, own, parent).during(second * 1_000, second * 1_000 + 10))
    };
    let kept = Kept { because: Because::Sample, halvings: 2 };
    Fragment { id, kept, spans: vec![one("gateway", 1, 0), one("order", 2, 1)] }
}

fn trace(folder: &SpanFolder, id: TraceId) -> Vec<Fragment> {
    folder.traces(&[id]).remove(&id).unwrap_or_default()
}

fn found(folder: &SpanFolder, search: &Search) -> Vec<TraceId> {
    folder.search(search).traces.into_iter().map(|(_, id)| id).collect()
}

fn search(service: &str) -> Search {
    Search { service: service.into(), ..Search::default() }
}

fn fill(folder: &SpanFolder, ids: std::ops::Range<u64>) {
    for id in ids {
        let left = folder.append(vec![fragment(id.into(), id)], START_MS + id as i64 * 1_000);
        assert!(left.is_empty());
    }
}

#[test]
fn what_was_written_is_there_after_a_restart_and_the_next_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, names) = open(dir.path(), SpanRetention::default());
    assert!(names.is_empty());
    fill(&folder, 1..30);
    assert_eq!(trace(&folder, 7)[0].spans.len(), 2);
    // As after `kill -9`: nothing was closed.
    drop(folder);
    let (folder, names) = open(dir.path(), SpanRetention::default());
    assert_eq!(names, ["gateway GET /", "order GET /"]);
    fill(&folder, 30..40);
    for id in 1..40 {
        let fragments = trace(&folder, id);
        assert_eq!((fragments.len(), fragments[0].kept.probability()), (1, 0.25), "{id}");
    }
    assert_eq!((trace(&folder, 40).len(), folder.stats().segments, folder.stats().damaged), (0, 2, 0));
    let newest: Vec<TraceId> = (20..40).rev().collect();
    assert_eq!(found(&folder, &search("order")), newest);
    let narrow = Search { start_ns: START_NS + 3_000_000_000, end_ns: START_NS + 5_000_000_000, ..search("order") };
    assert_eq!(found(&folder, &narrow), [5, 4, 3]);
    assert_eq!(found(&folder, &search("nobody")), []);
    let longer = Search { duration_min_ns: 20_000_000, ..search("order") };
    assert_eq!(found(&folder, &longer), []);
}

#[test]
fn what_is_late_is_found_with_its_trace() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, _) = open(dir.path(), SpanRetention::default());
    fill(&folder, 1..3);
    let late = Arc::new(span("payment", "POST /", Kind::Server, 3, 2).during(1_500, 1_600));
    folder.append(vec![Fragment { spans: vec![late], ..fragment(1, 1) }], START_MS);
    let spans: usize = trace(&folder, 1).iter().map(|fragment| fragment.spans.len()).sum();
    assert_eq!((spans, found(&folder, &search("payment"))), (3, vec![1]));
}

#[test]
fn retention_by_time_and_by_size_removes_the_oldest_segments() {
    let dir = tempfile::tempdir().unwrap();
    let retention = SpanRetention { time: Duration::from_secs(2 * 86_400), bytes: None };
    let (folder, _) = open(dir.path(), retention);
    for day in 0..4 {
        let at_ms = START_MS + day * DAY_MS;
        folder.append(vec![fragment(day as u128 + 1, 1)], at_ms);
        folder.retire(at_ms + SEGMENT_AGE_MAX_MS);
    }
    let there = |folder: &SpanFolder| (1..=4).filter(|id| !trace(folder, *id).is_empty()).collect::<Vec<_>>();
    assert_eq!((there(&folder), folder.stats().segments_outlived), (vec![2, 3, 4], 1));
    drop(folder);
    let newest = dir.path().join("00000004.spans").metadata().unwrap().len();
    let small = SpanRetention { time: Duration::from_secs(1 << 40), bytes: Some(newest) };
    let (folder, _) = open(dir.path(), small);
    folder.retire(START_MS);
    assert_eq!(there(&folder), [4]);
    assert_eq!(folder.stats().bytes, newest);
}

#[test]
fn damage_is_said_once_with_its_place_and_costs_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, _) = open(dir.path(), SpanRetention::default());
    fill(&folder, 1..4);
    let path = dir.path().join("00000001.spans");
    let mut bytes = fs::read(&path).unwrap();
    let second = bytes.windows(4).enumerate().filter(|(_, window)| *window == b"\xf5SPB").nth(1).unwrap().0;
    bytes[second + 30] ^= 0xff;
    fs::write(&path, &bytes).unwrap();
    for _ in 0..3 {
        assert_eq!(found(&folder, &search("order")), [3, 1]);
    }
    assert_eq!(folder.stats().damaged, 1);
    let said = folder.said.lock().iter().next().cloned().unwrap();
    assert!(said.contains(&format!("00000001.spans is damaged at byte {second}: ")), "{said}");
    drop(folder);
    let (folder, _) = open(dir.path(), SpanRetention::default());
    assert_eq!((found(&folder, &search("order")), folder.stats().damaged), (vec![3, 1], 1));
}

#[test]
fn a_folder_that_cannot_be_written_gives_back_what_it_was_given() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, _) = open(dir.path(), SpanRetention::default());
    // What the first segment would be called is taken.
    fs::create_dir(dir.path().join("00000001.spans")).unwrap();
    let left = folder.append(vec![fragment(1, 1), fragment(2, 2)], START_MS);
    assert_eq!((left.len(), folder.stats().write_failures), (2, 1));
    fs::remove_dir(dir.path().join("00000001.spans")).unwrap();
    assert!(folder.append(left, START_MS).is_empty());
    assert_eq!(found(&folder, &search("order")), [2, 1]);
}

#[test]
fn who_reads_does_not_wait_for_who_writes() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, _) = open(dir.path(), SpanRetention::default());
    fill(&folder, 1..3);
    folder.retire(START_MS + 2 * SEGMENT_AGE_MAX_MS);
    fill(&folder, 3..5);
    // As while a block is on its way to a disk that takes its time.
    let held = folder.writing.lock();
    let (tell, told) = mpsc::channel();
    let answer = std::thread::scope(|scope| {
        let folder = &folder;
        scope.spawn(move || {
            tell.send((folder.stats().segments, found(folder, &search("order")), trace(folder, 4).len()))
        });
        let answer = told.recv_timeout(Duration::from_secs(20));
        drop(held);
        answer
    });
    assert_eq!(answer, Ok((2, vec![4, 3, 2, 1], 1)));
}

/// Segments opened and blocks read for something.
fn cost<T>(folder: &SpanFolder, ask: impl FnOnce() -> T) -> (T, (u64, u64)) {
    let before = folder.stats();
    let answer = ask();
    let after = folder.stats();
    (answer, (after.files_opened - before.files_opened, after.blocks_read - before.blocks_read))
}

#[test]
fn a_lookup_opens_the_segments_that_hold_the_trace_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, _) = open(dir.path(), SpanRetention::default());
    // Twenty segments, of which the last is open.
    for hour in 0..20 {
        let at_ms = START_MS + hour * SEGMENT_AGE_MAX_MS;
        assert!(folder.append(vec![fragment(hour as u128 + 1, 1)], at_ms).is_empty());
    }
    let again = || open(dir.path(), SpanRetention::default()).0;
    let ids: Vec<TraceId> = (1..=20).collect();
    let cases: [(&[TraceId], usize, (u64, u64)); 4] =
        [(&[7], 1, (1, 1)), (&[20], 1, (1, 1)), (&[21, 1_000], 0, (0, 0)), (&ids, 20, (20, 20))];
    for (ids, known, expected) in cases {
        assert_eq!(cost(&folder, || folder.traces(ids).len()), (known, expected), "{ids:?}");
    }
    drop(folder);
    let folder = again();
    for (ids, known, expected) in cases {
        assert_eq!(cost(&folder, || folder.traces(ids).len()), (known, expected), "{ids:?} after a restart");
    }
}

#[test]
fn a_hundred_thousand_spans_are_found_with_each_block_read_once() {
    let dir = tempfile::tempdir().unwrap();
    let retention = SpanRetention { bytes: Some(5 << 20), ..SpanRetention::default() };
    let (folder, _) = open(dir.path(), retention);
    let id = |trace: u64| u128::from(trace).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let one = |trace: u64, own: u64| {
        let one =
            span("order", "POST /orders", Kind::Server, (trace << 8 | own).wrapping_mul(0x9e37_79b9_7f4a_7c15), 0);
        Arc::new(one.during(trace, trace + own))
    };
    // Half of each trace is late: it is in another block, and often in another segment.
    for late in [0, 50] {
        for some in 0..15 {
            let kept = Kept { because: Because::Sample, halvings: 0 };
            let fragment = |n: u64| {
                let trace = some * 100 + n;
                Fragment { id: id(trace), kept, spans: (1..=34).map(|own| one(trace, own + late)).collect() }
            };
            assert!(folder.append((0..100).map(fragment).collect(), START_MS).is_empty());
        }
    }
    folder.retire(START_MS + SEGMENT_AGE_MAX_MS);
    let (segments, blocks) = (folder.stats().segments, blocks(dir.path()));
    assert!(segments > 2 && blocks > 8, "{segments} {blocks}");
    let ask = Search { limit: 1_500, ..search("order") };
    let (ids, searched) = cost(&folder, || found(&folder, &ask));
    let (traces, looked_up) = cost(&folder, || folder.traces(&ids));
    let spans: usize = traces.values().flatten().map(|fragment| fragment.spans.len()).sum();
    assert_eq!((ids.len(), traces.len(), spans), (1_500, 1_500, 102_000));
    assert_eq!((searched, looked_up), ((segments, blocks), (segments, blocks)));
}

/// Blocks of all segments.
fn blocks(dir: &Path) -> u64 {
    let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file());
    files.map(|path| fs::read(path).unwrap().windows(4).filter(|window| *window == b"\xf5SPB").count() as u64).sum()
}

#[test]
fn a_damaged_index_costs_time_and_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, _) = open(dir.path(), SpanRetention::default());
    fill(&folder, 1..300);
    folder.retire(START_MS + 2 * SEGMENT_AGE_MAX_MS);
    let path = dir.path().join("00000001.spans");
    let mut bytes = fs::read(&path).unwrap();
    // In the last of the ids, behind which are a checksum of four bytes and a footer of sixty.
    let at = bytes.len() - 70;
    bytes[at] ^= 0xff;
    fs::write(&path, &bytes).unwrap();
    for id in [1, 150, 299] {
        assert_eq!(trace(&folder, id).len(), 1, "{id}");
    }
    assert_eq!(folder.stats().damaged, 1);
}

//! Claims about segments.

use std::io::Write;
use std::sync::Arc;

use super::*;
use crate::traces::disk::codec::BlockWriter;
use crate::traces::example::{START_NS, span};
use crate::traces::sampling::{Because, Kept};
use crate::traces::span::{Kind, TraceId};

fn fragment(id: TraceId, service: &str) -> Fragment {
    let spans =
        vec![Arc::new(span(service, "GET /", Kind::Server, 1, 0).during(id as u64 * 1_000, id as u64 * 1_000 + 5))];
    Fragment { id, kept: Kept { because: Because::Error, halvings: 0 }, spans }
}

/// A segment with a block for each of these.
fn written(folder: &Path, blocks: &[Vec<Fragment>]) -> Writer {
    let mut writer = Writer::create(folder.join("00000001.spans"), 5).unwrap();
    for fragments in blocks {
        let mut block = BlockWriter::default();
        fragments.iter().for_each(|fragment| _ = block.add(fragment, 0));
        writer.append(&block.finish(), fragments).unwrap();
    }
    writer
}

fn blocks() -> Vec<Vec<Fragment>> {
    vec![
        vec![fragment(9, "order"), fragment(2, "order")],
        vec![fragment(3, "search"), fragment(9, "search")],
        vec![fragment(5, "order")],
    ]
}

fn traces(path: &Path, table: &Table, blocks: &[u32]) -> Vec<(TraceId, String)> {
    let file = SegmentFile::open(path).unwrap();
    let read = |block: &u32| file.block(&table.entries[*block as usize]).unwrap();
    let fragments = blocks.iter().flat_map(read);
    fragments.map(|fragment| (fragment.id, fragment.spans[0].service().to_string())).collect()
}

#[test]
fn a_closed_segment_is_found_again_with_all_that_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = written(folder.path(), &blocks());
    let (path, table) = (writer.growing.path.clone(), writer.growing.index().table.clone());
    writer.close(77).unwrap();
    let (segment, read) = Segment::open(&path).unwrap().unwrap();
    let file = SegmentFile::open(&path).unwrap();
    assert_eq!((&read, segment.closed_ms(), segment.bytes), (&table, 77, path.metadata().unwrap().len()));
    assert_eq!(segment.table(&file).unwrap(), table);
    for (id, expected) in [(9, vec![0, 1]), (2, vec![0]), (3, vec![1]), (5, vec![2]), (4, vec![]), (10, vec![])] {
        assert_eq!(segment.find(&file, id).unwrap(), expected, "{id}");
        assert_eq!(segment.may_hold(id), !expected.is_empty(), "{id}");
    }
    assert_eq!(traces(&path, &table, &[1]), [(3, "search".into()), (9, "search".into())]);
    let at = |id: u64| START_NS + id * 1_000_000_000;
    let count = |service: &str, from: u64, to: u64| table.fitting(service, at(from), at(to)).count();
    assert_eq!((count("order", 0, 100), count("search", 0, 100), count("", 0, 100)), (2, 1, 3));
    assert_eq!((count("nobody", 0, 100), count("order", 3, 4), count("order", 10, 100)), (0, 1, 0));
    let names: Vec<_> = table.operations().map(|(service, name, kind)| format!("{service} {name} {kind:?}")).collect();
    assert_eq!(names, ["order GET / Server", "search GET / Server"]);
}

#[test]
fn what_was_not_closed_is_indexed_anew_up_to_the_torn_end() {
    let folder = tempfile::tempdir().unwrap();
    let writer = written(folder.path(), &blocks());
    let (path, table, ids) =
        (writer.growing.path.clone(), writer.growing.index().table.clone(), writer.growing.index().ids.clone());
    drop(writer);
    let whole = path.metadata().unwrap().len();
    std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(&MARK).unwrap();
    assert!(Segment::open(&path).unwrap().is_none());
    let (mut again, gaps) = scan(&path).unwrap();
    assert_eq!((&again.growing.index().table, &again.growing.index().ids), (&table, &ids));
    assert_eq!((again.bytes, again.growing.index().bytes, again.created_ms), (whole, whole, 5));
    assert_eq!(gaps.iter().map(|gap| (gap.offset, gap.bytes)).collect::<Vec<_>>(), [(whole, 4)]);
    let file = SegmentFile::open(&path).unwrap();
    assert_eq!(again.close(1).unwrap().find(&file, 5).unwrap(), [2]);
}

#[test]
fn what_a_failed_write_left_behind_costs_nothing_that_follows() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = written(folder.path(), &blocks()[..1]);
    let path = writer.growing.path.clone();
    // A piece of a block that the disk could not take, nor be rid of: shorter than what follows, and longer than all of it.
    for torn in [50, 100_000] {
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(&[&MARK[..], &vec![0xee; torn]].concat()).unwrap();
        let mut block = BlockWriter::default();
        let fragment = fragment(torn as u128, "order");
        block.add(&fragment, 0);
        writer.append(&block.finish(), &[fragment]).unwrap();
    }
    let table = writer.growing.index().table.clone();
    assert_eq!(traces(&path, &table, &[0, 1, 2]).len(), 4, "while it is written");
    // As after `kill -9`.
    let copy = folder.path().join("00000002.spans");
    std::fs::copy(&path, &copy).unwrap();
    assert_eq!(scan(&copy).unwrap().0.growing.index().table, table);
    writer.close(1).unwrap();
    let (segment, read) = Segment::open(&path).unwrap().expect("its index is where it is looked for");
    assert_eq!((&read, segment.bytes), (&table, path.metadata().unwrap().len()));
    let file = SegmentFile::open(&path).unwrap();
    assert_eq!(traces(&path, &table, &segment.find(&file, 100_000).unwrap()), [(100_000, "order".into())]);
}

#[test]
fn damage_costs_the_block_that_has_it_and_is_said_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = written(folder.path(), &blocks());
    let (path, table) = (writer.growing.path.clone(), writer.growing.index().table.clone());
    writer.close(1).unwrap();
    let at = table.entries[1].offset;
    let mut bytes = std::fs::read(&path).unwrap();
    for byte in &mut bytes[at as usize + 4..at as usize + 20] {
        *byte ^= 0xff;
    }
    std::fs::write(&path, &bytes).unwrap();
    let error = SegmentFile::open(&path).unwrap().block(&table.entries[1]).unwrap_err().to_string();
    assert!(error.contains(&format!("00000001.spans is damaged at byte {at}: ")), "{error}");
    assert_eq!(traces(&path, &table, &[0, 2]).len(), 3);
    // The index as well: it is made anew.
    let last = bytes.len() - 1;
    bytes[last] = 0;
    std::fs::write(&path, &bytes).unwrap();
    assert!(Segment::open(&path).unwrap().is_none());
    let (again, gaps) = scan(&path).unwrap();
    assert_eq!(again.growing.index().ids, [(2, 0), (5, 1), (9, 0)].into());
    assert_eq!(gaps[0].offset, at);
}

/// Stands five places before the end of a page.
const OVER: TraceId = (ids::PAGE_IDS as TraceId - 5) * 2;

/// Of a thousand traces each has a span in one of ten blocks, and one more in all of them.
fn with_pages(folder: &Path) -> (PathBuf, Segment) {
    let many = |block: u128| (0..100).map(|n| fragment((block * 100 + n) * 2 + 1, "order")).collect::<Vec<_>>();
    let blocks: Vec<_> = (0..10).map(|block| [many(block), vec![fragment(OVER, "order")]].concat()).collect();
    let mut writer = written(folder, &blocks);
    (writer.growing.path.clone(), writer.close(1).unwrap())
}

#[test]
fn a_trace_is_found_on_any_page_and_over_the_end_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let (path, closed) = with_pages(folder.path());
    let (opened, _) = Segment::open(&path).unwrap().unwrap();
    let file = SegmentFile::open(&path).unwrap();
    assert_eq!((ids::pages(1_010), opened.footer, &opened.filter), (5, closed.footer, &closed.filter));
    for n in 0..1_000 {
        assert_eq!(opened.find(&file, n * 2 + 1).unwrap(), [n as u32 / 100], "{n}");
    }
    assert_eq!(opened.find(&file, OVER).unwrap(), (0..10).collect::<Vec<_>>());
    for absent in [0, 2, OVER + 2, 2_000, TraceId::MAX] {
        assert!(opened.find(&file, absent).unwrap().is_empty(), "{absent}");
    }
    let found = (2_001..).take(1_000).filter(|id| opened.may_hold(*id)).count();
    assert!((1..=1_000).all(|n| opened.may_hold(n * 2 - 1)) && found < 25, "{found}");
}

#[test]
fn the_ids_are_left_where_they_are_until_one_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (path, closed) = with_pages(folder.path());
    let whole = std::fs::read(&path).unwrap();
    let ids_at = closed.footer.ids_offset;
    let spoilt = |at: u64| {
        let mut bytes = whole.clone();
        bytes[at as usize] ^= 0xff;
        std::fs::write(&path, &bytes).unwrap();
        Segment::open(&path).unwrap()
    };
    // Of five pages the third is asked first, and says it is damaged.
    let place = ids_at + ids::page_at(2, 1_010).0;
    let (segment, _) = spoilt(place + 100).expect("nobody has looked there");
    let error = segment.find(&SegmentFile::open(&path).unwrap(), 1).unwrap_err().to_string();
    assert!(error.contains(&format!("00000001.spans is damaged at byte {place}: ")), "{error}");
    // What is looked at: table, filter, footer.
    for at in [closed.footer.table_offset, closed.footer.filter_offset, ids_at - 1, closed.bytes - 60, closed.bytes - 1]
    {
        assert!(spoilt(at).is_none(), "{at}");
    }
}

//! A write-ahead log that was damaged, or never was one: the store opens all the same and keeps what stands before the damage;
//! opened again it holds the same, and what was appended meanwhile.
//!
//! Input: a byte of choices, then the bytes of a segment, its records, or edits of a segment that was written as ever.

use std::fs;
use std::sync::LazyLock;

use collector::series::{Appendable, Labels, Matcher, Point, Queryable, Sample, Unmetered};
use collector::store::Store;

use crate::input::{Input, damage, seed};
use crate::scene;
use crate::stored::{NOW_MS, Series, everything, folder, open};

/// Magic and creation time.
const HEADER_BYTES: usize = 16;

/// Length and checksum of a record.
const RECORD_HEADER_BYTES: usize = 8;

/// The folders of both logs.
const LOGS: [&str; 2] = ["wal", "wal-late"];

/// Segments as a store writes them.
struct Written {
    /// Of each log.
    segments: [Vec<u8>; LOGS.len()],
}

static WRITTEN: LazyLock<Written> = LazyLock::new(|| {
    let dir = folder();
    let store = open(dir.path()).0;
    scene::append(&store, scene::STEPS - 4..scene::STEPS);
    // Late numbers and histograms, each series anew: what is older than its newest sample.
    let late: Vec<(Labels, Point)> = scene::at(scene::STEPS - 20);
    for points in late.chunks(7) {
        scene::put(&store, points);
    }
    drop(store);
    let segment = |log: &str| {
        let files = fs::read_dir(dir.path().join(log)).expect("the store has made it");
        let mut files: Vec<_> = files.map(|entry| entry.expect("it can be listed").path()).collect();
        files.sort();
        fs::read(files.first().expect("something was appended")).expect("it can be read")
    };
    Written { segments: LOGS.map(segment) }
});

/// Damage of every kind.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for (log, segment) in WRITTEN.segments.iter().enumerate() {
        let log = (log as u8) << 2;
        seeds.push(seed(&[log], segment));
        seeds.push(seed(&[1 | log], &segment[HEADER_BYTES..]));
        let records = records(segment);
        let framed: Vec<u8> = records
            .iter()
            .take(3)
            .flat_map(|(from, end)| {
                let payload = &segment[from + RECORD_HEADER_BYTES..*end];
                seed(&(payload.len() as u16).to_le_bytes(), payload)
            })
            .collect();
        seeds.push(seed(&[2 | log], framed));
        for at in [0u16, 9, 20, 40, 300, 2_000] {
            let [low, high] = at.to_le_bytes();
            for what in 0..6 {
                seeds.push(vec![3 | log | 0x40, low, high, 0, what, 0xff]);
                seeds.push(vec![3 | log | 0x10 | 0x20, low, high, 0, what, 3]);
            }
        }
        // Samples of a chunk with very much time between them.
        let gap = b"3\x14\0\0\xff\xff\xff\xff\xff\xff\x33\x1c\0\0\x04\x03\xff\xff\x04\0";
        seeds.push(seed(&[gap[0] | log], &gap[1..]));
    }
    seeds
}

/// See the file's head.
pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let choices = input.byte();
    let log = usize::from(choices >> 2 & 1);
    let written = &WRITTEN.segments[log];
    let mut header = written[..HEADER_BYTES].to_vec();
    if choices & 0x08 != 0 {
        header[7] = b'1';
    }
    // Records that must be kept.
    let mut whole = 0;
    let segment = match choices & 0b11 {
        0 => input.0.to_vec(),
        1 => seed(&header, input.0),
        2 => seed(&header, framed(&mut input)),
        _ => {
            let mut segment = written.clone();
            let records = records(&segment);
            let damaged = damage(&mut segment, &mut input);
            if damaged.is_none_or(|at| at >= HEADER_BYTES) {
                whole = records.iter().filter(|(_, end)| damaged.is_none_or(|at| *end <= at)).count();
            }
            if choices & 0x10 != 0 {
                repair(&mut segment);
            }
            segment
        }
    };
    let dir = folder();
    let home = dir.path().join(LOGS[log]);
    fs::create_dir(&home).expect("the folder is new");
    fs::write(home.join("00000001.wal"), &segment).expect("there is room");
    if choices & 0x40 != 0 {
        // What follows in another segment does not suffer.
        fs::write(home.join("00000002.wal"), written).expect("there is room");
        whole += records(written).len();
    }
    let (store, replayed) = open(dir.path());
    assert!(replayed.records >= whole as u64, "{replayed:?}, and {whole} records are whole");
    add(&store);
    if choices & 0x20 != 0 {
        store.tend(&|| false);
    }
    let after = but_for_resets(everything(&store));
    drop(store);
    let (store, again) = open(dir.path());
    assert_eq!(again.damaged_bytes, 0, "what is damaged is left out once");
    assert_eq!(but_for_resets(everything(&store)), after, "the store, opened again");
}

/// Whether a counter was reset since the sample before, as its counts tell, may be unknown anew where that one has gone into a
/// block, as the first of a chunk never knows it; queries look at the counts then.
fn but_for_resets(found: Vec<Series>) -> Vec<Series> {
    let unknown =
        |said: String| said.replace("reset: NotReset", "reset: Unknown").replace("reset: Reset", "reset: Unknown");
    found.into_iter().map(|(labels, samples, histograms)| (labels, samples, unknown(histograms))).collect()
}

/// Appends to a series of its own; if that is taken, which a log of the far future prevents, it is there.
fn add(store: &Store) {
    const NAME: &str = "added_after_the_damage";
    let sample = Sample { timestamp_ms: NOW_MS, value: 1.0 };
    let done = store.append(&[(Labels::new([("__name__", NAME)]), sample)]).expect("there is room");
    let found = store.select(&[Matcher::equal("__name__", NAME)], NOW_MS, NOW_MS, &Unmetered);
    assert_eq!(found.expect("nobody refuses").len(), done.stored, "what was appended is there");
}

/// Where each record begins and ends.
fn records(segment: &[u8]) -> Vec<(usize, usize)> {
    let (mut found, mut at) = (Vec::new(), HEADER_BYTES);
    while let Some(header) = segment.get(at..at + RECORD_HEADER_BYTES) {
        let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let end = at + RECORD_HEADER_BYTES + length;
        if end > segment.len() {
            break;
        }
        found.push((at, end));
        at = end;
    }
    found
}

/// Gives each record the checksum of what it holds now: damage that no checksum finds.
fn repair(segment: &mut [u8]) {
    for (from, end) in records(segment) {
        let sum = crc32fast::hash(&segment[from + RECORD_HEADER_BYTES..end]).to_le_bytes();
        segment[from + 4..from + RECORD_HEADER_BYTES].copy_from_slice(&sum);
    }
}

/// Records with lengths and checksums that fit: an input's bytes as what they hold.
fn framed(input: &mut Input<'_>) -> Vec<u8> {
    let mut segment = Vec::new();
    while !input.is_empty() {
        let length = input.number();
        let payload = input.take(length);
        segment.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        segment.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
        segment.extend_from_slice(payload);
    }
    segment
}

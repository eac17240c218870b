//! Traces on disk that were damaged, or never were traces: the folder opens all the same, questions are answered, and opened again it
//! answers the same.
//!
//! Input: a byte that chooses a file, a byte of choices, then edits of that file, or what takes its place.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use axum::body::Body;
use bytes::Bytes;
use collector::otlp::http_routes;
use collector::traces::{Limits, SpanRetention, Traces};
use http::{Request, header};
use lifecycle::{CancellationToken, ManualClock};
use serde_json::{Value, from_slice};

use crate::http_client::{ask, wait};
use crate::input::{Input, damage, seed};
use crate::otlp::TRACE;
use crate::stored::{NOW_MS, folder};

/// First bytes of a block, before its length and checksum.
const BLOCK_MARK: &[u8; 4] = b"\xf5SPB";

/// What is asked.
const QUESTIONS: [&str; 5] = [
    "/api/services",
    "/api/services/shop/operations",
    "/api/traces?service=shop&limit=1500",
    "/api/traces?service=shop&tags=%7B%22error%22%3A%22true%22%7D&minDuration=1ms",
    "/api/traces/0af7651916cd43dd8448eb211c80319c",
];

/// Traces that a collector left when it was killed: a closed segment, one that was written, and the journal.
static WRITTEN: LazyLock<Vec<(PathBuf, Vec<u8>)>> = LazyLock::new(|| {
    let dir = folder();
    // Traces are decided upon and written when they rest; the second time a new segment is begun.
    for round in 0..2 {
        let clock = ManualClock::at(NOW_MS + round * 100_000);
        let traces = open_at(dir.path(), &clock);
        post(&traces, &TRACE.replace("319c", &format!("31{round}c")));
        post(&traces, TRACE);
        clock.advance_ms(60_000);
        wait(traces.keeper().expect("there is a disk").run(ended())).expect("there is room");
        post(&traces, &TRACE.replace("319c", "31ff"));
    }
    let below = |home: PathBuf| {
        let files = fs::read_dir(home).expect("it is there").map(|entry| entry.expect("it can be listed").path());
        files.filter(|path| path.is_file()).collect::<Vec<_>>()
    };
    let paths = [below(dir.path().to_owned()), below(dir.path().join("journal"))].concat();
    let content = |path: &PathBuf| {
        let below = path.strip_prefix(dir.path()).expect("it is in there").to_owned();
        (below, fs::read(path).expect("it can be read"))
    };
    let mut files: Vec<_> = paths.iter().map(content).collect();
    files.sort();
    files
});

fn ended() -> CancellationToken {
    let ended = CancellationToken::new();
    ended.cancel();
    ended
}

fn open_at(dir: &Path, clock: &ManualClock) -> Arc<Traces> {
    let opened = Traces::open(Limits::default(), Arc::new(clock.clone()), dir, SpanRetention::default());
    opened.expect("damage is no reason not to start")
}

fn post(traces: &Traces, json: &str) {
    let request = Request::post("/v1/traces").header(header::CONTENT_TYPE, "application/json");
    let answer = ask(http_routes(traces.sink(), None), request.body(Body::from(json.to_owned())).expect("it is ours"));
    assert_eq!(answer.status, 200);
}

/// Damage in each file.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![Vec::new()];
    for (file, (_, content)) in (0u8..).zip(&*WRITTEN) {
        for part in 0..8 {
            let [low, high, more, _] = ((content.len() * part / 8) as u32).to_le_bytes();
            for choices in [0, 2] {
                seeds.push(vec![file, choices, low, high, more, (part % 6) as u8, 1]);
            }
        }
        seeds.push(seed(&[file, 1], &content[..content.len().min(64)]));
    }
    seeds
}

/// See the file's head.
pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (chosen, choices) = (usize::from(input.byte()) % WRITTEN.len(), input.byte());
    let dir = folder();
    fs::create_dir(dir.path().join("journal")).expect("the folder is new");
    for (at, (path, content)) in WRITTEN.iter().enumerate() {
        let mut content = content.clone();
        if at == chosen {
            match choices & 1 {
                0 => _ = damage(&mut content, &mut input),
                _ => content = input.0.to_vec(),
            }
            if choices & 2 != 0 {
                repair(&mut content);
            }
        }
        fs::write(dir.path().join(path), content).expect("there is room");
    }
    let clock = ManualClock::at(NOW_MS + 300_000);
    let first = answers(&open_at(dir.path(), &clock));
    assert_eq!(answers(&open_at(dir.path(), &clock)), first, "opened again");
}

fn answers(traces: &Traces) -> Vec<Bytes> {
    let look = |question: &&str| {
        let answer = ask(traces.routes(), Request::get(*question).body(Body::empty()).expect("the questions are ours"));
        assert!([200, 404].contains(&answer.status.as_u16()), "{question} is answered {:?}", answer.body);
        assert!(from_slice::<Value>(&answer.body).is_ok(), "{question} is answered {:?}", answer.body);
        answer.body
    };
    QUESTIONS.iter().map(look).collect()
}

/// Gives each block the checksum of what it holds now: damage that no checksum finds.
fn repair(content: &mut [u8]) {
    let mut at = 0;
    while let Some(header) = content.get(at..at + 12) {
        let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        let end = at + 12 + length;
        if &header[..4] == BLOCK_MARK && end <= content.len() {
            let sum = crc32fast::hash(&content[at + 12..end]).to_le_bytes();
            content[at + 8..at + 12].copy_from_slice(&sum);
        }
        at += 1;
    }
}

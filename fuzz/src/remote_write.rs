//! What senders post: any bytes, packed or not, under any headers, and requests of both versions that are well formed but odd.
//! Answered with a status that the specification has; what was said to be written is there, also after the store is opened anew.
//!
//! Input: a byte of choices, then the body, or decisions of which a request is made.

use std::sync::Arc;

use axum::body::Body;
use collector::remote::receiver::{Writer, routes};
use collector::scrape::ScrapeReport;
use collector::series::{Matcher, Queryable, Unmetered};
use collector::store::Store;
use http::{Request, header};
use lifecycle::ManualClock;

use crate::http_client::{Answer, ask};
use crate::input::{Input, repeated, seed};
use crate::stored::{NOW_MS, everything, folder, open};
use crate::wire;

/// A day, as a sender that is late may be.
const RETENTION_MS: i64 = 86_400_000;

/// Packed by us: the longest bomb, which unpacks to more than is taken.
const BOMB_BYTES: usize = 40 << 20;

const CONTENT_TYPES: [&str; 4] = [
    "",
    "application/x-protobuf",
    "application/x-protobuf;proto=io.prometheus.write.v2.Request",
    "application/x-protobuf; proto=\"prometheus.WriteRequest\"",
];

/// Name and value of the series that every well-formed request holds.
const SURE: (&str, f64) = ("sure", 42.5);

/// Requests, and what is none.
pub fn seeds() -> Vec<Vec<u8>> {
    let decisions: Vec<u8> = (0u8..=255).map(|i| i.wrapping_mul(37) ^ (i >> 3)).collect();
    let mut seeds = Vec::new();
    for version in [Version::One, Version::Two] {
        for from in [0, 40, 90, 150] {
            let way = if version == Version::One { 0b0111 } else { 0b1011 };
            seeds.push(seed(&[way | 0x80], &decisions[from..from + 60]));
            let message = version.request(&mut Input(&decisions[from..from + 60]));
            seeds.push(seed(&[way & !0b11 | 1], &message));
            let packed = snap::raw::Encoder::new().compress_vec(&message).expect("it is short");
            seeds.push(seed(&[way & !0b11], packed));
        }
    }
    // What unpacks to very much, and what says so and does not.
    seeds.push(vec![0b0110, 0xff, 0x0a]);
    seeds.push(vec![0, 0x80, 0x80, 0x80, 0x10, 0xfe, 0xff, 0x00]);
    seeds.push(b"\x01\x1e\x0f\x0a\x02\x12\x00\x1e".to_vec());
    seeds.push(b"\x09\x1e\x0f\x2a\x06\x08\x01\x08\x02\x12\x00\x1e".to_vec());
    seeds
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// See the file's head.
pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let choices = input.byte();
    let content_type = CONTENT_TYPES[usize::from(choices >> 2) % CONTENT_TYPES.len()];
    let version = if content_type.contains("v2") { Version::Two } else { Version::One };
    let (body, is_well) = match choices & 0b11 {
        0 => (input.0.to_vec(), false),
        1 => (packed(&repeated(input.0)), false),
        2 => (packed(&vec![input.byte(); BOMB_BYTES >> (input.byte() % 32)]), false),
        _ => (packed(&version.request(&mut input)), true),
    };
    let encoding = ["snappy", "", "gzip"][usize::from(choices >> 4 & 0b11).min(2)];
    let dir = folder();
    let store = Arc::new(open(dir.path()).0);
    let times = if choices & 0x40 == 0 { 1 } else { 2 };
    for time in 0..times {
        let answer = post(&store, content_type, encoding, body.clone());
        judge(&answer, is_well && encoding != "gzip", version, time);
    }
    if is_well && encoding != "gzip" {
        let found = store.select(&[Matcher::equal("__name__", SURE.0)], i64::MIN, i64::MAX, &Unmetered);
        let found = found.expect("nobody refuses");
        assert!(found.iter().flat_map(|series| &series.samples).any(|sample| sample.value == SURE.1), "{found:?}");
    }
    if choices & 0x80 != 0 {
        let before = everything(&*store);
        drop(store);
        assert_eq!(everything(&open(dir.path()).0), before, "the store, opened anew");
    }
}

fn packed(plain: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(plain).expect("it is no longer than can be packed")
}

fn post(store: &Arc<Store>, content_type: &str, encoding: &str, body: Vec<u8>) -> Answer {
    let report = Arc::new(ScrapeReport::new(String::new(), NOW_MS));
    let writer = Writer::new(store.clone(), report, Arc::new(ManualClock::at(NOW_MS)), RETENTION_MS);
    let mut request = Request::post("/api/v1/write");
    for (name, value) in [(header::CONTENT_TYPE, content_type), (header::CONTENT_ENCODING, encoding)] {
        if !value.is_empty() {
            request = request.header(name, value);
        }
    }
    let request = request.body(Body::from(body)).expect("the headers are ours");
    ask(routes(Some(Arc::new(writer))), request)
}

fn judge(answer: &Answer, is_well: bool, version: Version, time: usize) {
    let status = answer.status.as_u16();
    let text = String::from_utf8_lossy(&answer.body);
    assert!([204, 400, 415, 429].contains(&status), "{status} {text}");
    assert!(status == 204 || !text.trim().is_empty(), "a refusal says why");
    if !is_well {
        return;
    }
    assert!([204, 400].contains(&status), "a request of ours is understood: {status} {text}");
    assert!(status == 204 || text.starts_with("written: "), "a request of ours is understood: {text}");
    if version == Version::Two && time == 0 {
        let written = answer.headers.get("x-prometheus-remote-write-samples-written");
        let written: usize =
            written.and_then(|count| count.to_str().ok()?.parse().ok()).expect("2.0 is told the count");
        assert!(written > 0, "{text}");
    }
}

/// Words that a request's labels are made of; several make a series invalid.
const WORDS: [&str; 10] = ["__name__", "job", "a", "b", "", "x y", "\u{e9}", "le", "0.5", "metric_total"];

const VALUES: [f64; 8] = [0.0, 1.0, -1.5, f64::NAN, f64::INFINITY, 1e300, 5e-324, 3.0];

impl Version {
    /// A well-formed request: one series that is surely stored, and some that decisions make.
    fn request(self, input: &mut Input<'_>) -> Vec<u8> {
        let mut symbols = vec![String::new()];
        let mut series = Vec::new();
        let sure = vec![("__name__".to_owned(), SURE.0.to_owned())];
        self.series(&mut series, &mut symbols, &sure, |out, field| {
            wire::message(out, field, |out| sample(out, SURE.1, NOW_MS));
        });
        for _ in 0..input.byte() % 6 {
            let mut labels: Vec<_> = (0..input.byte() % 5).map(|_| (word(input), word(input))).collect();
            if !input.byte().is_multiple_of(8) {
                labels.push(("__name__".to_owned(), format!("m{}", input.byte() % 3)));
            }
            let (samples, histograms) = (input.byte() % 4, input.byte() % 3);
            self.series(&mut series, &mut symbols, &labels, |out, field| {
                for _ in 0..samples {
                    wire::message(out, field, |out| sample(out, value(input), time(input)));
                }
                for _ in 0..histograms {
                    wire::message(out, if self == Self::One { 4 } else { 3 }, |out| histogram(out, input));
                }
            });
        }
        if self == Self::One {
            wire::message(&mut series, 3, |out| {
                wire::number(out, 1, u64::from(input.byte()));
                wire::bytes(out, 2, word(input).as_bytes());
                wire::bytes(out, 4, word(input).as_bytes());
            });
            return series;
        }
        let mut request = Vec::new();
        symbols.iter().for_each(|symbol| wire::bytes(&mut request, 4, symbol.as_bytes()));
        request.extend(series);
        request
    }

    /// A series; `fill` writes its samples, told their field.
    fn series(
        self,
        out: &mut Vec<u8>,
        symbols: &mut Vec<String>,
        labels: &[(String, String)],
        fill: impl FnOnce(&mut Vec<u8>, u32),
    ) {
        let field = if self == Self::One { 1 } else { 5 };
        wire::message(out, field, |out| {
            if self == Self::One {
                for (name, value) in labels {
                    wire::message(out, 1, |out| {
                        wire::bytes(out, 1, name.as_bytes());
                        wire::bytes(out, 2, value.as_bytes());
                    });
                }
            } else {
                let mut references = Vec::new();
                for text in labels.iter().flat_map(|(name, value)| [name, value]) {
                    symbols.push(text.clone());
                    wire::varint(&mut references, symbols.len() as u64 - 1);
                }
                wire::bytes(out, 1, &references);
            }
            fill(out, 2);
        });
    }
}

fn word(input: &mut Input<'_>) -> String {
    input.choose(&WORDS).to_owned()
}

fn value(input: &mut Input<'_>) -> f64 {
    match input.byte() {
        byte if byte < 200 => VALUES[usize::from(byte) % VALUES.len()],
        _ => f64::from_bits(input.bits()),
    }
}

/// Mostly about now, in and out of order; seldom any time at all.
fn time(input: &mut Input<'_>) -> i64 {
    match input.byte() {
        byte if byte < 230 => NOW_MS + (i64::from(byte) - 160) * 60_000,
        byte if byte < 245 => NOW_MS - (i64::from(byte) - 230) * RETENTION_MS / 8,
        _ => input.bits().cast_signed(),
    }
}

fn sample(out: &mut Vec<u8>, value: f64, timestamp_ms: i64) {
    wire::double(out, 1, value);
    wire::number(out, 2, timestamp_ms.cast_unsigned());
}

/// A native histogram, often of whole numbers that add up, or stale.
fn histogram(out: &mut Vec<u8>, input: &mut Input<'_>) {
    let choices = input.byte();
    let (is_whole, is_custom) = (choices & 1 == 0, choices & 2 != 0);
    let lengths: Vec<u64> = (0..input.byte() % 4).map(|_| u64::from(input.byte() % 5)).collect();
    let counts: Vec<u64> = (0..lengths.iter().sum::<u64>()).map(|_| u64::from(input.byte())).collect();
    let sum: u64 = counts.iter().sum();
    let off = if choices & 4 == 0 { 0 } else { u64::from(input.byte() % 3) };
    if is_whole {
        wire::number(out, 1, sum + off);
    } else {
        wire::double(out, 2, (sum + off) as f64);
    }
    wire::double(out, 3, value(input));
    let schema = if is_custom { -53 } else { i64::from(input.byte() % 16) - 5 };
    wire::zigzag(out, 4, schema);
    if !is_custom && choices & 8 != 0 {
        wire::double(out, 5, value(input));
    }
    for length in lengths {
        wire::message(out, 11, |out| {
            wire::zigzag(out, 1, i64::from(input.byte() % 8) - 1);
            wire::number(out, 2, length);
        });
    }
    let mut before = 0i64;
    for count in counts {
        if is_whole {
            wire::zigzag(out, 12, count.cast_signed() - before);
            before = count.cast_signed();
        } else {
            wire::double(out, 13, count as f64);
        }
    }
    wire::number(out, 14, u64::from(input.byte() % 5));
    wire::number(out, 15, time(input).cast_unsigned());
    let bounds = if is_custom { input.byte() % 24 } else { 0 };
    for bound in 0..bounds {
        wire::double(out, 16, f64::from(bound) / 2.0);
    }
}

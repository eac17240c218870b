//! What a target prints in protobuf: any bytes, and families that are well formed but damaged, taken in scrape after scrape.
//!
//! Input: a byte of choices, then the families; or edits of some that are well.

use collector::exposition::MediaType;

use crate::exposition::{job, scrape};
use crate::input::{Input, damage, repeated, seed};
use crate::wire;

/// Families as client libraries write them, of every type.
fn families() -> Vec<u8> {
    let mut out = Vec::new();
    family(&mut out, "requests_total", 0, |metric| {
        wire::message(metric, 3, |counter| {
            wire::double(counter, 1, 1027.0);
            wire::message(counter, 2, exemplar);
        });
        wire::number(metric, 6, 1_699_999_199_000);
    });
    family(&mut out, "temperature", 1, |metric| wire::message(metric, 2, |gauge| wire::double(gauge, 1, f64::NAN)));
    family(&mut out, "size", 2, |metric| {
        wire::message(metric, 4, |summary| {
            wire::number(summary, 1, 3);
            wire::double(summary, 2, 4.5);
            wire::message(summary, 3, |quantile| {
                wire::double(quantile, 1, 0.5);
                wire::double(quantile, 2, 1.5);
            });
        });
    });
    family(&mut out, "other", 3, |metric| wire::message(metric, 5, |untyped| wire::double(untyped, 1, 7.0)));
    for (name, kind) in [("latency", 4), ("level", 5)] {
        family(&mut out, name, kind, |metric| wire::message(metric, 7, |out| histogram(out, true, kind == 4)));
        family(&mut out, &format!("{name}_native"), kind, |metric| {
            wire::message(metric, 7, |out| histogram(out, false, kind == 4));
        });
    }
    out
}

fn family(out: &mut Vec<u8>, name: &str, kind: u64, fill: impl Fn(&mut Vec<u8>)) {
    let mut family = Vec::new();
    wire::bytes(&mut family, 1, name.as_bytes());
    wire::bytes(&mut family, 2, b"Text.");
    wire::number(&mut family, 3, kind);
    for value in ["a", "b \"\\\u{e9}"] {
        wire::message(&mut family, 4, |metric| {
            wire::message(metric, 1, |label| pair(label, "path", value));
            fill(metric);
        });
    }
    wire::bytes(&mut family, 5, b"seconds");
    wire::varint(out, family.len() as u64);
    out.extend(family);
}

fn pair(out: &mut Vec<u8>, name: &str, value: &str) {
    wire::bytes(out, 1, name.as_bytes());
    wire::bytes(out, 2, value.as_bytes());
}

fn exemplar(out: &mut Vec<u8>) {
    wire::message(out, 1, |label| pair(label, "trace_id", "abc"));
    wire::double(out, 2, 0.5);
    wire::message(out, 3, |time| {
        wire::number(time, 1, 1_699_999_199);
        wire::number(time, 2, 500_000_000);
    });
}

fn histogram(out: &mut Vec<u8>, is_classic: bool, is_whole: bool) {
    wire::number(out, 1, 6);
    wire::double(out, 2, 4.5);
    if is_classic {
        for (count, bound) in [(1, 0.5), (3, 1.0), (6, f64::INFINITY)] {
            wire::message(out, 3, |bucket| {
                wire::number(bucket, 1, count);
                wire::double(bucket, 2, bound);
                wire::message(bucket, 3, exemplar);
            });
        }
        return;
    }
    wire::zigzag(out, 5, 3);
    wire::double(out, 6, 0.001);
    for (field, offset) in [(9, 0), (12, -2)] {
        wire::message(out, field, |span| {
            wire::zigzag(span, 1, offset);
            wire::number(span, 2, 1);
        });
    }
    if is_whole {
        wire::number(out, 7, 1);
        wire::zigzag(out, 10, 2);
        wire::zigzag(out, 13, 3);
    } else {
        wire::double(out, 4, 6.0);
        wire::double(out, 8, 1.0);
        wire::double(out, 11, 2.0);
        wire::double(out, 14, 3.0);
    }
    wire::message(out, 16, exemplar);
}

/// Families, whole and damaged.
pub fn seeds() -> Vec<Vec<u8>> {
    let families = families();
    let mut seeds = vec![seed(&[0], b"\x1e\x0c\x02\x0a\x00\x1e")];
    for job in 0..7 {
        seeds.push(seed(&[job << 1], &families));
    }
    for at in (0..families.len()).step_by(60) {
        let [low, high, ..] = at.to_le_bytes();
        seeds.push(vec![1 | (at as u8 % 7) << 1, low, high, 0, (at % 6) as u8, 0x7f]);
    }
    seeds
}

/// See the file's head.
pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let choices = input.byte();
    let body = if choices & 1 == 0 {
        repeated(input.0).into_owned()
    } else {
        let mut families = families();
        // Where it begins is of no matter here.
        let _ = damage(&mut families, &mut input);
        families
    };
    let half = &body[..body.len() / 2];
    scrape(job(choices >> 1), MediaType::Protobuf, &[&body, half]);
}

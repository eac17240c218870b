//! The samples of a text as a request of remote write 1.0, written by hand so that no code of the collector is in it.

use collector::promql::parse_selector;
use collector::series::MatchOp;

/// All samples of a text whose lines are `SERIES VALUE MILLISECONDS`.
pub fn write_request(text: &str) -> Vec<u8> {
    let mut message = Vec::new();
    let lines = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut words = line.rsplitn(3, ' ');
        let (at_ms, value) = (words.next().unwrap(), words.next().unwrap());
        (words.next().unwrap(), value.parse::<f64>().unwrap(), at_ms.parse::<i64>().unwrap())
    });
    let lines: Vec<(&str, f64, i64)> = lines.collect();
    for samples in lines.chunk_by(|a, b| a.0 == b.0) {
        let mut series = labels(samples[0].0);
        for (_, value, at_ms) in samples {
            let mut sample = vec![1 << 3 | 1];
            sample.extend(value.to_le_bytes());
            sample.push(2 << 3);
            varint(&mut sample, u64::try_from(*at_ms).unwrap());
            field(&mut series, 2, &sample);
        }
        field(&mut message, 1, &series);
    }
    snap::raw::Encoder::new().compress_vec(&message).unwrap()
}

fn labels(series: &str) -> Vec<u8> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for matcher in parse_selector(series).unwrap() {
        match matcher.op {
            MatchOp::Equal(value) if value.is_empty() => {}
            MatchOp::Equal(value) => pairs.push((matcher.name, value)),
            _ => panic!("{series}: no series"),
        }
    }
    pairs.sort();
    let mut written = Vec::new();
    for (name, value) in pairs {
        let mut label = Vec::new();
        field(&mut label, 1, name.as_bytes());
        field(&mut label, 2, value.as_bytes());
        field(&mut written, 1, &label);
    }
    written
}

fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend(bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

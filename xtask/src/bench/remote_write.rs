//! Writes the generator's samples into a collector by remote write 1.0, hours of them in minutes: the protobuf by hand, and
//! snappy without compressing, which every reader of it takes.

use super::History;
use super::generator::{Generator, identity};
use super::subject::Subject;

/// Seconds of samples in one request: of 2,000 series each 15 s, 80,000 samples in 2 MB.
const REQUEST_SECONDS: u64 = 600;

/// Requests that are on their way at once: as many as a sender has shards at first.
const AT_ONCE: usize = 2;

/// The times that are written, in seconds since the epoch.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub start: u64,
    pub end: u64,
    pub interval: u64,
}

impl Span {
    /// Ends a little before now, at a whole minute.
    pub fn until(now: u64, history: History) -> Self {
        let end = (now - 60) / 60 * 60;
        Self { start: end - history.hours * 3_600, end, interval: history.interval.max(1) }
    }

    /// Samples of each series: at the start, and up to the end.
    pub fn samples(&self) -> u64 {
        (self.end - self.start) / self.interval + 1
    }
}

/// Writes all samples of all targets into one collector, in order of time.
pub async fn fill(subject: &Subject, generator: &Generator, targets: usize, span: Span) -> anyhow::Result<()> {
    let times: Vec<u64> = (span.start..=span.end).step_by(usize::try_from(span.interval)?).collect();
    let targets: Vec<usize> = (0..targets).collect();
    for times in times.chunks(usize::try_from(REQUEST_SECONDS / span.interval)?.max(1)) {
        for group in targets.chunks(AT_ONCE) {
            let sent = group.iter().map(|target| subject.write(request(generator, *target, span.start, times)));
            futures::future::try_join_all(sent).await?;
        }
    }
    Ok(())
}

/// One request: all series of a target at these times.
fn request(generator: &Generator, target: usize, start: u64, times: &[u64]) -> Vec<u8> {
    let (job, instance) = identity(target);
    let mut message = Vec::with_capacity(generator.lines.len() * (200 + times.len() * 20));
    let mut series = Vec::new();
    for (index, line) in generator.lines.iter().enumerate() {
        series.clear();
        let mut labels: Vec<(&str, &str)> = vec![("__name__", line.name), ("instance", &instance), ("job", &job)];
        labels.extend(line.labels.iter().map(|(name, value)| (*name, value.as_str())));
        labels.sort_unstable();
        for (name, value) in labels {
            let mut label = Vec::with_capacity(name.len() + value.len() + 4);
            field(&mut label, 1, name.as_bytes());
            field(&mut label, 2, value.as_bytes());
            field(&mut series, 1, &label);
        }
        for time in times {
            let mut sample = Vec::with_capacity(18);
            sample.push(1 << 3 | 1);
            sample.extend(generator.value(target, index, time - start).to_le_bytes());
            sample.push(2 << 3);
            varint(&mut sample, time * 1_000);
            field(&mut series, 2, &sample);
        }
        field(&mut message, 1, &series);
    }
    uncompressed(&message)
}

/// A field of bytes with its number and length.
fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend(bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Snappy's block format, of literals only: the length, then pieces of at most 64 KiB with a tag that says how long.
fn uncompressed(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 1_000 + 16);
    varint(&mut out, bytes.len() as u64);
    for piece in bytes.chunks(1 << 16) {
        let last = u16::try_from(piece.len() - 1).expect("a piece has at most 65,536 bytes");
        out.push(61 << 2);
        out.extend(last.to_le_bytes());
        out.extend(piece);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_pieces_are_as_the_formats_say() {
        let mut out = Vec::new();
        varint(&mut out, 300);
        assert_eq!(out, [0xac, 0x02]);
        assert_eq!(uncompressed(b"abc"), [3, 61 << 2, 2, 0, b'a', b'b', b'c']);
        assert_eq!(uncompressed(&[7; 70_000]).len(), 3 + 70_000 + 2 * 3);
    }

    #[test]
    fn a_span_ends_at_a_whole_minute_before_now() {
        let span = Span::until(1_000_000_030, History { hours: 2, interval: 15 });
        assert_eq!((span.end % 60, span.end - span.start, span.samples()), (0, 7_200, 481));
    }
}

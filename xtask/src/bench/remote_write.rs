//! Writes the generator's samples into a collector by remote write, hours of them in minutes.

use super::History;
use super::generator::{Generator, identity};
use crate::subject::Subject;
use crate::wire::WriteRequest;

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
    let mut request = WriteRequest::with_capacity(generator.lines.len() * (200 + times.len() * 20));
    for (index, line) in generator.lines.iter().enumerate() {
        let mut labels: Vec<(&str, &str)> = vec![("__name__", line.name), ("instance", &instance), ("job", &job)];
        labels.extend(line.labels.iter().map(|(name, value)| (*name, value.as_str())));
        labels.sort_unstable();
        let sample = |time: &u64| (time.cast_signed() * 1_000, generator.value(target, index, time - start));
        request.series(&labels, times.iter().map(sample));
    }
    request.packed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_ends_at_a_whole_minute_before_now() {
        let span = Span::until(1_000_000_030, History { hours: 2, interval: 15 });
        assert_eq!((span.end % 60, span.end - span.start, span.samples()), (0, 7_200, 481));
    }
}

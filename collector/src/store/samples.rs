//! The samples of one series in memory, numbers and native histograms, and which new ones it takes: as Prometheus, only what
//! is newer than all before, of either kind. Knows nothing of labels, files or other series.

use super::chunk::{Chunk, OpenChunk, Samples};
use super::histogram_chunk::{HistogramChunk, OpenHistogramChunk, reset_since, same_content};
use super::record::LogMark;
use crate::series::{Histogram, HistogramSample, Meter, Point, Sample, Scratch, SelectError};

/// What became of one sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushed {
    Stored,
    /// The series' newest sample again: nothing to do.
    Repeated,
    Duplicate,
    OutOfOrder,
    /// Older than what the head takes.
    TooOld,
}

/// What changes as samples come in.
#[derive(Default)]
pub(super) struct SeriesState {
    open: Option<OpenChunk>,
    /// Apart, as most samples that come do not go there: what they go to lies close together.
    sealed: Option<Box<Sealed>>,
    /// Few series have any.
    histograms: Option<Box<Histograms>>,
    /// Where the log stands with this series.
    pub log: LogMark,
    /// Was without samples at the last look of the retention.
    idle: bool,
}

/// Full chunks of numbers, in order.
#[derive(Default)]
struct Sealed(Vec<Chunk>);

/// Native histograms of a series.
struct Histograms {
    sealed: Vec<HistogramChunk>,
    open: OpenHistogramChunk,
}

impl Histograms {
    /// Those of an earlier time.
    fn before(mut self: Box<Self>, from_ms: i64) -> Option<Self> {
        let is_kept = |sample: &HistogramSample| sample.timestamp_ms < from_ms;
        let mut open = OpenHistogramChunk::of(self.open.samples().take_while(is_kept));
        while open.is_none() {
            open = OpenHistogramChunk::of(self.sealed.pop()?.samples().take_while(is_kept));
        }
        open.map(|open| Self { sealed: self.sealed, open })
    }

    fn read(
        &self,
        start_ms: i64,
        end_ms: i64,
        into: &mut Vec<HistogramSample>,
        meter: &dyn Meter,
    ) -> Result<(), SelectError> {
        let from = self.sealed.partition_point(|c| c.last_ms < start_ms);
        let sealed = self.sealed[from..].iter().take_while(|c| c.first_ms() <= end_ms);
        let open = Some(&self.open).filter(|c| c.first_ms() <= end_ms && c.last.timestamp_ms >= start_ms);
        let mut add = |sample: HistogramSample| {
            if (start_ms..=end_ms).contains(&sample.timestamp_ms) {
                meter.take_locked(sample.weight())?;
                into.push(sample);
            }
            Ok(())
        };
        sealed.flat_map(HistogramChunk::samples).try_for_each(&mut add)?;
        open.into_iter().flat_map(OpenHistogramChunk::samples).try_for_each(&mut add)
    }
}

impl SeriesState {
    /// Takes a sample if it is newer than all before.
    pub fn push(&mut self, sample: Sample) -> Pushed {
        match self.newest_histogram().map(|newest| newest.timestamp_ms) {
            Some(newest_ms) if newest_ms > sample.timestamp_ms => return Pushed::OutOfOrder,
            Some(newest_ms) if newest_ms == sample.timestamp_ms => return Pushed::Duplicate,
            _ => {}
        }
        let Some(open) = &mut self.open else {
            self.open = Some(OpenChunk::new(sample));
            return Pushed::Stored;
        };
        if sample.timestamp_ms < open.last.timestamp_ms {
            return Pushed::OutOfOrder;
        }
        if sample.timestamp_ms == open.last.timestamp_ms {
            let same = sample.value.to_bits() == open.last.value.to_bits();
            return if same { Pushed::Repeated } else { Pushed::Duplicate };
        }
        if open.is_full() {
            let full = std::mem::replace(open, OpenChunk::new(sample));
            let Sealed(sealed) = &mut **self.sealed.get_or_insert_default();
            // There are as many lists as series: a list that doubled would waste much.
            if sealed.len() == sealed.capacity() {
                sealed.reserve_exact(1 + sealed.len() / 8);
            }
            sealed.push(full.seal());
        } else {
            open.push(sample);
        }
        Pushed::Stored
    }

    fn sealed(&self) -> &[Chunk] {
        self.sealed.as_ref().map_or(&[], |sealed| sealed.0.as_slice())
    }

    /// The byte behind which the next numbers are written.
    pub fn written_last(&self) -> u8 {
        self.open.as_ref().map_or(0, OpenChunk::written_last)
    }

    /// The last number that was taken, 0 before there is one.
    pub fn last_value(&self) -> f64 {
        self.open.as_ref().map_or(0.0, |open| open.last.value)
    }

    /// Takes a histogram if it is newer than all before, and notes whether its counter was reset.
    pub fn push_histogram(&mut self, mut sample: HistogramSample) -> Pushed {
        if let Some(float) = self.open.as_ref().map(|open| open.last) {
            if sample.timestamp_ms < float.timestamp_ms {
                return Pushed::OutOfOrder;
            }
            if sample.timestamp_ms == float.timestamp_ms {
                return Pushed::Duplicate;
            }
        }
        let float_ms = self.open.as_ref().map(|open| open.last.timestamp_ms);
        let Some(histograms) = &mut self.histograms else {
            renew_reset(&mut sample, None);
            let open = OpenHistogramChunk::new(sample);
            self.histograms = Some(Box::new(Histograms { sealed: Vec::new(), open }));
            return Pushed::Stored;
        };
        let newest = &histograms.open.last;
        if sample.timestamp_ms < newest.timestamp_ms {
            return Pushed::OutOfOrder;
        }
        if sample.timestamp_ms == newest.timestamp_ms {
            let same = same_content(&sample.histogram, &newest.histogram);
            return if same { Pushed::Repeated } else { Pushed::Duplicate };
        }
        let follows = float_ms.is_none_or(|float_ms| float_ms < newest.timestamp_ms);
        renew_reset(&mut sample, Some(&*newest.histogram).filter(|_| follows));
        if let Err(sample) = histograms.open.push(sample) {
            let full = std::mem::replace(&mut histograms.open, OpenHistogramChunk::new(sample));
            histograms.sealed.push(full.seal());
        }
        Pushed::Stored
    }

    /// Takes back all samples of a time or newer, the last ones that came: they could not be logged.
    pub fn take_back(&mut self, from_ms: i64) {
        if let Some(open) = self.open.take_if(|open| open.last.timestamp_ms >= from_ms) {
            let is_kept = |sample: &Sample| sample.timestamp_ms < from_ms;
            self.open = OpenChunk::of(open.samples().take_while(is_kept));
            while self.open.is_none()
                && let Some(chunk) = self.sealed.as_mut().and_then(|sealed| sealed.0.pop())
            {
                self.open = OpenChunk::of(chunk.samples().take_while(is_kept));
            }
        }
        let is_newer = |histograms: &mut Box<Histograms>| histograms.open.last.timestamp_ms >= from_ms;
        if let Some(histograms) = self.histograms.take_if(is_newer) {
            self.histograms = histograms.before(from_ms).map(Box::new);
        }
    }

    /// What a stale marker is for this series if its newest sample is a histogram: not a number.
    pub fn marker(&self, sample: Sample) -> Option<HistogramSample> {
        let newest = self.newest_histogram()?;
        let is_newest = self.open.as_ref().is_none_or(|open| open.last.timestamp_ms < newest.timestamp_ms);
        is_newest.then(|| HistogramSample { timestamp_ms: sample.timestamp_ms, histogram: Histogram::stale().into() })
    }

    fn newest_histogram(&self) -> Option<&HistogramSample> {
        self.histograms.as_ref().map(|histograms| &histograms.open.last)
    }

    /// Whether there was never a sample, or none is left.
    pub fn is_empty(&self) -> bool {
        self.open.is_none() && self.histograms.is_none()
    }

    /// How many chunks there are.
    pub fn chunk_count(&self) -> u64 {
        let histograms = self.histograms.as_ref().map_or(0, |histograms| histograms.sealed.len() + 1);
        (self.sealed().len() + usize::from(self.open.is_some()) + histograms) as u64
    }

    /// The time of the oldest sample.
    pub fn first_ms(&self) -> Option<i64> {
        let floats = self.sealed().first().map(|c| c.first_ms).or_else(|| self.open.as_ref().map(|c| c.first_ms));
        let histograms = self.histograms.as_ref().map(|histograms| {
            histograms.sealed.first().map_or_else(|| histograms.open.first_ms(), HistogramChunk::first_ms)
        });
        [floats, histograms].into_iter().flatten().min()
    }

    /// The time of the oldest sample, of those from a time on. A chunk may begin long before: nothing came for a year, say.
    pub fn first_from(&self, from_ms: i64) -> Option<i64> {
        let first_ms = self.first_ms()?;
        if first_ms >= from_ms {
            return Some(first_ms);
        }
        let at = self.sealed().partition_point(|c| c.last_ms < from_ms);
        let floats = self.sealed().get(at).map(Chunk::samples).or_else(|| self.open.as_ref().map(OpenChunk::samples));
        let float = floats.into_iter().flatten().map(|sample| sample.timestamp_ms).find(|time_ms| *time_ms >= from_ms);
        let histogram = self.histograms.as_ref().and_then(|histograms| {
            let at = histograms.sealed.partition_point(|c| c.last_ms < from_ms);
            let chunk = histograms.sealed.get(at).map(HistogramChunk::samples);
            let mut samples = chunk.unwrap_or_else(|| histograms.open.samples());
            samples.find(|sample| sample.timestamp_ms >= from_ms).map(|sample| sample.timestamp_ms)
        });
        [float, histogram].into_iter().flatten().min()
    }

    /// Whether a sample may lie in the range.
    pub fn overlaps(&self, start_ms: i64, end_ms: i64) -> bool {
        let within = |first_ms, last_ms| first_ms <= end_ms && last_ms >= start_ms;
        self.open.as_ref().is_some_and(|c| within(c.first_ms, c.last.timestamp_ms))
            || self.sealed().iter().rev().any(|c| within(c.first_ms, c.last_ms))
            || self.histograms.as_ref().is_some_and(|histograms| {
                let open = &histograms.open;
                within(open.first_ms(), open.last.timestamp_ms)
                    || histograms.sealed.iter().rev().any(|c| within(c.first_ms(), c.last_ms))
            })
    }

    /// Puts the samples in the range into `into`, and nothing else. The meter is told chunk by chunk, so that a long series is
    /// refused before it is held; as the state is locked, it is asked to wait only by those who have given the lock back.
    pub fn read(&self, start_ms: i64, end_ms: i64, into: &mut Scratch, meter: &dyn Meter) -> Result<(), SelectError> {
        into.samples.clear();
        into.histograms.clear();
        let from = self.sealed().partition_point(|c| c.last_ms < start_ms);
        let sealed = self.sealed()[from..].iter().take_while(|c| c.first_ms <= end_ms);
        let open = self.open.as_ref().filter(|c| c.first_ms <= end_ms && c.last.timestamp_ms >= start_ms);
        let sealed = sealed.map(|c| (c.first_ms, c.last_ms, c.samples()));
        for (first_ms, last_ms, chunk) in sealed.chain(open.map(|c| (c.first_ms, c.last.timestamp_ms, c.samples()))) {
            let before = into.samples.len();
            into.samples.reserve(chunk.size_hint().1.unwrap_or(0));
            if first_ms >= start_ms && last_ms <= end_ms {
                into.samples.extend(chunk);
            } else {
                into.samples.extend(chunk.filter(|s| (start_ms..=end_ms).contains(&s.timestamp_ms)));
            }
            meter.take_locked(into.samples.len() - before)?;
        }
        match &self.histograms {
            Some(histograms) => histograms.read(start_ms, end_ms, &mut into.histograms, meter),
            None => Ok(()),
        }
    }

    /// The newest sample of either kind in the range.
    pub fn latest(&self, start_ms: i64, end_ms: i64) -> Option<Point> {
        let float = self.latest_float(end_ms).map(Point::Float);
        let histogram = self.latest_histogram(end_ms).map(Point::Histogram);
        let newest = [float, histogram].into_iter().flatten().max_by_key(Point::timestamp_ms);
        newest.filter(|point| point.timestamp_ms() >= start_ms)
    }

    fn latest_float(&self, end_ms: i64) -> Option<Sample> {
        let open = self.open.as_ref()?;
        if open.last.timestamp_ms <= end_ms {
            return Some(open.last);
        }
        let newest = |samples: Samples<'_>| samples.take_while(|s| s.timestamp_ms <= end_ms).last();
        if open.first_ms <= end_ms {
            return newest(open.samples());
        }
        let after = self.sealed().partition_point(|c| c.first_ms <= end_ms);
        newest(self.sealed()[..after].last()?.samples())
    }

    fn latest_histogram(&self, end_ms: i64) -> Option<HistogramSample> {
        let histograms = self.histograms.as_ref()?;
        let open = &histograms.open;
        if open.last.timestamp_ms <= end_ms {
            return Some(open.last.clone());
        }
        if open.first_ms() <= end_ms {
            return open.samples().take_while(|s| s.timestamp_ms <= end_ms).last();
        }
        let after = histograms.sealed.partition_point(|c| c.first_ms() <= end_ms);
        histograms.sealed[..after].last()?.samples().take_while(|s| s.timestamp_ms <= end_ms).last()
    }

    /// Forgets full chunks older than `before_ms`; says whether the series has nothing left to keep.
    pub fn truncate(&mut self, before_ms: i64) -> bool {
        if let Some(Sealed(sealed)) = self.sealed.as_deref_mut() {
            let old = sealed.partition_point(|c| c.last_ms < before_ms);
            sealed.drain(..old);
            if sealed.is_empty() {
                self.sealed = None;
            }
        }
        if self.sealed.is_none() && self.open.as_ref().is_some_and(|c| c.last.timestamp_ms < before_ms) {
            self.open = None;
            // The log writes a number as what differs from the one before, which is no longer known.
            self.log = LogMark::default();
        }
        if let Some(histograms) = &mut self.histograms {
            let old = histograms.sealed.partition_point(|c| c.last_ms < before_ms);
            histograms.sealed.drain(..old);
            if histograms.sealed.is_empty() && histograms.open.last.timestamp_ms < before_ms {
                self.histograms = None;
            }
        }
        let was_idle = self.idle;
        self.idle = self.is_empty();
        was_idle && self.idle
    }

    /// Bytes of the samples.
    pub fn size(&self) -> usize {
        let floats =
            self.sealed().iter().map(Chunk::size).sum::<usize>() + self.open.as_ref().map_or(0, OpenChunk::size);
        let histograms = self.histograms.as_ref().map_or(0, |histograms| {
            histograms.sealed.iter().map(HistogramChunk::size).sum::<usize>() + histograms.open.size()
        });
        floats + histograms
    }
}

fn renew_reset(sample: &mut HistogramSample, before: Option<&Histogram>) {
    let reset = reset_since(before, &sample.histogram);
    if reset != sample.histogram.reset {
        std::sync::Arc::make_mut(&mut sample.histogram).reset = reset;
    }
}

#[cfg(test)]
mod tests;

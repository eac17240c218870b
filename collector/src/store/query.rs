//! One answer from memory and blocks. Memory is looked at first: what is sealed meanwhile is then in the blocks that are looked at
//! after it, and seen twice at worst, which merging mends. Memory forgets what is sealed only when every selection that may not
//! have seen the block has ended.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Store;
use super::blocks::BlockError;
use super::head::HeadSelection;
use super::merge;
use crate::series::{
    HistogramSample, Labels, Matcher, Meter, Point, Queryable, Scratch, SelectError, Selection, SeriesSamples,
};

impl From<BlockError> for SelectError {
    fn from(error: BlockError) -> Self {
        Self::Block { path: error.path, message: error.message }
    }
}

impl Queryable for Store {
    fn select(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        meter: &dyn Meter,
    ) -> Result<Vec<SeriesSamples>, SelectError> {
        let _selecting = self.selecting();
        let head = self.head.select(matchers, (start_ms, end_ms), meter)?;
        let older = self.older(matchers, (start_ms, end_ms), meter)?;
        // Of samples with one time the one that came first stays.
        Ok(merge::series([head].into_iter().chain(older).collect()))
    }

    fn find<'a>(
        &'a self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        meter: &dyn Meter,
    ) -> Result<Box<dyn Selection + 'a>, SelectError> {
        let selecting = self.selecting();
        let head = self.head.selection(matchers, (start_ms, end_ms), meter)?;
        let older = merge::series(self.older(matchers, (start_ms, end_ms), meter)?);
        Ok(Box::new(StoreSelection::new(head, older, selecting)))
    }

    fn latest(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        meter: &dyn Meter,
    ) -> Result<Vec<(Labels, Point)>, SelectError> {
        let _selecting = self.selecting();
        let head = self.head.latest(matchers, (start_ms, end_ms), meter)?;
        let older = merge::series(self.older(matchers, (start_ms, end_ms), meter)?);
        if older.is_empty() {
            return Ok(head);
        }
        let newest = |series: SeriesSamples| series.newest().map(|point| (series.labels, point));
        Ok(merge::newest(head, older.into_iter().filter_map(newest).collect()))
    }

    fn series(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        meter: &dyn Meter,
    ) -> Result<Vec<Labels>, SelectError> {
        let _selecting = self.selecting();
        let head = self.head.series(matchers, (start_ms, end_ms), meter)?;
        let late = self.late.select(matchers, (start_ms, end_ms), meter)?;
        let late = late.into_iter().map(|series| series.into_iter().map(|one| one.labels).collect());
        let blocks = self.counted(self.blocks.series(matchers, (start_ms, end_ms), meter))?;
        Ok(merge::labels(late.chain([head]).chain(blocks).collect()))
    }
}

impl Store {
    /// Whoever holds it may yet read from memory what is sealed from now on.
    fn selecting(&self) -> Arc<()> {
        self.selections.lock().clone()
    }

    /// Waits until no selection is left that may not have seen the blocks of now; false if `stop` said so before.
    pub(super) fn selections_ended(&self, stop: &dyn Fn() -> bool) -> bool {
        let before = std::mem::take(&mut *self.selections.lock());
        while Arc::strong_count(&before) > 1 {
            if stop() {
                return false;
            }
            std::thread::sleep(SELECTION_POLL);
        }
        true
    }

    /// What is not in the head, each list sorted by labels; in the order in which samples came.
    fn older(
        &self,
        matchers: &[Matcher],
        (start_ms, end_ms): (i64, i64),
        meter: &dyn Meter,
    ) -> Result<Vec<Vec<SeriesSamples>>, SelectError> {
        let late = self.late.select(matchers, (start_ms, end_ms), meter)?;
        let mut all = self.counted(self.blocks.select(matchers, (start_ms, end_ms), meter))?;
        all.extend(late);
        all.retain(|list| !list.is_empty());
        Ok(all)
    }

    /// Counts selections that a block has spoilt.
    fn counted<T>(&self, result: Result<T, SelectError>) -> Result<T, SelectError> {
        if matches!(result, Err(SelectError::Block { .. })) {
            self.counters.block_failed.fetch_add(1, Ordering::Relaxed);
        }
        result
    }
}

/// How often it is looked whether selections have ended; they last milliseconds, and at most a query's timeout.
const SELECTION_POLL: std::time::Duration = std::time::Duration::from_millis(5);

/// Series of the head, read one at a time, together with what was read of blocks and late samples.
struct StoreSelection {
    head: HeadSelection,
    older: Vec<SeriesSamples>,
    /// Which of both each series is; empty if there is nothing older, and so series are those of the head.
    places: Vec<(Option<usize>, Option<usize>)>,
    _selecting: Arc<()>,
}

impl StoreSelection {
    fn new(head: HeadSelection, older: Vec<SeriesSamples>, selecting: Arc<()>) -> Self {
        let mut places = Vec::new();
        if !older.is_empty() {
            let (mut h, mut o) = (0, 0);
            while h < head.len() || o < older.len() {
                let order = match (h < head.len(), older.get(o)) {
                    (true, Some(older)) => head.labels(h).cmp(&older.labels),
                    (true, None) => std::cmp::Ordering::Less,
                    (false, _) => std::cmp::Ordering::Greater,
                };
                let place = (order.is_le().then_some(h), order.is_ge().then_some(o));
                h += usize::from(place.0.is_some());
                o += usize::from(place.1.is_some());
                places.push(place);
            }
        }
        Self { head, older, places, _selecting: selecting }
    }
}

impl Selection for StoreSelection {
    fn len(&self) -> usize {
        if self.older.is_empty() { self.head.len() } else { self.places.len() }
    }

    fn labels(&self, index: usize) -> &Labels {
        match self.places.get(index) {
            None => self.head.labels(index),
            Some((Some(head), _)) => self.head.labels(*head),
            Some((None, older)) => &self.older[older.unwrap_or_default()].labels,
        }
    }

    fn read(&self, index: usize, into: &mut Scratch, meter: &dyn Meter) -> Result<(), SelectError> {
        let (head, older) = self.places.get(index).copied().unwrap_or((Some(index), None));
        match head {
            Some(head) => self.head.read(head, into, meter)?,
            None => {
                into.samples.clear();
                into.histograms.clear();
            }
        }
        if let Some(older) = older {
            // Whoever reads gives the weight back once it is done with it; what is older stays until the end.
            let older = &self.older[older];
            let weight = older.samples.len() + older.histograms.iter().map(HistogramSample::weight).sum::<usize>();
            meter.take(weight)?;
            merge::into_scratch(into, older);
        }
        Ok(())
    }
}

//! Finds traces on disk: by id through each segment's index, and by what they are, newest segment first, in bounded work. Each segment
//! is opened once for all that is asked at a time.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::Ordering;

use super::{Shown, SpanFolder};
use crate::traces::disk::segment::{Entry, Segment, SegmentError, SegmentFile};
use crate::traces::sampling::Fragment;
use crate::traces::search::Search;
use crate::traces::span::TraceId;

/// Blocks that one search reads at most: 250 MB of spans, some seconds.
const SEARCH_BLOCKS_MAX: usize = 1_000;

/// What a search has found.
#[derive(Debug, Default)]
pub struct Found {
    /// Traces with the start of the span that was found first, newest first.
    pub traces: Vec<(u64, TraceId)>,
    /// Whether there is more that was not looked at.
    pub is_cut: bool,
}

/// Fragments by trace, in the order in which they were written.
pub type Gathered = HashMap<TraceId, Vec<Fragment>>;

/// The blocks of a segment that may have what is searched for.
struct Source {
    file: SegmentFile,
    entries: Vec<Entry>,
}

impl SpanFolder {
    /// Everything on disk of these traces. Only segments that may have one of them are opened, and each block is read once. What is
    /// damaged is said, and left out.
    pub fn traces(&self, ids: &[TraceId]) -> Gathered {
        let Shown { closed, open } = self.shown();
        let mut found = Gathered::new();
        for segment in closed {
            let wanted: HashSet<TraceId> = ids.iter().copied().filter(|id| segment.may_hold(*id)).collect();
            if !wanted.is_empty()
                && let Err(error) = self.gather_closed(&segment, &wanted, &mut found)
            {
                self.note_unreadable(&error);
            }
        }
        if let Some(growing) = open {
            let wanted: HashSet<TraceId> = ids.iter().copied().collect();
            let entries = growing.index().find(&wanted);
            if !entries.is_empty() {
                match self.file(&growing.path) {
                    Ok(file) => self.gather(&file, &entries, &wanted, &mut found),
                    Err(error) => self.note_unreadable(&error),
                }
            }
        }
        found
    }

    fn gather_closed(
        &self,
        segment: &Segment,
        wanted: &HashSet<TraceId>,
        found: &mut Gathered,
    ) -> Result<(), SegmentError> {
        let file = self.file(&segment.path)?;
        let (mut blocks, mut all) = (BTreeSet::new(), false);
        for id in wanted {
            match segment.find(&file, *id) {
                Ok(of_trace) => blocks.extend(of_trace),
                Err(error @ SegmentError::Damaged { .. }) => {
                    self.note_damage(&error);
                    all = true;
                }
                Err(error) => return Err(error),
            }
        }
        if blocks.is_empty() && !all {
            return Ok(());
        }
        let entries = segment.table(&file)?.entries.into_iter().zip(0..);
        let entries: Vec<Entry> =
            entries.filter(|(_, block)| all || blocks.contains(block)).map(|(entry, _)| entry).collect();
        self.gather(&file, &entries, wanted, found);
        Ok(())
    }

    fn gather(&self, file: &SegmentFile, entries: &[Entry], wanted: &HashSet<TraceId>, found: &mut Gathered) {
        for entry in entries {
            for fragment in self.block(file, entry) {
                if wanted.contains(&fragment.id) {
                    found.entry(fragment.id).or_default().push(fragment);
                }
            }
        }
    }

    /// Traces with a span that fits.
    pub fn search(&self, search: &Search) -> Found {
        let mut best = Best::new(search.limit);
        let mut blocks_left = SEARCH_BLOCKS_MAX;
        for source in self.sources(search) {
            for entry in &source.entries {
                if best.is_beyond(entry.until_ns) {
                    continue;
                }
                if blocks_left == 0 {
                    return Found { traces: best.traces(), is_cut: true };
                }
                blocks_left -= 1;
                best.take(&self.block(&source.file, entry), search);
            }
        }
        Found { traces: best.traces(), is_cut: false }
    }

    /// All segments, the newest first, each opened when it is its turn.
    fn sources(&self, search: &Search) -> impl Iterator<Item = Source> {
        let Shown { closed, open } = self.shown();
        let open = open.into_iter().map(|growing| {
            let entries =
                growing.index().table.fitting(&search.service, search.start_ns, search.end_ns).cloned().collect();
            Ok::<_, SegmentError>(Source { file: self.file(&growing.path)?, entries })
        });
        let closed = closed.into_iter().rev().map(|segment| {
            let file = self.file(&segment.path)?;
            let table = segment.table(&file)?;
            let entries = table.fitting(&search.service, search.start_ns, search.end_ns).cloned().collect();
            Ok(Source { file, entries })
        });
        open.chain(closed).filter_map(|source| source.inspect_err(|error| self.note_unreadable(error)).ok())
    }

    fn file(&self, path: &Path) -> Result<SegmentFile, SegmentError> {
        self.files_opened.fetch_add(1, Ordering::Relaxed);
        SegmentFile::open(path)
    }

    /// What is in a block; nothing, and said, if that cannot be read.
    fn block(&self, file: &SegmentFile, entry: &Entry) -> Vec<Fragment> {
        self.blocks_read.fetch_add(1, Ordering::Relaxed);
        file.block(entry).inspect_err(|error| self.note_unreadable(error)).unwrap_or_default()
    }

    /// A segment that the retention has deleted meanwhile is not damaged.
    fn note_unreadable(&self, error: &SegmentError) {
        let is_gone =
            matches!(error, SegmentError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound);
        if !is_gone {
            self.note_damage(error);
        }
    }
}

/// The newest traces so far.
struct Best {
    limit: usize,
    by_start: BTreeSet<(u64, TraceId)>,
    starts: HashMap<TraceId, u64>,
}

impl Best {
    fn new(limit: usize) -> Self {
        Self { limit, by_start: BTreeSet::new(), starts: HashMap::new() }
    }

    /// Whether spans that began no later can add nothing.
    fn is_beyond(&self, until_ns: u64) -> bool {
        self.by_start.len() >= self.limit && self.by_start.first().is_some_and(|(start, _)| until_ns < *start)
    }

    fn take(&mut self, fragments: &[Fragment], search: &Search) {
        for fragment in fragments.iter().filter(|fragment| search.fits(&fragment.spans)) {
            let start = fragment.spans.iter().map(|span| span.start_ns).min().unwrap_or(0);
            if let Some(known) = self.starts.get(&fragment.id).copied() {
                if start >= known {
                    continue;
                }
                self.by_start.remove(&(known, fragment.id));
            }
            self.starts.insert(fragment.id, start);
            self.by_start.insert((start, fragment.id));
            if self.by_start.len() > self.limit
                && let Some((_, id)) = self.by_start.pop_first()
            {
                self.starts.remove(&id);
            }
        }
    }

    fn traces(self) -> Vec<(u64, TraceId)> {
        self.by_start.into_iter().rev().collect()
    }
}

//! Finds traces on disk: by id through each segment's index, and by what they are, newest segment first, in bounded work.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use super::{Shown, SpanFolder};
use crate::traces::disk::segment::{Entry, Segment, SegmentError, SegmentFile, Table};
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

/// A segment's table, and its blocks.
struct Source {
    file: SegmentFile,
    table: Table,
}

impl SpanFolder {
    /// Everything on disk of one trace. What is damaged is said, and left out.
    pub fn trace(&self, id: TraceId) -> Vec<Fragment> {
        let Shown { closed, open } = self.shown();
        let mut places: Vec<(PathBuf, Entry)> = Vec::new();
        for segment in closed.into_iter().filter(|segment| segment.may_hold(id)) {
            match in_segment(&segment, id) {
                Ok(entries) => places.extend(entries.into_iter().map(|entry| (segment.path.clone(), entry))),
                Err(error) => self.note_unreadable(&error),
            }
        }
        if let Some(growing) = open {
            places.extend(growing.index().find(id).map(|entry| (growing.path.clone(), entry.clone())));
        }
        let mut found = Vec::new();
        for (path, entry) in places {
            match SegmentFile::open(&path).and_then(|file| file.block(&entry)) {
                Ok(fragments) => found.extend(fragments.into_iter().filter(|fragment| fragment.id == id)),
                Err(error) => self.note_unreadable(&error),
            }
        }
        found
    }

    /// Traces with a span that fits.
    pub fn search(&self, search: &Search) -> Found {
        let mut best = Best::new(search.limit);
        let mut blocks_left = SEARCH_BLOCKS_MAX;
        for source in self.sources() {
            for entry in source.table.fitting(&search.service, search.start_ns, search.end_ns) {
                if best.is_beyond(entry.until_ns) {
                    continue;
                }
                if blocks_left == 0 {
                    return Found { traces: best.traces(), is_cut: true };
                }
                blocks_left -= 1;
                match source.file.block(entry) {
                    Ok(fragments) => best.take(&fragments, search),
                    Err(error) => self.note_unreadable(&error),
                }
            }
        }
        Found { traces: best.traces(), is_cut: false }
    }

    /// Tables of all segments, the newest first, each read when it is its turn.
    fn sources(&self) -> impl Iterator<Item = Source> {
        let Shown { closed, open } = self.shown();
        let open = open.into_iter().map(|growing| {
            let table = growing.index().table.clone();
            Ok::<_, SegmentError>(Source { file: SegmentFile::open(&growing.path)?, table })
        });
        let closed = closed.into_iter().rev().map(|segment| {
            let file = SegmentFile::open(&segment.path)?;
            Ok(Source { table: segment.table(&file)?, file })
        });
        open.chain(closed).filter_map(|source| source.inspect_err(|error| self.note_unreadable(error)).ok())
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

fn in_segment(segment: &Arc<Segment>, id: TraceId) -> Result<Vec<Entry>, SegmentError> {
    let file = SegmentFile::open(&segment.path)?;
    let blocks = segment.find(&file, id)?;
    if blocks.is_empty() {
        return Ok(Vec::new());
    }
    let table = segment.table(&file)?;
    Ok(blocks.into_iter().filter_map(|block| table.entries.get(block as usize).cloned()).collect())
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

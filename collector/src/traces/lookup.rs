//! Finds traces in memory and on disk, and makes one of what each has. Reading the disk does not hold up anything else.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Core;
use super::sampling::{Fragment, Kept};
use super::search::Search;
use super::span::{Span, TraceId};

/// Searches of the disk at once: each reads and unpacks as fast as a core does.
pub(super) const SEARCHES_MAX: usize = 2;

/// All that is known of a trace.
pub(super) struct Whole {
    pub id: TraceId,
    /// Each once.
    pub spans: Vec<Arc<Span>>,
    /// Why it is on disk, if it is.
    pub kept: Option<Kept>,
}

/// What a search has found.
pub(super) struct Answered {
    /// The one that started last first.
    pub traces: Vec<Whole>,
    /// Whether there is more that was not looked at.
    pub is_cut: bool,
}

impl Core {
    /// A trace; nothing if nobody knows it.
    pub(super) async fn trace(self: &Arc<Self>, id: TraceId) -> Option<Whole> {
        self.traces(vec![id]).await.pop()
    }

    /// Those of the traces that are known.
    pub(super) async fn traces(self: &Arc<Self>, ids: Vec<TraceId>) -> Vec<Whole> {
        let core = Arc::clone(self);
        self.apart(move || core.wholes(&ids)).await.unwrap_or_default()
    }

    /// Traces that fit.
    pub(super) async fn search(self: &Arc<Self>, search: Search) -> Answered {
        let core = Arc::clone(self);
        let searching = self.apart(move || core.search_all(&search));
        searching.await.unwrap_or(Answered { traces: Vec::new(), is_cut: true })
    }

    /// Does it on a thread of its own where there is a disk; nothing if that has failed.
    async fn apart<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        if self.disk.is_none() {
            return Some(work());
        }
        let place = Arc::clone(&self.searches).acquire_owned().await.ok()?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(place);
            done
        });
        done.await.inspect_err(|error| tracing::error!(%error, "a search for traces has failed")).ok()
    }

    /// Those that are known, in the order of the ids. Memory is asked first: what has left it since is on disk.
    fn wholes(&self, ids: &[TraceId]) -> Vec<Whole> {
        let mut traces: Vec<Whole> = ids.iter().map(|id| self.in_memory(*id)).collect();
        let on_disk = self.disk.as_ref().map(|disk| disk.traces(ids)).unwrap_or_default();
        for trace in &mut traces {
            let fragments = on_disk.get(&trace.id);
            merge(trace, fragments.into_iter().flatten());
        }
        traces.retain(|trace| !trace.spans.is_empty());
        traces
    }

    fn in_memory(&self, id: TraceId) -> Whole {
        match self.store.lock().trace(id) {
            Some(trace) => Whole { id, spans: trace.spans.clone(), kept: trace.kept() },
            None => Whole { id, spans: Vec::new(), kept: None },
        }
    }

    fn search_all(&self, search: &Search) -> Answered {
        let in_memory: Vec<(u64, TraceId)> =
            self.store.lock().search(search).map(|(id, trace)| (trace.start_ns(), id)).collect();
        let Some(disk) = &self.disk else {
            let ids: Vec<TraceId> = in_memory.into_iter().map(|(_, id)| id).collect();
            return Answered { traces: self.wholes(&ids), is_cut: false };
        };
        let found = disk.search(search);
        let mut starts: HashMap<TraceId, u64> = HashMap::new();
        for (start_ns, id) in in_memory.into_iter().chain(found.traces) {
            starts.entry(id).and_modify(|known| *known = start_ns.min(*known)).or_insert(start_ns);
        }
        let mut ids: Vec<(u64, TraceId)> = starts.into_iter().map(|(id, start_ns)| (start_ns, id)).collect();
        ids.sort_unstable_by(|one, other| other.cmp(one));
        ids.truncate(search.limit);
        let ids: Vec<TraceId> = ids.into_iter().map(|(_, id)| id).collect();
        Answered { traces: self.wholes(&ids), is_cut: found.is_cut }
    }
}

/// Adds what is on disk and not here. A client and its server may share an id.
fn merge<'f>(trace: &mut Whole, fragments: impl Iterator<Item = &'f Fragment>) {
    let mut known: HashSet<_> = trace.spans.iter().map(|span| (span.id, span.kind)).collect();
    for fragment in fragments {
        trace.kept = trace.kept.or(Some(fragment.kept));
        let new = fragment.spans.iter().filter(|span| known.insert((span.id, span.kind)));
        trace.spans.extend(new.map(Arc::clone));
    }
}

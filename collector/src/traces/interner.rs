//! Shares equal texts, processes and scopes between spans. Forgets what no span uses any more, so it is bounded by
//! what is kept elsewhere.

use std::hash::Hash;
use std::sync::Arc;

use foldhash::HashSet;

use super::span::{Process, Scope, Text};

/// Longer texts are rarely equal; they are not worth a look-up.
const SHARED_TEXT_BYTES_MAX: usize = 128;

/// Below so many entries a sweep is not worth its time.
const SWEEP_ENTRIES_MIN: usize = 8_192;

/// A set of shared things that is swept when it has doubled.
struct Pool<T: ?Sized> {
    entries: HashSet<Arc<T>>,
    sweep_at: usize,
}

impl<T: ?Sized + Eq + Hash> Pool<T> {
    fn new() -> Self {
        Self { entries: HashSet::default(), sweep_at: SWEEP_ENTRIES_MIN }
    }

    fn find(&self, wanted: &T) -> Option<Arc<T>> {
        self.entries.get(wanted).map(Arc::clone)
    }

    fn keep(&mut self, entry: Arc<T>) -> Arc<T> {
        if self.entries.len() >= self.sweep_at {
            self.entries.retain(|entry| Arc::strong_count(entry) > 1);
            self.sweep_at = (self.entries.len() * 2).max(SWEEP_ENTRIES_MIN);
        }
        self.entries.insert(Arc::clone(&entry));
        entry
    }
}

/// Shares equal texts, processes and scopes.
pub struct Interner {
    texts: Pool<str>,
    processes: Pool<Process>,
    scopes: Pool<Scope>,
}

impl Default for Interner {
    fn default() -> Self {
        Self { texts: Pool::new(), processes: Pool::new(), scopes: Pool::new() }
    }
}

impl Interner {
    /// The shared form of a text.
    pub fn text(&mut self, text: &str) -> Text {
        if text.len() > SHARED_TEXT_BYTES_MAX {
            return Arc::from(text);
        }
        match self.texts.find(text) {
            Some(known) => known,
            None => self.texts.keep(Arc::from(text)),
        }
    }

    /// The shared form of a process.
    pub fn process(&mut self, process: Process) -> Arc<Process> {
        match self.processes.find(&process) {
            Some(known) => known,
            None => self.processes.keep(Arc::new(process)),
        }
    }

    /// The shared form of a scope.
    pub fn scope(&mut self, scope: Scope) -> Arc<Scope> {
        match self.scopes.find(&scope) {
            Some(known) => known,
            None => self.scopes.keep(Arc::new(scope)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one() {
        let mut interner = Interner::default();
        assert!(Arc::ptr_eq(&interner.text("checkout"), &interner.text("checkout")));
    }

    #[test]
    fn forgets_what_nobody_uses() {
        let mut interner = Interner::default();
        let kept = interner.text("kept");
        for i in 0..SWEEP_ENTRIES_MIN * 3 {
            interner.text(&format!("order-{i}"));
        }
        assert!(interner.texts.entries.len() <= SWEEP_ENTRIES_MIN);
        assert!(Arc::ptr_eq(&kept, &interner.text("kept")));
    }
}

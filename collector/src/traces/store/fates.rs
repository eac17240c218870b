//! Remembers of traces that are no longer in memory what was decided of them, so that what arrives late follows. Bounded: of the
//! oldest it forgets. What is forgotten is decided anew, and for most falls the same way.

use std::collections::{HashMap, VecDeque};

use crate::traces::sampling::Fate;
use crate::traces::span::TraceId;

/// Decisions remembered: 5 MB, and a minute of a thousand traces a second.
const FATES_MAX: usize = 65_536;

/// Decisions by trace.
#[derive(Debug, Default)]
pub(super) struct Fates {
    known: HashMap<TraceId, Fate>,
    in_order: VecDeque<TraceId>,
}

impl Fates {
    pub fn of(&self, id: TraceId) -> Option<Fate> {
        self.known.get(&id).copied()
    }

    pub fn remember(&mut self, id: TraceId, fate: Fate) {
        if self.known.insert(id, fate).is_none() {
            self.in_order.push_back(id);
        }
        if self.in_order.len() > FATES_MAX
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

//! Texts that many labels share: names above all, but also images, nodes, namespaces. Kept once, and only while somebody does.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

use super::super::relabel::LabelSet;
use crate::series::Labels;

/// Texts that are kept before it is looked for the first time which of them nobody needs.
const SWEEP_FIRST: usize = 10_000;

/// Texts, each kept once.
pub(super) struct Texts(Mutex<Kept>);

struct Kept {
    texts: HashSet<Arc<str>>,
    /// How many there may be before the next look.
    sweep_at: usize,
}

impl Default for Texts {
    fn default() -> Self {
        Self(Mutex::new(Kept { texts: HashSet::new(), sweep_at: SWEEP_FIRST }))
    }
}

impl Texts {
    /// The labels with shared texts.
    pub fn labels(&self, labels: LabelSet) -> Labels {
        let mut kept = self.0.lock();
        let shared = Labels::new(labels.into_iter().map(|(name, value)| (kept.share(name), kept.share(value))));
        if kept.texts.len() >= kept.sweep_at {
            kept.texts.retain(|text| Arc::strong_count(text) > 1);
            kept.sweep_at = SWEEP_FIRST.max(2 * kept.texts.len());
        }
        shared
    }

    /// How many texts are kept.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.lock().texts.len()
    }
}

impl Kept {
    fn share(&mut self, text: String) -> Arc<str> {
        if let Some(known) = self.texts.get(text.as_str()) {
            return known.clone();
        }
        let new: Arc<str> = text.into();
        self.texts.insert(new.clone());
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_once_and_no_longer_than_it_is_needed() {
        let texts = Texts::default();
        let one = |value: usize| texts.labels(LabelSet::from([("name".to_owned(), value.to_string())]));
        let (first, again) = (one(0), one(0));
        assert!(
            Arc::ptr_eq(&first.pairs()[0].0, &again.pairs()[0].0)
                && Arc::ptr_eq(&first.pairs()[0].1, &again.pairs()[0].1)
        );
        for value in 1..3 * SWEEP_FIRST {
            one(value);
        }
        assert!(texts.len() <= SWEEP_FIRST, "{}", texts.len());
        assert_eq!(one(0), first);
    }
}

//! What is to be said about a query beside its answer, in Prometheus' words, each thing once.

/// Warnings and infos of one evaluation, in order of appearance.
#[derive(Debug, Default)]
pub(super) struct Notes {
    warnings: Vec<String>,
    infos: Vec<String>,
}

/// The most notes of each kind that are kept; Prometheus' API shows ten.
const NOTES_MAX: usize = 10;

impl Notes {
    /// Something is wrong, at a place such as ` (1:7)`.
    pub fn warn(&mut self, text: &str, place: &str) {
        add(&mut self.warnings, format!("PromQL warning: {text}{place}"));
    }

    /// Something is odd.
    pub fn info(&mut self, text: &str, place: &str) {
        add(&mut self.infos, format!("PromQL info: {text}{place}"));
    }

    /// Warnings, then infos.
    pub fn into_parts(self) -> (Vec<String>, Vec<String>) {
        (self.warnings, self.infos)
    }
}

fn add(notes: &mut Vec<String>, note: String) {
    if notes.len() < NOTES_MAX && !notes.contains(&note) {
        notes.push(note);
    }
}

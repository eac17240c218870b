//! The text that names a series: what the text formats would print before the value. It is put together of pieces that are written
//! once for a family or a metric.

use crate::exposition::canonical;
use crate::exposition::series_text::is_metric_name;

/// The most labels of a series: no honest one has more, and an empty one takes two bytes to send.
const LABELS_MAX: usize = 1 << 10;

/// Bounds whose texts are kept for the next histogram of the family; those beyond are written anew.
const BOUNDS_KEPT: usize = 256;

/// Builds texts of series.
#[derive(Debug, Default)]
pub(super) struct SeriesKey {
    /// The family's.
    name: String,
    /// Whether the name may stand before the braces.
    is_plain: bool,
    /// The metric's labels, without braces.
    labels: String,
    labels_count: usize,
    text: String,
}

impl SeriesKey {
    /// Begins a family.
    pub fn family(&mut self, name: &str) {
        self.is_plain = is_metric_name(name);
        self.name.clear();
        if self.is_plain {
            self.name.push_str(name);
        } else {
            push_escaped(&mut self.name, name);
        }
        self.metric();
    }

    /// Begins a metric.
    pub fn metric(&mut self) {
        self.labels.clear();
        self.labels_count = 0;
    }

    /// Adds a label of the metric.
    pub fn label(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        if name.is_empty() {
            return Err("a label has no name");
        }
        self.labels_count += 1;
        if self.labels_count > LABELS_MAX {
            return Err("the metric has more than 1024 labels");
        }
        push_label(&mut self.labels, name, value);
        Ok(())
    }

    /// The series with a name that goes on, and a label more.
    pub fn series(&mut self, suffix: &str, more: Option<(&str, &str)>) -> &str {
        let text = &mut self.text;
        text.clear();
        if self.is_plain {
            text.push_str(&self.name);
            text.push_str(suffix);
            if self.labels.is_empty() && more.is_none() {
                return text;
            }
            text.push('{');
            text.push_str(&self.labels);
            if let Some((name, value)) = more {
                push_label(text, name, value);
            }
        } else {
            text.push_str("{\"");
            text.push_str(&self.name);
            text.push_str(suffix);
            text.push_str("\",");
            text.push_str(&self.labels);
            if let Some((name, value)) = more {
                push_label(text, name, value);
            }
        }
        // A comma after the last label may stand; before the next one it must.
        if text.ends_with(',') {
            text.pop();
        }
        text.push('}');
        text
    }
}

/// Writes a label and a comma.
fn push_label(out: &mut String, name: &str, value: &str) {
    if is_metric_name(name) && !name.contains(':') {
        out.push_str(name);
    } else {
        out.push('"');
        push_escaped(out, name);
        out.push('"');
    }
    out.push_str("=\"");
    push_escaped(out, value);
    out.push_str("\",");
}

fn push_escaped(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | b'\n')) {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        out.push_str(match after.as_bytes()[0] {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            _ => "\\n",
        });
        rest = &after[1..];
    }
    out.push_str(rest);
}

/// The texts of bounds, by their place: histograms of a family mostly have the same ones.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    known: Vec<(u64, String)>,
    other: String,
}

impl Bounds {
    /// A bound as it is stored.
    pub fn text(&mut self, place: usize, bound: f64) -> &str {
        if place >= BOUNDS_KEPT {
            self.other = canonical(bound);
            return &self.other;
        }
        let bits = bound.to_bits();
        while self.known.len() <= place {
            self.known.push((bits, canonical(bound)));
        }
        let (known, text) = &mut self.known[place];
        if *known != bits {
            (*known, *text) = (bits, canonical(bound));
        }
        text
    }
}

/// A series as the text formats print it.
pub(crate) fn series_text<'l>(name: &str, labels: impl Iterator<Item = (&'l str, &'l str)>) -> String {
    let mut key = SeriesKey::default();
    key.family(name);
    labels.for_each(|(name, value)| push_label(&mut key.labels, name, value));
    key.series("", None).to_owned()
}

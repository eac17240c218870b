//! Texts that are never shown: passwords, tokens, keys. Their `Debug` is `<secret>`, and they have no `Display`.

use std::fmt;
use std::path::PathBuf;

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// A text that is in the configuration, or in a file that may change while the collector runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Text {
    /// In the configuration.
    Inline(Secret),
    /// In a file, read again when it changes.
    File(PathBuf),
}

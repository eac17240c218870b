//! The two small messages that remote write and the exposition of targets have alike.

use super::{Fields, Malformed};
use crate::series::Span;

/// A label: its name and value.
///
/// # Errors
/// If the bytes are no such message.
pub fn label(bytes: &[u8]) -> Result<(&str, &str), Malformed> {
    let mut label = ("", "");
    for field in Fields(bytes) {
        let field = field?;
        match field.number {
            1 => label.0 = field.text()?,
            2 => label.1 = field.text()?,
            _ => {}
        }
    }
    Ok(label)
}

/// A run of a histogram's buckets.
///
/// # Errors
/// If the bytes are no such message.
pub fn span(bytes: &[u8]) -> Result<Span, Malformed> {
    let mut span = Span::default();
    for field in Fields(bytes) {
        let field = field?;
        match field.number {
            1 => span.offset = field.sint32()?,
            2 => span.length = field.uint32()?,
            _ => {}
        }
    }
    Ok(span)
}

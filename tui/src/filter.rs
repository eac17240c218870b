//! What `/` means: rows that hold every word; `!word` drops rows that hold it. Letters' case does not matter. Pure.

/// Whether a row's text passes the filter.
pub fn passes(filter: &str, text: &str) -> bool {
    let text = text.to_lowercase();
    filter.to_lowercase().split_whitespace().all(|word| match word.strip_prefix('!') {
        Some("") => true,
        Some(unwanted) => !text.contains(unwanted),
        None => text.contains(word),
    })
}

#[cfg(test)]
mod tests {
    use super::passes;

    #[test]
    fn every_word_must_hold_and_no_unwanted_one_may() {
        let row = "payment Failing victim";
        for (filter, expected) in [
            ("", true),
            ("pay", true),
            ("PAY fail", true),
            ("pay healthy", false),
            ("!pay", false),
            ("!order", true),
            ("fail !victim", false),
            ("!", true),
        ] {
            assert_eq!(passes(filter, row), expected, "{filter}");
        }
    }
}

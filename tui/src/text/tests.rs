//! Claims about texts that fit.

use super::*;

#[test]
fn a_fitted_text_is_exactly_as_wide_as_asked() {
    for text in ["", "payment", "支払いサービス", "a\u{1b}[31mred", "é\u{301}é", &"x".repeat(200), "🧾🧾🧾"]
    {
        for columns in [0, 1, 2, 3, 7, 14, 40] {
            assert_eq!(width(&fit(text, columns)), columns, "{text:?} in {columns}");
            assert_eq!(width(&fit_right(text, columns)), columns, "{text:?} in {columns}");
        }
    }
}

#[test]
fn foreign_text_cannot_steer_the_terminal() {
    assert_eq!(clean("a\u{1b}[31m\nb\u{202e}c"), "a [31m b c");
}

#[test]
fn numbers_are_short_and_never_lie_about_none_and_all() {
    let cases = [(0.0, "0%"), (0.00004, "<0.01%"), (0.0005, "0.05%"), (0.042, "4.2%"), (0.9999, "99%"), (1.0, "100%")];
    for (share, expected) in cases {
        assert_eq!(percent(share), expected);
    }
    for (per_second, expected) in [(0.0, "0"), (0.31, "0.3"), (12.4, "12"), (1_234.0, "1.2k"), (f64::NAN, "-")] {
        assert_eq!(rate(per_second), expected);
    }
    for (ms, expected) in [(None, "-"), (Some(0.42), "0.4ms"), (Some(12.0), "12ms"), (Some(1_230.0), "1.2s")] {
        assert_eq!(millis(ms), expected);
    }
}

#[test]
fn wrapping_keeps_every_word_or_says_that_it_cut() {
    assert_eq!(wrap("one two three", 7, 3), ["one two", "three"]);
    assert_eq!(wrap("one two three four", 7, 2), ["one two", "three …"]);
    assert_eq!(wrap("extraordinarily", 5, 2), ["extr…"]);
}

#[test]
fn names_are_listed_as_people_do() {
    let names: Vec<String> = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
    assert_eq!(list(&names[..1], 3), "a");
    assert_eq!(list(&names[..3], 3), "a, b and c");
    assert_eq!(list(&names, 2), "a, b and 2 more");
}

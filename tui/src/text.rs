//! Texts that fit: widths as terminals count them, foreign text made harmless, numbers in few characters.
//! Knows no screen and no service.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Text from elsewhere without control characters: a service's name must not steer the terminal.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || is_direction_mark(c) { ' ' } else { c }).collect()
}

/// Marks that turn the direction of what follows would mix up a row.
fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Columns that a text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// Exactly `columns` wide, cut with an ellipsis or padded on the right.
pub fn fit(text: &str, columns: usize) -> String {
    let cut = cut(text, columns);
    let missing = columns.saturating_sub(width(&cut));
    cut + &" ".repeat(missing)
}

/// Exactly `columns` wide, padded on the left.
pub fn fit_right(text: &str, columns: usize) -> String {
    let cut = cut(text, columns);
    " ".repeat(columns.saturating_sub(width(&cut))) + &cut
}

/// At most `columns` wide, with an ellipsis where something was cut.
pub fn cut(text: &str, columns: usize) -> String {
    let text = clean(text);
    if width(&text) <= columns {
        return text;
    }
    if columns == 0 {
        return String::new();
    }
    let mut kept = String::new();
    let mut used = 0;
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide > columns - 1 {
            break;
        }
        kept.push(c);
        used += wide;
    }
    kept.push('…');
    kept
}

/// Breaks at spaces into at most `lines_max` lines; the last one is cut if it does not fit.
pub fn wrap(text: &str, columns: usize, lines_max: usize) -> Vec<String> {
    let text = clean(text);
    let mut lines: Vec<String> = Vec::new();
    let mut words = text.split_whitespace().peekable();
    while words.peek().is_some() && lines.len() < lines_max {
        let is_last = lines.len() + 1 == lines_max;
        let mut line = String::new();
        while let Some(word) = words.peek() {
            let needed = width(&line) + usize::from(!line.is_empty()) + width(word);
            if needed > columns && !line.is_empty() && !is_last {
                break;
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
            words.next();
            if width(&line) > columns {
                break;
            }
        }
        if is_last {
            for word in words.by_ref() {
                line.push(' ');
                line.push_str(word);
            }
        }
        lines.push(cut(&line, columns));
    }
    lines
}

/// Requests a second: `0`, `0.3`, `12`, `1.2k`.
pub fn rate(per_second: f64) -> String {
    match per_second {
        r if !r.is_finite() || r < 0.0 => "-".to_owned(),
        r if r < 0.005 => "0".to_owned(),
        r if r < 9.95 => format!("{r:.1}"),
        r if r < 999.5 => format!("{r:.0}"),
        r if r < 99_950.0 => format!("{:.1}k", r / 1_000.0),
        r => format!("{:.0}k", r / 1_000.0),
    }
}

/// A share of 0 to 1 as percent: `0%`, `0.03%`, `4.2%`, `100%`. It never rounds up to 100 % or down to 0 %.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        p if !p.is_finite() => "-".to_owned(),
        p if p <= 0.0 => "0%".to_owned(),
        p if p < 0.01 => "<0.01%".to_owned(),
        p if p < 0.095 => format!("{p:.2}%"),
        p if p < 9.95 => format!("{p:.1}%"),
        p if p < 100.0 => format!("{:.0}%", p.min(99.0)),
        p => format!("{p:.0}%"),
    }
}

/// Milliseconds: `0.4ms`, `12ms`, `1.2s`, `75s`.
pub fn millis(ms: Option<f64>) -> String {
    match ms {
        Some(ms) if !ms.is_finite() => "-".to_owned(),
        Some(ms) if ms < 9.95 => format!("{ms:.1}ms"),
        Some(ms) if ms < 999.5 => format!("{ms:.0}ms"),
        Some(ms) if ms < 9_950.0 => format!("{:.1}s", ms / 1_000.0),
        Some(ms) => format!("{:.0}s", ms / 1_000.0),
        None => "-".to_owned(),
    }
}

/// An age: `3s`, `2m`, `5h`, `3d`.
pub fn age(ms: i64) -> String {
    match ms.max(0) / 1_000 {
        s @ 0..=119 => format!("{s}s"),
        s @ 120..=7_199 => format!("{}m", s / 60),
        s @ 7_200..=172_799 => format!("{}h", s / 3_600),
        s => format!("{}d", s / 86_400),
    }
}

/// Time of day in UTC: `14:02:10`.
pub fn clock(ms: i64) -> String {
    let seconds = ms.div_euclid(1_000).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// `a`, `a and b`, `a, b and c`; past `names_max` names `a, b and 3 more`.
pub fn list(names: &[String], names_max: usize) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        _ if names.len() > names_max => {
            format!("{} and {} more", names[..names_max].join(", "), names.len() - names_max)
        }
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// `1 span`, `5 spans`.
pub fn count(number: usize, name: &str) -> String {
    if number == 1 { format!("1 {name}") } else { format!("{number} {name}s") }
}

/// A list of names with the verb's form: `is` for one, `are` for several.
pub fn are(names: &[String]) -> &'static str {
    if names.len() == 1 { "is" } else { "are" }
}

#[cfg(test)]
mod tests;

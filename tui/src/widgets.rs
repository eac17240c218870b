//! Small drawings out of characters: sparklines, charts, bars, cells of tables. Pure; knows no service.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::text;
use crate::theme::Theme;

/// The last values as one character each; the greatest one fills its cell.
pub fn sparkline(values: &[f64], columns: usize, theme: Theme) -> String {
    let levels = theme.levels();
    let shown = &values[values.len().saturating_sub(columns)..];
    let greatest = shown.iter().copied().filter(|v| v.is_finite()).fold(0.0, f64::max);
    let cell = |value: &f64| {
        if greatest <= 0.0 || !value.is_finite() {
            return levels[0];
        }
        levels[((value / greatest * 7.0).round().clamp(0.0, 7.0)) as usize]
    };
    let drawn: String = shown.iter().map(cell).collect();
    text::fit_right(&drawn, columns)
}

/// A chart of `rows` lines, top first; a value that is not zero shows at least one eighth.
pub fn chart(values: &[f64], columns: usize, rows: usize, theme: Theme) -> Vec<String> {
    let levels = theme.levels();
    let shown = &values[values.len().saturating_sub(columns)..];
    let greatest = shown.iter().copied().filter(|v| v.is_finite()).fold(0.0, f64::max);
    let eighths = |value: f64| {
        if greatest <= 0.0 || !value.is_finite() || value <= 0.0 {
            return 0;
        }
        ((value / greatest * (rows * 8) as f64).round() as usize).clamp(1, rows * 8)
    };
    let row = |from_bottom: usize| -> String {
        let cell = |value: &f64| match eighths(*value).saturating_sub(from_bottom * 8) {
            0 if from_bottom == 0 => {
                if theme.ascii {
                    '_'
                } else {
                    '▁'
                }
            }
            0 => ' ',
            filled @ 1..=7 => levels[filled - 1],
            _ => levels[7],
        };
        text::fit_right(&shown.iter().map(cell).collect::<String>(), columns)
    };
    (0..rows).rev().map(row).collect()
}

/// A bar from `start` to `end` of `total`, at least one cell wide.
pub fn interval(start: u64, end: u64, total: u64, columns: usize, fill: char) -> String {
    let total = total.max(1) as f64;
    let cell = |at: u64| (at as f64 / total * columns as f64).floor() as usize;
    let from = cell(start).min(columns.saturating_sub(1));
    let to = cell(end).clamp(from + 1, columns.max(from + 1));
    let mut bar = " ".repeat(from);
    bar.extend(std::iter::repeat_n(fill, to - from));
    text::fit(&bar, columns)
}

/// Builds one line cell by cell.
#[derive(Debug, Default)]
pub struct Cells {
    spans: Vec<Span<'static>>,
    used: usize,
}

impl Cells {
    /// A cell of exactly `columns`, and a gap.
    pub fn left(mut self, content: &str, columns: usize, style: Style) -> Self {
        self.push(text::fit(content, columns), style);
        self
    }

    /// The same, set right.
    pub fn right(mut self, content: &str, columns: usize, style: Style) -> Self {
        self.push(text::fit_right(content, columns), style);
        self
    }

    /// As wide as it is.
    pub fn free(mut self, content: &str, style: Style) -> Self {
        self.push(text::clean(content), style);
        self
    }

    /// What is left of `columns`.
    pub fn rest(mut self, content: &str, columns: usize, style: Style) -> Self {
        let left = columns.saturating_sub(self.used);
        self.push(text::cut(content, left), style);
        self
    }

    fn push(&mut self, content: String, style: Style) {
        self.used += text::width(&content) + 1;
        self.spans.push(Span::styled(content, style));
        self.spans.push(Span::raw(" "));
    }

    /// The line.
    pub fn line(self) -> Line<'static> {
        Line::from(self.spans)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEME: Theme = Theme { color: false, ascii: false, many_colors: false };

    #[test]
    fn a_sparkline_is_as_wide_as_asked_and_peaks_at_the_top() {
        assert_eq!(sparkline(&[0.0, 1.0, 2.0, 4.0], 6, THEME), "  ▁▃▅█");
        assert_eq!(sparkline(&[9.0, 1.0, 2.0], 2, THEME), "▅█");
        assert_eq!(sparkline(&[f64::NAN, 0.0], 2, THEME), "▁▁");
        assert_eq!(sparkline(&[], 3, THEME), "   ");
    }

    #[test]
    fn a_chart_shows_every_value_that_is_not_zero() {
        assert_eq!(chart(&[0.0, 0.01, 8.0, 16.0], 4, 2, THEME), ["   █", "▁▁██"]);
    }

    #[test]
    fn an_interval_keeps_its_width_and_is_never_invisible() {
        assert_eq!(interval(0, 10, 10, 4, '#'), "####");
        assert_eq!(interval(5, 5, 10, 4, '#'), "  # ");
        assert_eq!(interval(10, 10, 10, 4, '#'), "   #");
        assert_eq!(interval(0, 0, 0, 4, '#'), "#   ");
        assert_eq!(interval(0, 10, 10, 0, '#'), "");
    }
}

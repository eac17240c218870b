//! A piece of evidence: what it says, and the numbers behind it over time with the moment marked when it began.

use ratatui::style::Style;
use ratatui::text::Line;

use crate::app::{App, Exhibit};
use crate::picture::Curves;
use crate::roles;
use crate::screens::{Body, Lines, trouble};
use crate::text;
use crate::widgets::chart;

/// Lines of a chart.
const CHART_ROWS: usize = 5;
/// Series drawn, the greatest first: more do not fit on a screen.
const CURVES_MAX: usize = 3;

/// The page.
pub fn body(app: &App, exhibit: &Exhibit, width: usize) -> Body<'static> {
    let mut lines = vec![Line::styled(text::cut(&about(app, exhibit), width), app.theme.title())];
    wrapped(&mut lines, &exhibit.evidence.text, width, Style::new());
    let mut has_numbers = false;
    if let Some(wish) = exhibit.curves() {
        lines.push(Line::default());
        wrapped(&mut lines, &wish.query, width, app.theme.dim());
        let curves = app.picture.curves.data.as_deref().filter(|curves| curves.wish == wish);
        has_numbers = curves.is_some();
        match (curves, app.picture.curves.trouble_text()) {
            (Some(curves), _) => lines.extend(charts(app, curves, width)),
            (None, "") => lines.push(Line::raw("asking …")),
            (None, trouble) => wrapped(&mut lines, trouble, width, app.theme.amber()),
        }
    }
    if let Some(wish) = exhibit.traces() {
        lines.push(Line::default());
        let errors = if wish.errors_only { " with errors" } else { "" };
        let words = format!("T: the traces of {}{errors} from that time", wish.service);
        lines.push(Line::styled(text::cut(&words, width), app.theme.accent()));
    }
    Body {
        lines: Lines::Page(lines),
        notice: if has_numbers { trouble("numbers", &app.picture.curves) } else { String::new() },
        ..Body::default()
    }
}

fn about(app: &App, exhibit: &Exhibit) -> String {
    let since = text::clock(exhibit.since_ms);
    let still = app.faults().and_then(|faults| roles::suspect(faults, &exhibit.service));
    match still {
        Some(suspect) => format!(
            "{} {} since {since}, {} sure",
            exhibit.service,
            roles::is_broken(suspect.fault),
            text::percent(suspect.score)
        ),
        None => format!("{} was suspected since {since}, and is not any more", exhibit.service),
    }
}

fn wrapped(lines: &mut Vec<Line<'static>>, content: &str, width: usize, style: Style) {
    lines.extend(text::wrap(content, width, 4).into_iter().map(|line| Line::styled(line, style)));
}

/// A number as its query counts: quantiles of durations are seconds, the rest is per second.
fn number(query: &str, value: f64) -> String {
    match value {
        value if !value.is_finite() => "-".to_owned(),
        value if query.contains("histogram_quantile") => text::millis(Some(value * 1_000.0)),
        value => text::rate(value),
    }
}

fn charts(app: &App, curves: &Curves, width: usize) -> Vec<Line<'static>> {
    if curves.series.is_empty() {
        return vec![Line::raw("no such numbers in this time")];
    }
    let columns = curves.series.first().map_or(0, |(_, values)| values.len()).min(width);
    let mut lines = Vec::new();
    for (labels, values) in curves.series.iter().take(CURVES_MAX) {
        let finite = || values.iter().copied().filter(|value| value.is_finite());
        let peak = number(&curves.wish.query, finite().fold(f64::NAN, f64::max));
        let last = number(&curves.wish.query, finite().next_back().unwrap_or(f64::NAN));
        let labels = if labels.is_empty() { String::new() } else { format!("{labels}: ") };
        lines.push(Line::styled(text::cut(&format!("{labels}now {last}, peak {peak}"), width), app.theme.title()));
        let drawn = chart(values, columns, CHART_ROWS, app.theme);
        lines.extend(drawn.into_iter().map(|row| Line::styled(row, app.theme.accent())));
    }
    if curves.series.len() > CURVES_MAX {
        let more = curves.series.len() - CURVES_MAX;
        lines.push(Line::styled(format!("and {more} more, which are smaller"), app.theme.dim()));
    }
    lines.push(Line::styled(text::cut(&axis(curves, columns), width), app.theme.dim()));
    lines
}

/// `14:00:20    ▲ 14:02:10`: when the first column was, and the one where it began.
fn axis(curves: &Curves, columns: usize) -> String {
    let values = curves.series.first().map_or(0, |(_, values)| values.len());
    let hidden = values.saturating_sub(columns) as f64;
    let first_seconds = curves.start_seconds + hidden * curves.step_seconds;
    let at = (curves.wish.since_ms as f64 / 1_000.0 - first_seconds) / curves.step_seconds.max(f64::MIN_POSITIVE);
    let first = text::clock((first_seconds * 1_000.0) as i64);
    if !(0.0..columns as f64).contains(&at) {
        return format!("{first} at the left, now at the right; it began before");
    }
    let mark = format!("▲ {}", text::clock(curves.wish.since_ms));
    let at = at as usize;
    if at > first.len() { format!("{}{mark}", text::fit(&first, at)) } else { format!("{}{mark}", " ".repeat(at)) }
}

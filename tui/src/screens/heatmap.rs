//! The latency heatmap of a service or of one of its operations: time to the right, slower requests higher, more requests darker.

use ratatui::text::{Line, Span};

use crate::app::App;
use crate::heat::{self, Band, Heat, HeatWish, LEVELS, Measured};
use crate::roles;
use crate::screens::{Body, Lines, body_height, nothing, trouble};
use crate::text;

/// Columns of the labels on the left.
const LABEL_COLUMNS: usize = 9;
/// Lines that are not rows of the map: title, axis, mark, legend, operations.
const LINES_BESIDE: usize = 5;
/// Fewer rows tell no shape.
const ROWS_MIN: usize = 4;
/// From this width on a column of time takes two of the screen.
const WIDTH_FOR_TWO: usize = 132;

/// The page.
pub fn body(app: &App, wish: &HeatWish, width: usize) -> Body<'static> {
    let source = &app.picture.heat;
    let Some(heat) = source.data.as_deref().filter(|heat| heat.wish == *wish) else {
        let empty = match source.trouble_text() {
            "" => nothing(source, "asking …"),
            trouble => trouble.to_owned(),
        };
        return Body { empty, ..Body::default() };
    };
    let rows = heat.rows(body_height(app).saturating_sub(LINES_BESIDE).max(ROWS_MIN));
    if rows.is_empty() {
        return Body { empty: none(heat), ..Body::default() };
    }
    let map = Map::of(heat, &rows, width);
    let mut lines = vec![Line::styled(text::cut(&title(heat), width), app.theme.title())];
    lines.extend(rows.iter().map(|row| map.row(app, row)));
    lines.push(Line::styled(text::cut(&map.axis(app), width), app.theme.dim()));
    lines.push(Line::styled(text::cut(&map.mark(app), width), app.theme.amber()));
    lines.push(map.legend(app, width));
    lines.push(Line::styled(text::cut(&operations(heat), width), app.theme.dim()));
    Body { lines: Lines::Page(lines), notice: trouble("latencies", source), ..Body::default() }
}

fn none(heat: &Heat) -> String {
    let (name, (_, window)) = (&heat.wish.service.name, heat.wish.window());
    if !heat.bands.is_empty() {
        return format!("{name} had no request in the last {window}; + shows a longer time");
    }
    let (metrics, spans) = (Measured::Requests.metric(), Measured::Spans.metric());
    format!("no latencies of {name}: neither {metrics}_bucket nor {spans}_bucket has any in the last {window}")
}

fn title(heat: &Heat) -> String {
    let of = heat.wish.operation.as_ref().map_or_else(|| "all operations".to_owned(), |(_, one)| one.name());
    let quantile = |name: &str, q| format!("{name} {}", text::millis(heat.quantile_ms(q)));
    format!(
        "{of}, the last {}: {:.0} requests · {} · {} · {}",
        heat.wish.window().1,
        heat.requests(),
        quantile("p50", 0.5),
        quantile("p95", 0.95),
        quantile("p99", 0.99)
    )
}

fn operations(heat: &Heat) -> String {
    let from = match heat.measured {
        Measured::Requests => "",
        Measured::Spans => "; from spans",
    };
    let at = heat.wish.operation.as_ref().and_then(|(_, one)| heat.operations.iter().position(|other| other == one));
    match (heat.operations.len(), at) {
        (0, _) => format!("its operations are not told apart{from}"),
        (1, None) => format!("its only operation is {}{from}", heat.operations[0].name()),
        (count, None) => format!("n: one of its {count} operations{from}"),
        (count, Some(at)) => format!("operation {} of {count}; n: the next{from}", at + 1),
    }
}

/// Where columns and shades are.
struct Map<'a> {
    heat: &'a Heat,
    most: f64,
    /// Columns of the screen for one of time.
    cell: usize,
    /// The first column of time that is shown.
    first: usize,
    columns: usize,
}

impl<'a> Map<'a> {
    fn of(heat: &'a Heat, rows: &[Band], width: usize) -> Self {
        let cell = if width >= WIDTH_FOR_TWO { 2 } else { 1 };
        let all = rows.first().map_or(0, |row| row.counts.len());
        let columns = (width.saturating_sub(LABEL_COLUMNS + 1) / cell).min(all);
        Self { heat, most: Heat::most(rows), cell, first: all - columns, columns }
    }

    fn row(&self, app: &App, row: &Band) -> Line<'static> {
        let label = match row.upper {
            upper if upper.is_finite() => format!("≤ {}", text::millis(Some(upper * 1_000.0))),
            _ => "slower".to_owned(),
        };
        let mut spans = vec![Span::styled(text::fit_right(&label, LABEL_COLUMNS) + " ", app.theme.dim())];
        let mut levels = row.counts[self.first..].iter().map(|count| heat::level(*count, self.most)).peekable();
        while let Some(level) = levels.next() {
            let mut columns = self.cell;
            while levels.next_if_eq(&level).is_some() {
                columns += self.cell;
            }
            let (glyph, style) = app.theme.shade(level);
            spans.push(Span::styled(glyph.to_string().repeat(columns), style));
        }
        Line::from(spans)
    }

    /// Seconds since the epoch where the first column begins.
    fn begins(&self) -> f64 {
        self.heat.start_seconds + self.heat.step_seconds * (self.first as f64 - 1.0)
    }

    fn axis(&self, app: &App) -> String {
        let rule = if app.theme.ascii { "-" } else { "─" };
        let begins = text::clock((self.begins() * 1_000.0) as i64);
        let columns = self.columns * self.cell;
        let rest = columns.saturating_sub(begins.len() + 1 + "now".len() + 1);
        format!("{}{begins} {} now", " ".repeat(LABEL_COLUMNS + 1), rule.repeat(rest))
    }

    /// When the service was first suspected, where that is on the map.
    fn mark(&self, app: &App) -> String {
        let suspect = app.suspicion().and_then(|faults| roles::suspect(faults, &self.heat.wish.service.name));
        let Some(suspect) = suspect else { return String::new() };
        let words = format!("{} since {}", roles::broken(suspect.fault), text::clock(suspect.since_ms));
        let at = (suspect.since_ms as f64 / 1_000.0 - self.begins()) / self.heat.step_seconds.max(1.0);
        if !(0.0..self.columns as f64).contains(&at) {
            return format!("{}{words}, before this time", " ".repeat(LABEL_COLUMNS + 1));
        }
        let (column, columns) = (at as usize * self.cell, self.columns * self.cell);
        let indent = " ".repeat(LABEL_COLUMNS + 1);
        // At the right end the words stand before their mark.
        match column + 2 + text::width(&words) <= columns {
            true => format!("{indent}{}▲ {words}", " ".repeat(column)),
            false => format!("{indent}{}▲", text::fit_right(&format!("{words} "), column)),
        }
    }

    fn legend(&self, app: &App, width: usize) -> Line<'static> {
        let seconds = text::age(self.heat.step_seconds as i64 * 1_000);
        let indent = " ".repeat(LABEL_COLUMNS + 1);
        let mut spans = vec![Span::styled(format!("{indent}requests in {seconds}: "), app.theme.dim())];
        // Where there are few requests, several shades begin at the same number: the darkest of them is the one that is drawn.
        let mut told: Vec<(usize, f64)> = Vec::new();
        for level in 1..=LEVELS {
            let least = heat::least_of(level, self.most).floor().max(0.0) + 1.0;
            told.retain(|(_, other)| *other < least);
            told.push((level, least));
        }
        for (level, least) in told.into_iter().filter(|(_, least)| *least <= self.most.max(1.0)) {
            let (glyph, style) = app.theme.shade(level);
            let glyphs = glyph.to_string().repeat(2);
            spans.extend([Span::styled(glyphs, style), Span::styled(format!(" {least:.0}+  "), app.theme.dim())]);
        }
        let used: usize = spans.iter().map(|span| text::width(&span.content)).sum();
        if used > width { Line::default() } else { Line::from(spans) }
    }
}

//! What began, ended and changed, newest first, below the share of errors of the last five minutes.

use ratatui::style::Style;
use ratatui::text::Line;

use crate::app::App;
use crate::feed::queries::HISTORY_STEP_SECONDS;
use crate::filter;
use crate::health::Health;
use crate::picture::{History, Source, Trouble};
use crate::screens::{Body, Lines, nothing, notice};
use crate::text;
use crate::timeline::{self, Entry, Kind};
use crate::widgets::{Cells, sparkline};

/// Columns before the strip.
const LABEL_COLUMNS: usize = 8;
/// Columns after it, for the peak.
const PEAK_COLUMNS: usize = 10;
/// A strip narrower than this shows nothing.
const STRIP_COLUMNS_MIN: usize = 20;

/// The entries that pass the filter.
pub fn shown(app: &App) -> Vec<&Entry> {
    let filter = &app.place().filter;
    let searched = |entry: &&Entry| {
        let words = || format!("{} {} {}", entry.kind.word(), name(app, entry), entry.text);
        filter.is_empty() || filter::passes(filter, &words())
    };
    app.timeline.iter().filter(searched).collect()
}

fn name(app: &App, entry: &Entry) -> String {
    app.row(&entry.service).map_or_else(|| entry.service.name.clone(), |row| row.name.clone())
}

/// The screen.
pub fn body(app: &App, width: usize) -> Body<'_> {
    let entries = shown(app);
    let dim = app.theme.dim();
    let mut head = strip(app, &entries, width);
    head.push(
        Cells::default()
            .left("TIME", 8, dim)
            .right("AGO", 4, dim)
            .left("WHAT", 7, dim)
            .left("SERVICE", name_columns(width), dim)
            .rest("HOW", width, dim)
            .line(),
    );
    let none = match app.place().filter.as_str() {
        "" if app.picture.timeline.data.is_some() => "nothing began, ended or changed in the last hour".to_owned(),
        "" => nothing(&app.picture.timeline, ""),
        filter => format!("nothing passes the filter {filter:?}; Esc drops it"),
    };
    Body {
        head: if entries.is_empty() { Vec::new() } else { head },
        lines: Lines::Rows(entries.len(), Box::new(move |at| line(app, entries[at], width))),
        empty: none,
        notice: told_by(app),
    }
}

/// What is missing from the order, if something is.
fn told_by(app: &App) -> String {
    let source = &app.picture.timeline;
    match (&source.data, &source.trouble) {
        (None, Some(Trouble::Missing(why) | Trouble::Down(why))) => format!(" {why}; below is what else is known"),
        _ => notice("timeline", source, app.picture_now_ms()),
    }
}

fn name_columns(width: usize) -> usize {
    (width / 6).clamp(8, 24)
}

fn line(app: &App, entry: &Entry, width: usize) -> Line<'static> {
    let style = match entry.kind {
        Kind::Fault => app.theme.health(Health::Failing),
        Kind::Over => app.theme.health(Health::Healthy),
        Kind::Breaker | Kind::Restart | Kind::Warning => app.theme.amber(),
        Kind::Deploy | Kind::Scaling => app.theme.accent(),
        Kind::Event => Style::new(),
    };
    Cells::default()
        .left(&text::clock(entry.at_ms), 8, app.theme.dim())
        .right(&text::age(app.picture_now_ms().saturating_sub(entry.at_ms)), 4, app.theme.dim())
        .left(entry.kind.word(), 7, style)
        .left(&name(app, entry), name_columns(width), app.theme.title())
        .rest(&entry.text, width, Style::new())
        .line()
}

/// The share of errors over the last minutes, and below it the letters of what happened when.
fn strip(app: &App, shown: &[&Entry], width: usize) -> Vec<Line<'static>> {
    let Source { data: Some(history), at_ms: Some(at_ms), .. } = &app.picture.history else { return Vec::new() };
    let errors = errors(history);
    let columns = width.saturating_sub(LABEL_COLUMNS + PEAK_COLUMNS + 2).min(errors.len());
    if columns < STRIP_COLUMNS_MIN {
        return Vec::new();
    }
    let step_ms = HISTORY_STEP_SECONDS as i64 * 1_000;
    let last_ms = at_ms.div_euclid(step_ms) * step_ms;
    let start_ms = last_ms - step_ms * (columns as i64 - 1);
    let visible = &errors[errors.len() - columns..];
    let peak = format!("peak {}", text::percent(visible.iter().copied().fold(0.0, f64::max)));
    // What happened since the last point belongs to it.
    let recent = shown.iter().filter(|entry| entry.at_ms <= app.picture_now_ms());
    let pinned = recent.map(|entry| (entry.at_ms.min(last_ms), entry.kind));
    let marks = timeline::marks(pinned, start_ms, step_ms, columns);
    let label = |words: &str| Cells::default().left(words, LABEL_COLUMNS, app.theme.dim());
    vec![
        label("errors")
            .left(&sparkline(visible, columns, app.theme), columns, app.theme.bad())
            .rest(&peak, width, app.theme.dim())
            .line(),
        label("5 min").left(&marks, columns, app.theme.title()).rest("now", width, app.theme.dim()).line(),
    ]
}

/// Share of all services' requests that failed, oldest first.
fn errors(history: &History) -> Vec<f64> {
    let steps = history.values().map(|service| service.rate.len()).max().unwrap_or(0);
    let at = |step: usize| {
        let of = |service: &crate::picture::ServiceHistory| {
            let rate = service.rate.get(step).copied().unwrap_or(0.0);
            (rate, rate * service.error_ratio.get(step).copied().unwrap_or(0.0))
        };
        let (all, failed) = history.values().map(of).fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        if all > 0.0 { failed / all } else { 0.0 }
    };
    (0..steps).map(at).collect()
}

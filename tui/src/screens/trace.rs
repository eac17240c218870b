//! The waterfall of one trace: the critical path marked, own time of every span, and in a sentence where the time went.

use ratatui::style::{Modifier, Style};
use ratatui::text::Line;

use crate::app::App;
use crate::screens::traces::micros;
use crate::screens::{Body, Lines};
use crate::text;
use crate::waterfall::{Bar, Opened, Waterfall};
use crate::widgets::{Cells, interval};

/// From this width on there is room for the time on the critical path in figures; below, the bars show it.
const WIDTH_FOR_PATH: usize = 110;
/// A bar narrower than this shows nothing.
const BAR_COLUMNS_MIN: usize = 8;
/// Where most of the time went is told of so many operations.
const HOTTEST_MAX: usize = 3;

/// Which columns there is room for.
#[derive(Clone, Copy)]
struct Columns {
    name: usize,
    path: bool,
    bar: usize,
}

impl Columns {
    fn of(width: usize) -> Self {
        let name = (width * 2 / 5).clamp(12, 52);
        let path = width >= WIDTH_FOR_PATH;
        let taken = name + 28 + if path { 8 } else { 0 };
        Self { name, path, bar: width.saturating_sub(taken).min(70) }
    }
}

/// The page. Rows are made as they are seen: a trace may have thousands.
pub fn page<'a>(app: &'a App, opened: &'a Opened, width: usize) -> Body<'a> {
    let fall = &opened.fall;
    let columns = Columns::of(width);
    let dim = app.theme.dim();
    let size = format!("{} · {}", micros(fall.total_us), text::count(fall.bars.len(), "span"));
    let mut head = Cells::default().left(&size, columns.name, dim).right("TOOK", 7, dim).right("OWN", 7, dim);
    if columns.path {
        head = head.right("ON PATH", 7, dim);
    }
    let notes = notes(app, opened, width);
    let rows = fall.bars.len() + notes.len();
    let line = move |at: usize| match fall.bars.get(at) {
        Some(bar) => bar_line(app, bar, fall.total_us, columns, width),
        None => notes.get(at - fall.bars.len()).cloned().unwrap_or_default(),
    };
    Body {
        head: vec![head.line()],
        lines: if fall.bars.is_empty() { Lines::default() } else { Lines::Rows(rows, Box::new(line)) },
        empty: "this trace has no spans".to_owned(),
        ..Body::default()
    }
}

fn notes(app: &App, opened: &Opened, width: usize) -> Vec<Line<'static>> {
    let fall = &opened.fall;
    let mut lines = vec![Line::default()];
    let mut say = |words: &str, style: Style| {
        lines.extend(text::wrap(words, width.saturating_sub(1), 3).into_iter().map(|line| Line::styled(line, style)));
    };
    say(&where_the_time_went(fall), app.theme.title());
    let [at_work, waits, aside] = app.theme.path_fills();
    let legend = format!(
        "* critical path: {at_work} at work, {waits} waits for what is below; {aside} not on it. OWN: no call below covers it."
    );
    say(&legend, app.theme.dim());
    let count = |is: fn(&Bar) -> bool| fall.bars.iter().filter(|bar| is(bar)).count();
    let (orphans, moved) = (count(|bar| bar.is_orphan), count(|bar| bar.is_moved));
    if orphans > 0 {
        let spans = text::count(orphans, "span");
        say(&format!("{spans} without parent: what called them was not kept, or has not come yet"), app.theme.amber());
    }
    if moved > 0 {
        let spans = text::count(moved, "span");
        say(
            &format!("{spans} moved: a call cannot begin before its caller, so that the clocks differ"),
            app.theme.amber(),
        );
    }
    say(&format!("trace {}", opened.trace.trace_id), app.theme.dim());
    lines
}

/// `of 42ms: payment POST /charge 20ms (48%), order POST /orders 12ms (29%)`.
fn where_the_time_went(fall: &Waterfall) -> String {
    let all: u64 = fall.hottest.iter().map(|(_, us)| us).sum();
    let share = |us: u64| text::percent((us as f64 / all.max(1) as f64 * 100.0).round() / 100.0);
    let named = fall.hottest.iter().take(HOTTEST_MAX).filter(|(_, us)| *us > 0);
    let named: Vec<String> = named.map(|(name, us)| format!("{name} {} ({})", micros(*us), share(*us))).collect();
    format!("of {}: {}", micros(all), named.join(", "))
}

fn bar_line(app: &App, bar: &Bar, total_us: u64, columns: Columns, width: usize) -> Line<'static> {
    let indent = " ".repeat(bar.depth.min(columns.name / 3));
    let mark = if bar.is_critical { "*" } else { " " };
    let weight = if bar.is_critical { Modifier::BOLD } else { Modifier::empty() };
    let style = if bar.is_error { app.theme.bad() } else { Style::new() }.add_modifier(weight);
    let mut cells = Cells::default()
        .left(&format!("{mark}{indent}{} {}", bar.service, bar.operation), columns.name, style)
        .right(&micros(bar.duration_us), 7, Style::new())
        .right(&micros(bar.own_us), 7, app.theme.dim());
    if columns.path {
        let on_path = if bar.is_critical { micros(bar.path_us()) } else { String::new() };
        cells = cells.right(&on_path, 7, style);
    }
    if columns.bar >= BAR_COLUMNS_MIN {
        let color = if bar.is_error { app.theme.bad() } else { app.theme.accent() };
        cells = cells.left(&drawn(bar, total_us, columns.bar, app.theme.path_fills()), columns.bar, color);
    }
    let note = match (bar.is_error, bar.is_orphan, bar.is_moved) {
        (true, ..) => "ERROR",
        (_, true, _) => "no parent",
        (_, _, true) => "moved",
        _ => "",
    };
    cells.rest(note, width, if bar.is_error { app.theme.bad() } else { app.theme.amber() }).line()
}

/// A bar: at work on the critical path, waiting on it, or aside of it.
fn drawn(bar: &Bar, total_us: u64, columns: usize, [at_work, waits, aside]: [char; 3]) -> String {
    let end = bar.start_us.saturating_add(bar.duration_us);
    let whole = interval(bar.start_us, end, total_us, columns, if bar.is_critical { waits } else { aside });
    let mut cells: Vec<char> = whole.chars().collect();
    for (from, to) in &bar.path {
        for (cell, worked) in cells.iter_mut().zip(interval(*from, *to, total_us, columns, at_work).chars()) {
            // Pieces too short for a cell of their own would make the whole bar look at work.
            let is_seen = (to - from) as f64 * columns as f64 >= total_us as f64 * 0.5 || bar.path.len() == 1;
            if worked == at_work && *cell == waits && is_seen {
                *cell = at_work;
            }
        }
    }
    cells.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_shows_where_it_works_and_where_it_waits() {
        let bar = |is_critical, path: &[(u64, u64)]| Bar {
            depth: 0,
            service: String::new(),
            operation: String::new(),
            start_us: 10,
            duration_us: 80,
            own_us: 0,
            path: path.to_vec(),
            is_error: false,
            is_critical,
            is_orphan: false,
            is_moved: false,
        };
        let shown = |bar: Bar| drawn(&bar, 100, 10, ['#', '=', '.']);
        assert_eq!(shown(bar(true, &[(10, 30), (80, 90)])), " ##=====# ");
        assert_eq!(shown(bar(true, &[(10, 12), (30, 90)])), " ==###### ");
        assert_eq!(shown(bar(true, &[(20, 21)])), " =#====== ");
        assert_eq!(shown(bar(false, &[])), " ........ ");
    }
}

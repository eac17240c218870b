//! The list of traces, of a service or of all.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use protocol::jaeger::{Span, Trace};
use ratatui::style::Style;
use ratatui::text::Line;

use crate::app::{App, TraceSort};
use crate::filter;
use crate::health::Health;
use crate::screens::{Body, Lines, nothing, notice};
use crate::text;
use crate::widgets::Cells;

/// The span that began it all: the first without a parent in the trace, else the first.
fn root(trace: &Trace) -> Option<&Span> {
    let orphan = trace.spans.iter().filter(|s| s.parent_id().is_none()).min_by_key(|s| s.start_time);
    orphan.or_else(|| trace.spans.iter().min_by_key(|s| s.start_time))
}

/// The service that a trace began in.
pub fn service(trace: &Trace) -> Option<String> {
    root(trace).map(|span| trace.service_of(span).to_owned()).filter(|name| !name.is_empty())
}

fn duration_us(trace: &Trace) -> u64 {
    let first = trace.spans.iter().map(|s| s.start_time).min().unwrap_or(0);
    let last = trace.spans.iter().map(|s| s.start_time.saturating_add(s.duration)).max().unwrap_or(0);
    last.saturating_sub(first)
}

fn errors(trace: &Trace) -> usize {
    trace.spans.iter().filter(|s| s.is_error()).count()
}

fn start_us(trace: &Trace) -> u64 {
    trace.spans.iter().map(|s| s.start_time).min().unwrap_or(0)
}

fn operation(trace: &Trace) -> String {
    root(trace).map_or_else(String::new, |s| format!("{} {}", trace.service_of(s), s.operation_name))
}

/// The traces that pass the filter, in the order chosen; none while they answer another wish.
pub fn shown(app: &App) -> Vec<&Trace> {
    let list = app.picture.traces.data.as_ref().filter(|list| list.wish == app.trace_wish);
    let Some(list) = list else { return Vec::new() };
    let filter = &app.place().filter;
    let searched = |trace: &&Trace| {
        let word = if errors(trace) > 0 { "error" } else { "ok" };
        filter::passes(filter, &format!("{} {} {word}", operation(trace), trace.trace_id))
    };
    let mut traces: Vec<&Trace> = list.traces.iter().filter(searched).collect();
    let (sort, is_reversed) = app.trace_sort;
    let compare = |a: &Trace, b: &Trace| -> Ordering {
        match sort {
            TraceSort::Start => start_us(b).cmp(&start_us(a)),
            TraceSort::Duration => duration_us(b).cmp(&duration_us(a)),
            TraceSort::Spans => b.spans.len().cmp(&a.spans.len()),
        }
        .then_with(|| a.trace_id.cmp(&b.trace_id))
    };
    traces.sort_by(|a, b| if is_reversed { compare(b, a) } else { compare(a, b) });
    traces
}

/// Microseconds in few characters.
pub fn micros(us: u64) -> String {
    text::millis(Some(us as f64 / 1_000.0))
}

/// One row; the service's page shows it too.
pub fn row(app: &App, trace: &Trace, width: usize) -> Line<'static> {
    let at_ms = i64::try_from(start_us(trace) / 1_000).unwrap_or(0);
    let (errors, health) = match errors(trace) {
        0 => ("ok".to_owned(), Health::Healthy),
        some => (text::count(some, "error"), Health::Failing),
    };
    let services: BTreeSet<&str> = trace.spans.iter().map(|s| trace.service_of(s)).collect();
    let mut cells = Cells::default()
        .left(&text::clock(at_ms), 8, app.theme.dim())
        .right(&micros(duration_us(trace)), 7, Style::new())
        .left(&errors, 9, app.theme.health(health));
    if width >= 60 {
        let size = format!("{}, {}", text::count(trace.spans.len(), "span"), text::count(services.len(), "service"));
        cells = cells.left(&size, 22, app.theme.dim());
    }
    cells.rest(&operation(trace), width, Style::new()).line()
}

/// The list.
pub fn list(app: &App, width: usize) -> Body<'_> {
    let traces = shown(app);
    let dim = app.theme.dim();
    let (sort, is_reversed) = app.trace_sort;
    let title = |name: &str, by: TraceSort| {
        let mark = if is_reversed { "↑" } else { "↓" };
        if sort == by { format!("{name}{mark}") } else { name.to_owned() }
    };
    let mut head = Cells::default()
        .left(&title("START", TraceSort::Start), 8, dim)
        .right(&title("TOOK", TraceSort::Duration), 7, dim)
        .left("RESULT", 9, dim);
    if width >= 60 {
        head = head.left(&title("SIZE", TraceSort::Spans), 22, dim);
    }
    let source = &app.picture.traces;
    let is_answered = source.data.as_ref().is_some_and(|list| list.wish == app.trace_wish);
    let none = match (is_answered, app.place().filter.is_empty()) {
        (false, _) => "asking …",
        (true, true) if app.trace_wish.errors_only => "no trace with an error was found; e shows all",
        (true, true) => "no trace was found",
        (true, false) => "no trace passes the filter; Esc drops it",
    };
    Body {
        head: vec![head.rest("REQUEST", width, dim).line()],
        lines: Lines::Rows(traces.len(), Box::new(move |at| row(app, traces[at], width))),
        empty: if source.trouble.is_some() && !is_answered {
            source.trouble_text().to_owned()
        } else {
            nothing(source, none)
        },
        notice: if is_answered { notice("traces", source, app.picture_now_ms()) } else { String::new() },
    }
}

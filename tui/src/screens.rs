//! Draws the state, and answers what depends on the drawing: which rows there are, what the cursor is on. Changes nothing.
//! Start at `draw`.

mod chrome;
mod decisions;
mod evidence;
mod graph;
mod heatmap;
mod help;
mod overlay;
mod policies;
mod policy;
mod radius;
mod service;
mod services;
mod suspects;
mod timeline;
mod trace;
mod traces;

use std::sync::Arc;

use protocol::graph::Red;
use protocol::jaeger::Trace;
use protocol::scaling::{DecisionRecord, PolicyStatus};
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use crate::app::{App, Mode, Screen};
use crate::health::Health;
use crate::picture::{Freshness, ServiceKey, Source, TraceWish};
use crate::text;

pub use policies::label as policy_label;

/// What Enter leads to.
pub enum Opening {
    /// A screen.
    To(Screen),
    /// Traces.
    Traces(TraceWish),
}

/// From this height on there is room for the lines below the table.
const ROWS_FOR_DETAIL: u16 = 16;

/// The lines in the middle. Rows are made only when they are seen: there may be thousands.
enum Lines<'a> {
    /// A page's.
    Page(Vec<Line<'static>>),
    /// So many rows of a list.
    Rows(usize, Box<dyn Fn(usize) -> Line<'static> + 'a>),
}

impl Lines<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Page(lines) => lines.len(),
            Self::Rows(count, _) => *count,
        }
    }

    fn line(&self, at: usize) -> Line<'static> {
        match self {
            Self::Page(lines) => lines.get(at).cloned().unwrap_or_default(),
            Self::Rows(_, make) => make(at),
        }
    }
}

impl Default for Lines<'_> {
    fn default() -> Self {
        Self::Page(Vec::new())
    }
}

/// What a screen puts into the middle.
#[derive(Default)]
struct Body<'a> {
    /// Column heads, and what else stays above the rows.
    head: Vec<Line<'static>>,
    /// Rows, or the lines of a page.
    lines: Lines<'a>,
    /// Said instead when there are no lines.
    empty: String,
    /// What is wrong with the source of this screen; empty when nothing is.
    notice: String,
}

/// Where the parts go.
struct Areas {
    status: Rect,
    verdict: Rect,
    /// With its lines, which say how high it is.
    panel: (Rect, Vec<Line<'static>>),
    crumbs: Rect,
    body: Rect,
    detail: Rect,
    footer: Rect,
}

fn areas(app: &App, area: Rect) -> Areas {
    let verdict_lines = chrome::verdict_lines(app, area.width, verdict_lines_max(area.height)).len() as u16;
    let is_high = area.height >= ROWS_FOR_DETAIL;
    let has_detail = is_high && matches!(app.screen(), Screen::Services | Screen::Suspects);
    let (crumbs, detail, footer) = (1, if has_detail { 2 } else { 0 }, 1);
    let panel = if is_high && matches!(app.screen(), Screen::Services) {
        let rows = u16::try_from(app.row_ids().len()).unwrap_or(u16::MAX).saturating_add(1);
        let free = area.height.saturating_sub(1 + verdict_lines + crumbs + detail + footer).saturating_sub(rows);
        let lines_max = free.min(area.height / 3).max(area.height / 5);
        suspects::panel(app, area.width.into(), lines_max.into())
    } else {
        Vec::new()
    };
    let heights = [1, verdict_lines, panel.len() as u16, crumbs, 0, detail, footer];
    let fixed: u16 = heights.iter().sum();
    let mut y = area.y;
    let mut next = |height: u16| {
        let height = height.min(area.bottom().saturating_sub(y));
        let part = Rect { x: area.x, y, width: area.width, height };
        y += height;
        part
    };
    Areas {
        status: next(heights[0]),
        verdict: next(heights[1]),
        panel: (next(heights[2]), panel),
        crumbs: next(heights[3]),
        body: next(area.height.saturating_sub(fixed)),
        detail: next(heights[5]),
        footer: next(heights[6]),
    }
}

fn verdict_lines_max(height: u16) -> usize {
    match height {
        0..14 => 1,
        14..20 => 2,
        _ => 3,
    }
}

/// Draws everything.
pub fn draw(app: &App, frame: &mut Frame<'_>) {
    let area = frame.area();
    let areas = areas(app, area);
    let buffer = frame.buffer_mut();
    put(buffer, areas.status, 0, &chrome::status(app, area.width));
    for (at, line) in chrome::verdict_lines(app, area.width, verdict_lines_max(area.height)).iter().enumerate() {
        put(buffer, areas.verdict, at, line);
    }
    for (at, line) in areas.panel.1.iter().enumerate() {
        put(buffer, areas.panel.0, at, line);
    }
    put(buffer, areas.crumbs, 0, &chrome::crumbs(app, area.width));
    draw_body(app, buffer, areas.body);
    if areas.detail.height > 0 {
        let lines = match app.screen() {
            Screen::Suspects => suspects::detail(app, area.width.into()),
            _ => services::detail(app, area.width.into()),
        };
        for (at, line) in lines.iter().enumerate() {
            put(buffer, areas.detail, at, line);
        }
    }
    put(buffer, areas.footer, 0, &chrome::footer(app, area.width));
    match &app.mode {
        Mode::Help { scroll } => {
            let title = if app.help_extent() > 1 { " keys that work here (j: more) " } else { " keys that work here " };
            overlay::draw(app, buffer, areas.body, title, &help_lines(app), *scroll);
        }
        Mode::Palette { typed, chosen } => overlay::draw_palette(app, buffer, areas.body, typed, *chosen),
        Mode::Question(change) => overlay::draw_question(app, buffer, areas.body, change),
        Mode::Screen | Mode::Filter { .. } => {}
    }
    if app.theme.ascii {
        to_ascii(app, buffer, area);
    }
}

fn to_ascii(app: &App, buffer: &mut Buffer, area: Rect) {
    for position in area.positions() {
        if let Some(cell) = buffer.cell_mut(position) {
            let plain = app.theme.plain(cell.symbol());
            if plain != cell.symbol() {
                cell.set_symbol(plain.get(..1).unwrap_or("?"));
            }
        }
    }
}

/// Writes one line; what does not fit is cut.
fn put(buffer: &mut Buffer, area: Rect, row: usize, line: &Line<'_>) {
    let row = u16::try_from(row).unwrap_or(u16::MAX);
    if row < area.height && area.width > 0 {
        buffer.set_line(area.x, area.y + row, line, area.width);
    }
}

fn body(app: &App, width: usize) -> Body<'_> {
    match app.screen() {
        Screen::Services => services::body(app, width),
        Screen::Service(key) => service::body(app, key, width),
        Screen::Graph => graph::body(app, width),
        Screen::Decisions => decisions::list(app, width),
        Screen::Decision(record) => decisions::page(app, record, width),
        Screen::Traces => traces::list(app, width),
        Screen::Trace(opened) => trace::page(app, opened, width),
        Screen::Suspects => suspects::body(app, width),
        Screen::Timeline => timeline::body(app, width),
        Screen::Evidence(exhibit) => evidence::body(app, exhibit, width),
        Screen::Radius(key) => radius::body(app, key, width),
        Screen::Heatmap(wish) => heatmap::body(app, wish, width),
        Screen::Policies => policies::list(app, width),
        Screen::Policy(name) => policy::body(app, name, width),
    }
}

fn draw_body(app: &App, buffer: &mut Buffer, area: Rect) {
    let body = body(app, area.width.into());
    let mut row = 0;
    if !body.notice.is_empty() {
        put(buffer, area, row, &Line::styled(text::cut(&body.notice, area.width.into()), app.theme.amber()));
        row += 1;
    }
    if body.lines.len() == 0 {
        for line in text::wrap(&body.empty, usize::from(area.width).saturating_sub(2), 6) {
            put(buffer, area, row + 1, &Line::raw(format!(" {line}")));
            row += 1;
        }
        return;
    }
    for head in &body.head {
        put(buffer, area, row, head);
        row += 1;
    }
    let height = usize::from(area.height).saturating_sub(row);
    let index = app.place().index;
    let first = first_shown(app.screen().is_list(), index, body.lines.len(), height);
    for at in first..body.lines.len().min(first + height) {
        put(buffer, area, row + at - first, &body.lines.line(at));
        if app.screen().is_list() && at == index {
            let y = area.y + u16::try_from(row + at - first).unwrap_or(0);
            buffer.set_style(Rect { x: area.x, y, width: area.width, height: 1 }, app.theme.selected());
        }
    }
}

/// The first line shown: a list keeps its cursor in the middle, a page begins where it was scrolled to.
fn first_shown(is_list: bool, index: usize, lines: usize, height: usize) -> usize {
    let last = lines.saturating_sub(height);
    if is_list { index.saturating_sub(height / 2).min(last) } else { index.min(last) }
}

fn terminal(app: &App) -> Rect {
    Rect::new(0, 0, app.size.0, app.size.1)
}

/// Lines between the heads and the footer.
pub fn body_height(app: &App) -> usize {
    usize::from(areas(app, terminal(app)).body.height).saturating_sub(1)
}

/// How many scroll positions a page has.
pub fn positions(app: &App) -> usize {
    let area = areas(app, terminal(app)).body;
    let body = body(app, area.width.into());
    let taken = usize::from(!body.notice.is_empty()) + body.head.len();
    body.lines.len().saturating_sub(usize::from(area.height).saturating_sub(taken)) + 1
}

fn help_lines(app: &App) -> Vec<Line<'static>> {
    help::lines(app, usize::from(app.size.0))
}

/// How many scroll positions the help has.
pub fn help_positions(app: &App) -> usize {
    let height = usize::from(areas(app, terminal(app)).body.height).saturating_sub(2);
    help_lines(app).len().saturating_sub(height) + 1
}

/// The identities of the rows on screen, in order.
pub fn row_ids(app: &App) -> Vec<String> {
    match app.screen() {
        Screen::Services => services::sorted(app).iter().map(|r| r.key.to_string()).collect(),
        Screen::Graph => graph::shown(app).iter().map(|b| b.id.clone()).collect(),
        Screen::Decisions => decisions::shown(app).iter().map(decisions::Run::id).collect(),
        Screen::Traces => traces::shown(app).iter().map(|t| t.trace_id.clone()).collect(),
        Screen::Suspects => suspects::shown(app).iter().map(suspects::Row::id).collect(),
        Screen::Timeline => timeline::shown(app).iter().map(|entry| entry.id()).collect(),
        Screen::Policies => policies::shown(app).iter().map(|policy| policies::id(policy)).collect(),
        Screen::Service(_)
        | Screen::Decision(_)
        | Screen::Trace(_)
        | Screen::Evidence(_)
        | Screen::Radius(_)
        | Screen::Heatmap(_)
        | Screen::Policy(_) => Vec::new(),
    }
}

/// The service that the cursor is on, or that the screen is about.
pub fn service_at_cursor(app: &App) -> Option<ServiceKey> {
    let index = app.place().index;
    let by_name = |name: String| {
        let row = app.row_named(&name);
        row.map_or_else(|| ServiceKey::new("", &name), |row| row.key.clone())
    };
    match app.screen() {
        Screen::Services => services::sorted(app).get(index).map(|r| r.key.clone()),
        Screen::Service(key) | Screen::Radius(key) => Some(key.clone()),
        Screen::Heatmap(wish) => Some(wish.service.clone()),
        Screen::Graph => graph::shown(app).get(index).map(|b| by_name(b.service.clone())),
        Screen::Decisions => decisions::shown(app).get(index).map(|r| (&r.newest.workload).into()),
        Screen::Decision(record) => Some((&record.workload).into()),
        Screen::Traces => traces::shown(app).get(index).and_then(|t| traces::service(t)).map(by_name),
        Screen::Trace(opened) => traces::service(&opened.trace).map(by_name),
        Screen::Suspects => suspects::shown(app).get(index)?.service().map(|name| by_name(name.to_owned())),
        Screen::Timeline => {
            let service = &timeline::shown(app).get(index)?.service;
            Some(if service.namespace.is_empty() { by_name(service.name.clone()) } else { service.clone() })
        }
        Screen::Evidence(exhibit) => Some(by_name(exhibit.service.clone())),
        Screen::Policies | Screen::Policy(_) => policy_at_cursor(app).map(|policy| (&policy.workload).into()),
    }
}

/// The policy that the cursor is on, that the screen is about, or that steers the service at the cursor.
pub fn policy_at_cursor(app: &App) -> Option<&PolicyStatus> {
    let index = app.place().index;
    match app.screen() {
        Screen::Policies => policies::shown(app).get(index).copied(),
        Screen::Policy(name) => policies::find(app, name),
        Screen::Decision(record) => policies::find(app, &record.policy),
        Screen::Decisions => policies::find(app, &decisions::shown(app).get(index)?.newest.policy),
        _ => {
            let key = service_at_cursor(app)?;
            app.picture.scaling.data.as_ref()?.policies.iter().find(|policy| key.is(&policy.workload))
        }
    }
}

/// What Enter leads to where that follows from what the cursor is on; `None` where there is nothing behind a row.
pub fn opening(app: &App) -> Option<Opening> {
    if let (Screen::Suspects, Some(exhibit)) = (app.screen(), suspects::exhibit(app)) {
        return match (exhibit.curves(), exhibit.traces()) {
            (Some(_), _) => Some(Opening::To(Screen::Evidence(Arc::new(exhibit)))),
            (None, Some(wish)) => Some(Opening::Traces(wish)),
            (None, None) => None,
        };
    }
    let key = service_at_cursor(app)?;
    // A database or a peer from outside has no page of its own.
    Some(Opening::To(if app.row(&key).is_some() { Screen::Service(key) } else { Screen::Radius(key) }))
}

/// The traces that show what the cursor is on: those that a piece of evidence leads to, or all of a service.
pub fn traces_wanted(app: &App) -> Option<TraceWish> {
    let of_evidence = match app.screen() {
        Screen::Evidence(exhibit) => exhibit.traces(),
        Screen::Suspects => suspects::exhibit(app).and_then(|exhibit| exhibit.traces()),
        _ => None,
    };
    of_evidence.or_else(|| service_at_cursor(app).map(|service| TraceWish::of(service.name)))
}

/// The decision that the cursor is on.
pub fn decision_at_cursor(app: &App) -> Option<DecisionRecord> {
    decisions::shown(app).get(app.place().index).map(|run| run.newest.clone())
}

/// The trace that the cursor is on.
pub fn trace_at_cursor(app: &App) -> Option<Trace> {
    traces::shown(app).get(app.place().index).map(|trace| (*trace).clone())
}

/// The identity of a service's row on the graph screen.
pub fn graph_row_of(app: &App, service: &str) -> Option<String> {
    graph::shown(app).iter().find(|b| b.service == service).map(|b| b.id.clone())
}

/// What is wrong with a source, in a line; empty when nothing is.
fn notice<T>(name: &str, source: &Source<T>, now_ms: i64) -> String {
    match source.freshness(now_ms) {
        Freshness::Stale(age) => {
            let reason = source.trouble_text();
            let cause = if reason.is_empty() { String::new() } else { format!(": {reason}") };
            format!(" {name} stale {}{cause}; this is the last good answer", text::age(age))
        }
        Freshness::Missing if source.data.is_some() => format!(" {name}: {}", source.trouble_text()),
        _ => String::new(),
    }
}

/// The same of a source that is asked less often than others grow stale.
fn trouble<T>(name: &str, source: &Source<T>) -> String {
    match source.trouble_text() {
        "" => String::new(),
        trouble => format!(" {name}: {trouble}; this is the last good answer"),
    }
}

/// What to say where a source gave nothing to show.
fn nothing<T>(source: &Source<T>, none: &str) -> String {
    match (&source.data, &source.trouble) {
        (Some(_), _) => none.to_owned(),
        (None, Some(_)) => source.trouble_text().to_owned(),
        (None, None) => "asking …".to_owned(),
    }
}

/// Whether nothing is wrong with a service by its own numbers, as far as is known.
fn seems_well(app: &App, service: &str) -> bool {
    app.row_named(service).is_none_or(|row| row.assessment.health >= Health::Unknown)
}

/// A state as shape and word.
fn state(app: &App, health: Health) -> String {
    format!("{} {}", app.theme.shape(health), health.word())
}

/// Style of a share of errors.
fn error_style(app: &App, ratio: f64) -> Style {
    match ratio {
        r if r >= crate::health::ERRORS_FAILING => app.theme.health(Health::Failing),
        r if r >= crate::health::ERRORS_DEGRADED => app.theme.health(Health::Degraded),
        _ => Style::new(),
    }
}

/// How calls along an edge go, in a word. A few calls that fail, as the first ones to a service that starts, are no outage.
fn edge_word(app: &App, red: &Red) -> (Health, &'static str) {
    let window_seconds = app.picture.graph.data.as_ref().map_or(0.0, |graph| graph.window_seconds);
    let is_enough = red.rate * window_seconds >= crate::health::REQUESTS_ENOUGH;
    match red.error_ratio {
        _ if red.rate <= 0.0 => (Health::Idle, "idle"),
        r if r >= crate::health::ERRORS_DEGRADED && !is_enough => (Health::Unknown, "few calls"),
        r if r >= crate::health::ERRORS_FAILING => (Health::Failing, "FAILING"),
        r if r >= crate::health::ERRORS_DEGRADED => (Health::Degraded, "degraded"),
        _ => (Health::Healthy, "well"),
    }
}

#[cfg(test)]
mod tests;

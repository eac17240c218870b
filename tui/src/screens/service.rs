//! The page of one service: how it is and why, charts, replicas, who calls it and whom it calls, decisions, events, traces
//! with errors.

mod events;
mod replicas;

use protocol::faults::{Breaker, BreakerState, Role};
use protocol::graph::Red;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::app::App;
use crate::picture::{Cpu, ServiceKey};
use crate::roles;
use crate::screens::services::ROLE_COLUMNS;
use crate::screens::suspects::role_style;
use crate::screens::{Body, Lines, decisions, edge_word, error_style, nothing, notice, state, traces};
use crate::text;
use crate::triage::Row;
use crate::widgets::{Cells, chart};

/// Decisions, events and traces on the page: the newest few; their own screens have all.
const ROWS_PER_PART: usize = 6;
/// Lines of a chart.
const CHART_ROWS: usize = 3;

/// The page.
pub fn body(app: &App, key: &ServiceKey, width: usize) -> Body<'static> {
    let Some(row) = app.row(key) else {
        return Body {
            empty: format!("{} is not known any more: nothing scrapes or runs it", text::clean(&key.to_string())),
            ..Body::default()
        };
    };
    let mut lines = heading(app, row, width);
    lines.push(Line::default());
    lines.extend(charts(app, row, width));
    lines.extend(replicas::lines(app, row, width));
    lines.extend(edges(app, &row.key.name, width));
    lines.extend(scaling(app, &row.key, width));
    lines.extend(events::lines(app, &row.key, width));
    lines.extend(error_traces(app, &row.key.name, width));
    Body {
        lines: Lines::Page(lines),
        notice: notice("metrics", &app.picture.metrics, app.picture_now_ms()),
        ..Body::default()
    }
}

fn heading(app: &App, row: &Row, width: usize) -> Vec<Line<'static>> {
    let health = row.assessment.health;
    let since = app.since.of(&row.key).map(|began| began.words()).unwrap_or_default();
    let red = &row.red;
    let node = app.picture.graph.data.as_ref().and_then(|g| g.nodes.iter().find(|n| n.service == row.key.name));
    let own = node
        .map(|n| format!("own errors {}, own time {}", text::percent(n.own_error_ratio), text::millis(n.own_time_ms)));
    let cpu = match row.cpu {
        Some(Cpu { used, limit }) if limit > 0.0 => {
            format!("cpu {used:.2} of {limit:.2} cores ({})", text::percent((used / limit * 100.0).round() / 100.0))
        }
        Some(Cpu { used, .. }) => format!("cpu {used:.2} cores, no limit"),
        None => String::new(),
    };
    let extra: Vec<String> = own.into_iter().chain([cpu]).filter(|part| !part.is_empty()).collect();
    let mut lines = vec![
        Cells::default()
            .free(&state(app, health), app.theme.health(health))
            .free(&since, app.theme.dim())
            .rest(&row.assessment.why, width, app.theme.health(health))
            .line(),
        Cells::default()
            .free(&format!("{} req/s", text::rate(red.rate)), Style::new())
            .free(&format!("{} errors", text::percent(red.error_ratio)), error_style(app, red.error_ratio))
            .rest(
                &format!(
                    "p50 {}  p95 {}  p99 {}",
                    text::millis(red.p50_ms),
                    text::millis(red.p95_ms),
                    text::millis(red.p99_ms)
                ),
                width,
                Style::new(),
            )
            .line(),
        Line::styled(text::cut(&extra.join(" · "), width), app.theme.dim()),
    ];
    lines.extend(part(app, row, width));
    lines.extend(breakers(app, row, width));
    lines
}

/// Its breakers that are not closed.
fn breakers(app: &App, row: &Row, width: usize) -> Vec<Line<'static>> {
    let part = app.faults().and_then(|faults| roles::part(faults, &row.key.name));
    let all = part.map(|part| part.breakers.as_slice()).unwrap_or_default();
    let line = |breaker: &Breaker| {
        let how = match breaker.state {
            BreakerState::Closed => return None,
            BreakerState::HalfOpen => "lets single calls through to try",
            BreakerState::Open => "is open",
        };
        let words = format!("its breaker to {} {how} since {}", breaker.peer, text::clock(breaker.since_ms));
        Some(Line::styled(text::cut(&words, width), app.theme.amber()))
    };
    all.iter().filter_map(line).collect()
}

/// Its part in the faults of now, in words; nothing while nobody is suspected.
fn part(app: &App, row: &Row, width: usize) -> Option<Line<'static>> {
    let role = row.role?;
    let suspect = app.suspicion().and_then(|faults| roles::suspect(faults, &row.key.name));
    let words = match (role, suspect) {
        (_, Some(suspect)) => format!(
            "{} since {}, {} sure (Tab: the evidence)",
            roles::is_broken(suspect.fault),
            text::clock(suspect.since_ms),
            text::percent(suspect.score)
        ),
        (Role::Unaffected, None) => "has nothing to do with what is broken".to_owned(),
        (_, None) => format!("because of {}", row.assessment.because_of),
    };
    let cells = Cells::default().left(role.word(), ROLE_COLUMNS, role_style(app, role));
    Some(cells.rest(&words, width, Style::new()).line())
}

/// Three charts of the last five minutes, side by side where they fit.
fn charts(app: &App, row: &Row, width: usize) -> Vec<Line<'static>> {
    let history = app
        .picture
        .history
        .data
        .as_ref()
        .and_then(|h| h.get(&row.key).or_else(|| h.get(&ServiceKey::new("", &row.key.name))));
    let is_its = |service: &ServiceKey| {
        service.name == row.key.name && (service.namespace.is_empty() || service.namespace == row.key.namespace)
    };
    let detail = app.picture.detail.data.as_ref().filter(|d| is_its(&d.service));
    let empty = Vec::new();
    let rate = history.map_or(&empty, |h| &h.rate);
    let errors = history.map_or(&empty, |h| &h.error_ratio);
    let p99 = detail.map_or(&empty, |d| &d.p99_ms);
    let peak = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
    let parts = [
        (format!("requests/s, peak {}", text::rate(peak(rate))), rate),
        (format!("errors, peak {}", text::percent(peak(errors))), errors),
        (format!("p99, peak {}", text::millis((!p99.is_empty()).then(|| peak(p99)))), p99),
    ];
    let columns = (width.saturating_sub(4) / 3).min(60);
    let mut titles = Cells::default();
    let mut rows: Vec<Vec<Span<'static>>> = vec![Vec::new(); CHART_ROWS];
    for (title, values) in &parts {
        titles = titles.left(title, columns, app.theme.title());
        for (at, line) in chart(values, columns, CHART_ROWS, app.theme).into_iter().enumerate() {
            rows[at].extend([Span::styled(line, app.theme.accent()), Span::raw(" ")]);
        }
    }
    let mut lines = vec![titles.line()];
    lines.extend(rows.into_iter().map(Line::from));
    lines.push(Line::styled("the last five minutes, now at the right", app.theme.dim()));
    lines
}

fn title(app: &App, content: &str) -> [Line<'static>; 2] {
    [Line::default(), Line::styled(text::clean(content), app.theme.title())]
}

fn edges(app: &App, name: &str, width: usize) -> Vec<Line<'static>> {
    let Some(graph) = &app.picture.graph.data else {
        let mut lines = title(app, "Calls").to_vec();
        lines.push(Line::raw(text::cut(&format!("  {}", nothing(&app.picture.graph, "none")), width)));
        return lines;
    };
    let callers: Vec<(&str, Red)> =
        graph.edges.iter().filter(|e| e.server == name).map(|e| (e.client.as_str(), e.red)).collect();
    let callees: Vec<(&str, Red)> =
        graph.edges.iter().filter(|e| e.client == name).map(|e| (e.server.as_str(), e.red)).collect();
    let mut lines = Vec::new();
    for (heading, peers) in [("Called by", callers), ("Calls", callees)] {
        lines.extend(title(app, heading));
        if peers.is_empty() {
            lines.push(Line::styled("  nobody", app.theme.dim()));
        }
        for (peer, red) in peers {
            let (health, word) = edge_word(app, &red);
            lines.push(
                Cells::default()
                    .left(&format!("  {peer}"), (width / 3).clamp(12, 34), Style::new())
                    .left(&format!("{} {word}", app.theme.shape(health)), 11, app.theme.health(health))
                    .right(&format!("{}/s", text::rate(red.rate)), 8, Style::new())
                    .right(&text::percent(red.error_ratio), 6, error_style(app, red.error_ratio))
                    .rest(&format!("p99 {}", text::millis(red.p99_ms)), width, Style::new())
                    .line(),
            );
        }
    }
    lines
}

fn scaling(app: &App, key: &ServiceKey, width: usize) -> Vec<Line<'static>> {
    let mut lines = title(app, "Scaling (a: all of it, o: the policy)").to_vec();
    let Some(scaling) = &app.picture.scaling.data else {
        lines.push(Line::raw(text::cut(&format!("  {}", nothing(&app.picture.scaling, "")), width)));
        return lines;
    };
    if let Some(policy) = scaling.policies.iter().find(|p| key.is(&p.workload)) {
        let paused = if policy.paused { ", paused by an operator" } else { "" };
        let words = format!(
            "  policy {}: {} to {} replicas, {:?}{paused}",
            policy.policy.name, policy.min, policy.max, policy.mode
        );
        lines.push(Line::styled(text::cut(&words, width), app.theme.dim()));
    } else {
        lines.push(Line::styled("  no policy steers it", app.theme.dim()));
    }
    let of_it = scaling.decisions.iter().filter(|d| key.is(&d.workload));
    let is_change = |d: &&protocol::scaling::DecisionRecord| d.outcome != protocol::scaling::Outcome::Hold;
    let newest = of_it.clone().find(|d| !is_change(d));
    let changes = of_it.filter(is_change).take(ROWS_PER_PART);
    for record in newest.into_iter().chain(changes) {
        let mut line = decisions::row(app, record, 1, false, width.saturating_sub(2));
        line.spans.insert(0, Span::raw("  "));
        lines.push(line);
    }
    lines
}

fn error_traces(app: &App, name: &str, width: usize) -> Vec<Line<'static>> {
    let mut lines = title(app, "Traces with errors (T: all of its traces)").to_vec();
    let list = app.picture.traces.data.as_ref().filter(|l| l.wish.service == name && l.wish.errors_only);
    let Some(list) = list else {
        let trouble = match app.picture.traces.trouble_text() {
            "" => "asking …",
            trouble => trouble,
        };
        lines.push(Line::raw(text::cut(&format!("  {trouble}"), width)));
        return lines;
    };
    if list.traces.is_empty() {
        lines.push(Line::styled("  none", app.theme.dim()));
    }
    for trace in list.traces.iter().take(ROWS_PER_PART) {
        let mut line = traces::row(app, trace, width.saturating_sub(2));
        line.spans.insert(0, Span::raw("  "));
        lines.push(line);
    }
    lines
}

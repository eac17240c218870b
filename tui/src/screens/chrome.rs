//! The lines around every screen: status, verdict, crumbs with filter and chips, footer with keys.

use protocol::scaling::{Mode as ScalingMode, PolicyStatus};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use crate::app::{App, Mode, Screen};
use crate::health::Health;
use crate::keys;
use crate::picture::{Freshness, ServiceKey, Source};
use crate::screens::policies;
use crate::text;

/// The first line: who, where, how old, what the autoscaler may do, what time it is.
pub fn status(app: &App, width: u16) -> Line<'static> {
    let width = usize::from(width);
    let clock = format!("{} UTC", text::clock(app.now_ms));
    let mode = scaling_mode(app);
    let sources = [
        age("metrics", &app.picture.metrics, app),
        age("graph", &app.picture.graph, app),
        age("scaling", &app.picture.scaling, app),
        age("verdict", &app.picture.faults, app),
        age("traces", &app.picture.traces, app),
    ];
    let title = Span::styled(text::cut(&app.title, width), app.theme.title());
    let mut right = vec![(clock, Style::new())];
    if !mode.is_empty() {
        right.insert(0, (mode, Style::new()));
    }
    let right_width = |parts: &[(String, Style)]| parts.iter().map(|(t, _)| text::width(t) + 2).sum::<usize>();
    if text::width(title.content.as_ref()) + right_width(&right) > width {
        right.remove(0);
    }
    let mut left = vec![title];
    let mut used = text::width(left[0].content.as_ref()) + right_width(&right);
    let address = (app.collector.clone(), app.theme.dim());
    let candidates = sources.into_iter().chain([address]);
    for (content, style) in candidates {
        let needed = text::width(&content) + 2;
        if used + needed <= width {
            used += needed;
            left.extend([Span::raw("  "), Span::styled(content, style)]);
        }
    }
    let gap = width.saturating_sub(used);
    left.push(Span::raw(" ".repeat(gap)));
    for (content, style) in right {
        left.extend([Span::raw("  "), Span::styled(content, style)]);
    }
    Line::from(left)
}

fn age<T>(name: &str, source: &Source<T>, app: &App) -> (String, Style) {
    match source.freshness(app.now_ms) {
        Freshness::Fresh(age) => (format!("{name} {}", text::age(age)), Style::new()),
        // Traces are fetched when a screen shows them; an old answer that nobody asks for is no trouble.
        Freshness::Stale(age) if source.trouble.is_none() && name == "traces" => {
            (format!("{name} {}", text::age(age)), app.theme.dim())
        }
        Freshness::Stale(age) => (format!("{name} stale {}", text::age(age)), app.theme.amber()),
        Freshness::Down => (format!("{name} down"), app.theme.bad()),
        Freshness::Missing => (format!("no {name}"), app.theme.dim()),
        Freshness::Waiting => (format!("{name} -"), app.theme.dim()),
    }
}

/// What the autoscaler may do: the mode that all policies have, or that they differ.
fn scaling_mode(app: &App) -> String {
    let Some(scaling) = &app.picture.scaling.data else { return String::new() };
    let policies = &scaling.policies;
    let paused = policies.iter().filter(|p| p.paused).count();
    let mode = match policies.first() {
        None => "no policies".to_owned(),
        Some(first) if policies.iter().all(|p| p.mode == first.mode) => mode_word(first).to_owned(),
        Some(_) => "mixed modes".to_owned(),
    };
    if paused > 0 { format!("{mode}, {paused} paused") } else { mode }
}

fn mode_word(policy: &PolicyStatus) -> &'static str {
    match policy.mode {
        ScalingMode::Off => "Off",
        ScalingMode::Recommend => "Recommend",
        ScalingMode::Auto => "Auto",
        ScalingMode::ScaleUpOnly => "ScaleUpOnly",
        ScalingMode::ScaleDownOnly => "ScaleDownOnly",
    }
}

/// The sentence, broken into lines, with the shape of the worst in front.
pub fn verdict_lines(app: &App, width: u16, lines_max: usize) -> Vec<Line<'static>> {
    let verdict = &app.verdict;
    let shape = app.theme.shape(verdict.health);
    let style = match verdict.health {
        Health::Unknown => app.theme.amber(),
        health => app.theme.health(health),
    };
    let lines = text::wrap(&verdict.text, usize::from(width).saturating_sub(3), lines_max);
    lines
        .into_iter()
        .enumerate()
        .map(|(at, line)| {
            let mark = if at == 0 { format!("{shape} ") } else { "  ".to_owned() };
            Line::styled(mark + &line, style)
        })
        .collect()
}

fn screen_name(app: &App, screen: &Screen) -> String {
    let named = |key: &ServiceKey| app.row(key).map_or_else(|| key.to_string(), |row| row.name.clone());
    match screen {
        Screen::Services => "services".to_owned(),
        Screen::Service(key) => named(key),
        Screen::Radius(key) => format!("blast radius of {}", named(key)),
        Screen::Heatmap(wish) => format!("latencies of {}", named(&wish.service)),
        Screen::Graph => "graph".to_owned(),
        Screen::Decisions => "decisions".to_owned(),
        Screen::Decision(record) => format!("{} {}", app.label(&record.workload), text::clock(record.at_ms)),
        Screen::Traces => "traces".to_owned(),
        Screen::Suspects => "suspects".to_owned(),
        Screen::Timeline => "timeline".to_owned(),
        Screen::Policies => "policies".to_owned(),
        Screen::Policy(name) => format!("policy {}", policies::label(app, name)),
        Screen::Evidence(exhibit) => format!("evidence against {}", exhibit.service),
        Screen::Trace(opened) => format!("trace {}", opened.trace.trace_id.chars().take(8).collect::<String>()),
    }
}

/// Where the user is and how they came here, and what else is set: filter, frozen picture, order.
pub fn crumbs(app: &App, width: u16) -> Line<'static> {
    let width = usize::from(width);
    let path: Vec<String> = app.places.iter().map(|p| screen_name(app, &p.screen)).collect();
    let path = path.join(" › ");
    let mut chips: Vec<(String, Style)> = Vec::new();
    let filter = &app.place().filter;
    if let Mode::Filter { .. } = app.mode {
        chips.push((format!("/{filter}_"), app.theme.accent()));
    } else if !filter.is_empty() {
        chips.push((format!("filter: {filter}"), app.theme.amber()));
    }
    if let Some(at_ms) = app.frozen_at_ms {
        chips.push((format!("FROZEN at {}", text::clock(at_ms)), app.theme.amber()));
    }
    if let Some(latest) = app.change.as_ref().filter(|latest| latest.is_told(app.now_ms))
        && !matches!(app.screen(), Screen::Policies | Screen::Policy(_))
    {
        chips.push((latest.short(&policies::label(app, &latest.change.policy)), app.theme.amber()));
    }
    if let Screen::Services = app.screen() {
        let others = app.rows.iter().filter(|row| !row.is_listed()).count();
        match (others, app.shows_bystanders) {
            (0, _) => {}
            (others, false) => {
                chips.push((format!("and {} (w)", text::count(others, "other workload")), app.theme.dim()));
            }
            (_, true) => chips.push(("all workloads (w)".to_owned(), app.theme.accent())),
        }
    }
    if let Screen::Traces = app.screen() {
        let service = if app.trace_wish.service.is_empty() { "all services" } else { &app.trace_wish.service };
        let which = if app.trace_wish.errors_only { "errors only" } else { "all traces" };
        chips.push((format!("{service}, {which}"), app.theme.accent()));
        let (from_us, to_us) = app.trace_wish.between_us;
        if from_us > 0 && to_us > 0 {
            let clock = |us: u64| text::clock(i64::try_from(us / 1_000).unwrap_or(0));
            chips.push((format!("{} to {}", clock(from_us), clock(to_us)), app.theme.accent()));
        }
    }
    let chips_width: usize = chips.iter().map(|(t, _)| text::width(t) + 2).sum();
    let room = width.saturating_sub(chips_width + 2).max(8);
    let rule = if app.theme.ascii { "-" } else { "─" };
    let mut spans = vec![Span::styled(format!("{rule} "), app.theme.dim())];
    spans.push(Span::styled(text::cut(&path, room), app.theme.title()));
    for (content, style) in chips {
        spans.extend([Span::raw("  "), Span::styled(text::clean(&content), style)]);
    }
    let used: usize = spans.iter().map(|s| text::width(s.content.as_ref())).sum();
    let rest = width.saturating_sub(used + 1);
    spans.push(Span::styled(format!(" {}", rule.repeat(rest)), app.theme.dim()));
    Line::from(spans)
}

/// Keys that work now, as many as fit; the last ones are the most important, so that they are placed first.
pub fn footer(app: &App, width: u16) -> Line<'static> {
    let width = usize::from(width);
    let hinted: Vec<_> = keys::working(app, app.mode.input()).filter(|b| !b.hint.is_empty()).collect();
    let rank = |binding: &keys::Binding| match binding.action {
        keys::Action::Help
        | keys::Action::Quit
        | keys::Action::Accept
        | keys::Action::Cancel
        | keys::Action::Confirm => 0,
        keys::Action::Open | keys::Action::Back => 1,
        _ => 2,
    };
    let mut chosen: Vec<usize> = (0..hinted.len()).collect();
    chosen.sort_by_key(|at| rank(hinted[*at]));
    let mut used = 0;
    let needed = |at: usize| text::width(hinted[at].shown) + text::width(hinted[at].hint) + 3;
    chosen.retain(|at| {
        let fits = used + needed(*at) <= width + 1;
        used += if fits { needed(*at) } else { 0 };
        fits
    });
    chosen.sort_unstable();
    let mut spans = Vec::new();
    for at in chosen {
        let key = app.theme.accent().add_modifier(Modifier::BOLD);
        spans.extend([Span::styled(hinted[at].shown, key), Span::raw(format!(" {}  ", hinted[at].hint))]);
    }
    Line::from(spans)
}

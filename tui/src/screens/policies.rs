//! What steers each workload: every policy in a row, those that cannot decide first, then the paused ones; and the lines that say
//! how far a change of one has come.

use protocol::scaling::{DecisionRecord, Mode, ObjectName, Outcome, PolicyStatus, SignalRecord};
use ratatui::style::Style;
use ratatui::text::Line;

use crate::app::App;
use crate::filter;
use crate::health::Health;
use crate::picture::ReplicaCount;
use crate::screens::decisions;
use crate::screens::{Body, Lines, nothing, notice};
use crate::text;
use crate::widgets::Cells;

/// From this width on there are columns for what is decided and by what.
const COLUMNS_FOR_SIGNALS: usize = 60;
/// From this width on there is one for the signal's name, and one for the message.
const COLUMNS_FOR_MESSAGES: usize = 110;

/// A policy whose latest decision is older is not evaluated as it should be: eight ticks of the usual 15 s.
const OLD_AFTER_MS: i64 = 120_000;

/// Reasons (`autoscaler::planner::reason`) with which a policy does not see or reach its workload.
const BLIND: [&str; 9] = [
    "ClusterUnavailable",
    "Conflict",
    "FallbackReplicas",
    "MetricMissing",
    "MetricMissingForbidsDown",
    "MetricStale",
    "MetricsUnavailable",
    "TargetMissing",
    "WriteFailed",
];
/// Reasons with which it wants more than it may have.
const AT_LIMIT: [&str; 2] = ["AtMaximum", "FastBurnForbidsDown"];

/// How soon somebody should look at a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Blind,
    Paused,
    AtLimit,
    Changes,
    Holds,
    Off,
}

fn rank(policy: &PolicyStatus, now_ms: i64) -> Rank {
    let is_off = policy.mode == Mode::Off;
    let Some(last) = policy.last.as_ref().filter(|_| !is_off) else {
        return if policy.paused { Rank::Paused } else { Rank::Off };
    };
    match last.reason.as_str() {
        reason if BLIND.contains(&reason) => Rank::Blind,
        _ if is_old(last, now_ms) => Rank::Blind,
        _ if policy.paused => Rank::Paused,
        reason if AT_LIMIT.contains(&reason) => Rank::AtLimit,
        _ if last.outcome != Outcome::Hold => Rank::Changes,
        _ => Rank::Holds,
    }
}

fn is_old(last: &DecisionRecord, now_ms: i64) -> bool {
    now_ms.saturating_sub(last.at_ms) > OLD_AFTER_MS
}

/// What a policy is called: with its namespace where there is another one of its name.
pub fn label(app: &App, name: &ObjectName) -> String {
    let policies = app.picture.scaling.data.as_ref().map(|scaling| scaling.policies.as_slice()).unwrap_or_default();
    let has_namesake = policies.iter().any(|p| p.policy.name == name.name && p.policy != *name);
    if has_namesake { format!("{}/{}", name.namespace, name.name) } else { name.name.clone() }
}

/// A policy as the autoscaler has it now.
pub fn find<'a>(app: &'a App, name: &ObjectName) -> Option<&'a PolicyStatus> {
    app.picture.scaling.data.as_ref()?.policies.iter().find(|p| p.policy == *name)
}

/// The identity of a row.
pub fn id(policy: &PolicyStatus) -> String {
    format!("{}/{}", policy.policy.namespace, policy.policy.name)
}

/// The rows that pass the filter.
pub fn shown(app: &App) -> Vec<&PolicyStatus> {
    let Some(scaling) = &app.picture.scaling.data else { return Vec::new() };
    let (filter, now_ms) = (&app.place().filter, app.picture_now_ms());
    let words = |p: &PolicyStatus| {
        let last = p.last.as_ref().map(|d| format!("{} {} {}", decisions::change(d), d.reason, d.message));
        format!("{} {} {} {}", label(app, &p.policy), app.label(&p.workload), mode(p), last.unwrap_or_default())
    };
    let mut rows: Vec<&PolicyStatus> = scaling.policies.iter().collect();
    if !filter.is_empty() {
        rows.retain(|p| filter::passes(filter, &words(p)));
    }
    rows.sort_by_cached_key(|p| (rank(p, now_ms), p.policy.name.clone(), p.policy.namespace.clone()));
    rows
}

/// What it may do now, in a word or two.
fn mode(policy: &PolicyStatus) -> &'static str {
    match policy.mode {
        _ if policy.paused => "PAUSED",
        Mode::Off => "Off",
        Mode::Recommend => "Recommend",
        Mode::Auto => "Auto",
        Mode::ScaleUpOnly => "up only",
        Mode::ScaleDownOnly => "down only",
    }
}

/// Replicas of the policy's workload: as the cluster tells, else as the policy last saw them.
pub fn replicas(app: &App, policy: &PolicyStatus) -> Option<ReplicaCount> {
    let workloads = app.picture.workloads.data.as_deref().map(Vec::as_slice).unwrap_or_default();
    let of_cluster = workloads.iter().find(|w| w.workload == policy.workload && w.kind == policy.kind);
    let told = of_cluster.map(|w| ReplicaCount { ready: w.ready, desired: w.desired });
    told.or_else(|| policy.last.as_ref().map(|last| ReplicaCount { ready: last.ready, desired: last.to }))
}

/// The signal that decided.
fn winner(record: &DecisionRecord) -> Option<&SignalRecord> {
    let name = record.winner.as_ref()?;
    record.signals.iter().find(|signal| signal.signal == *name)
}

/// A reading in few characters: `0.42`, `63`, `91.5`, `1200`.
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 1_000.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    let written = format!("{value:.digits$}");
    if digits == 0 { written } else { written.trim_end_matches('0').trim_end_matches('.').to_owned() }
}

fn reading(record: &DecisionRecord, with_name: bool) -> String {
    let Some(signal) = winner(record) else { return "no signal".to_owned() };
    let value = signal.value.map_or_else(|| "no value".to_owned(), number);
    let name = if with_name { format!("{} ", signal.signal) } else { String::new() };
    format!("{name}{value} of {}", number(signal.target))
}

fn style(app: &App, rank: Rank) -> Style {
    match rank {
        Rank::Blind => app.theme.health(Health::Degraded),
        Rank::Paused | Rank::AtLimit => app.theme.amber(),
        Rank::Changes => app.theme.accent(),
        Rank::Holds => Style::new(),
        Rank::Off => app.theme.dim(),
    }
}

/// The columns of a table of this width: name, mode, limits, replicas, decision, reading; 0 where there is no room.
fn columns(width: usize) -> [usize; 6] {
    match width {
        0..COLUMNS_FOR_SIGNALS => [(width / 4).min(12), 9, 0, 5, 0, 0],
        COLUMNS_FOR_SIGNALS..COLUMNS_FOR_MESSAGES => [(width / 6).min(14), 9, 5, 5, 11, 12],
        _ => [16, 9, 6, 5, 14, 28],
    }
}

fn row(app: &App, policy: &PolicyStatus, width: usize) -> Line<'static> {
    let [of_name, of_mode, of_limits, of_replicas, of_decision, of_reading] = columns(width);
    let (now_ms, dim) = (app.picture_now_ms(), app.theme.dim());
    let rank = rank(policy, now_ms);
    let mode_style = if policy.paused { app.theme.amber() } else { Style::new() };
    let count = replicas(app, policy).map_or_else(|| "-".to_owned(), |r| format!("{}/{}", r.ready, r.desired));
    let mut cells = Cells::default().left(&label(app, &policy.policy), of_name, app.theme.title()).left(
        mode(policy),
        of_mode,
        mode_style,
    );
    if of_limits > 0 {
        cells = cells.right(&format!("{}-{}", policy.min, policy.max), of_limits, dim);
    }
    cells = cells.right(&count, of_replicas, Style::new());
    let Some(last) = &policy.last else {
        let why = if policy.mode == Mode::Off { "Off: nothing is evaluated" } else { "not evaluated yet" };
        return cells.rest(why, width, dim).line();
    };
    if of_decision == 0 {
        return cells.rest(&decisions::change(last), width, style(app, rank)).line();
    }
    let old_style = if is_old(last, now_ms) { app.theme.amber() } else { dim };
    let is_wide = width >= COLUMNS_FOR_MESSAGES;
    cells = cells
        .left(&decisions::change(last), of_decision, style(app, rank))
        .left(&reading(last, is_wide), of_reading, Style::new())
        .right(&text::age(now_ms.saturating_sub(last.at_ms)), 4, old_style);
    if is_wide {
        cells = cells.left(&last.reason, 22, style(app, rank));
        return cells.rest(&last.message, width, Style::new()).line();
    }
    cells.rest(&last.reason, width, style(app, rank)).line()
}

fn head(app: &App, width: usize) -> Line<'static> {
    let [of_name, of_mode, of_limits, of_replicas, of_decision, of_reading] = columns(width);
    let dim = app.theme.dim();
    let mut head = Cells::default().left("POLICY", of_name, dim).left("MODE", of_mode, dim);
    if of_limits > 0 {
        head = head.right("LIMIT", of_limits, dim);
    }
    head = head.right("READY", of_replicas, dim);
    if of_decision == 0 {
        return head.rest("DECISION", width, dim).line();
    }
    head = head.left("DECISION", of_decision, dim).left("SIGNAL", of_reading, dim).right("AGO", 4, dim);
    if width >= COLUMNS_FOR_MESSAGES {
        head = head.left("REASON", 22, dim);
    }
    head.rest("WHY", width, dim).line()
}

/// How far the latest change has come, and why one was refused.
pub fn told(app: &App, width: usize) -> Vec<Line<'static>> {
    let Some(latest) = app.change.as_ref().filter(|latest| latest.is_told(app.now_ms)) else { return Vec::new() };
    let style = match &latest.result {
        Some(Err(_)) => app.theme.bad(),
        _ => app.theme.accent(),
    };
    let words = latest.words(&label(app, &latest.change.policy));
    let lines = text::wrap(&words, width.saturating_sub(2), 4);
    lines.into_iter().map(|line| Line::styled(format!(" {line}"), style)).collect()
}

/// The list.
pub fn list(app: &App, width: usize) -> Body<'_> {
    let rows = shown(app);
    let none = match app.place().filter.as_str() {
        "" => "the autoscaler has no policies: write a ScalingPolicy (README, Policies), or start it with --policies"
            .to_owned(),
        filter => format!("no policy passes the filter {filter:?}; Esc drops it"),
    };
    let mut lines = told(app, width);
    lines.push(head(app, width));
    Body {
        head: lines,
        lines: Lines::Rows(rows.len(), Box::new(move |at| row(app, rows[at], width))),
        empty: nothing(&app.picture.scaling, &none),
        notice: notice("scaling", &app.picture.scaling, app.picture_now_ms()),
    }
}

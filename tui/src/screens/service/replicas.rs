//! A service's replicas: those that are not well first, where they run, what they have, how often they were restarted and why.

use std::collections::BTreeMap;

use protocol::scaling::{ContainerResources, ReplicaStatus, WorkloadStatus};
use ratatui::style::Style;
use ratatui::text::Line;

use crate::app::App;
use crate::health::Health;
use crate::screens::service::title;
use crate::screens::{nothing, services};
use crate::text;
use crate::triage::{self, Row};
use crate::widgets::Cells;

/// From this width on there is room for the node beside a replica.
const WIDTH_FOR_NODE: usize = 110;
/// From this width on there is room for a message beside a replica too.
const WIDTH_FOR_MESSAGE: usize = 130;
/// Nodes named in the heading; more are counted.
const NODES_MAX: usize = 3;

/// Replicas looked at for what most of them have: every one is compared with every other.
const REPLICAS_COMPARED: usize = 50;

/// The part of the page.
pub fn lines(app: &App, row: &Row, width: usize) -> Vec<Line<'static>> {
    let heading = format!("Replicas {}", services::replicas(app, row));
    let Some(workload) = triage::workload(&app.picture, &row.key) else {
        let mut lines = title(app, &heading).to_vec();
        lines.push(Line::raw(text::cut(&format!("  {}", nothing(&app.picture.workloads, "not known")), width)));
        return lines;
    };
    let nodes = nodes(workload);
    let heading = if nodes.is_empty() { heading } else { format!("{heading} on {nodes}") };
    let mut lines = title(app, &text::cut(&heading, width)).to_vec();
    let usual = usual_resources(workload);
    for container in usual {
        lines.push(Line::styled(text::cut(&format!("  each {}", words(container)), width), app.theme.dim()));
    }
    if !workload.rollout.is_empty() {
        wrapped(&mut lines, &format!("rollout: {}", workload.rollout), 2, width, app.theme.amber());
    }
    if !workload.conflicts.is_empty() {
        let others = text::list(&workload.conflicts, 3);
        wrapped(&mut lines, &format!("steered by others, so left alone: {others}"), 2, width, app.theme.amber());
    }
    let mut replicas: Vec<&ReplicaStatus> = workload.replicas.iter().collect();
    replicas.sort_by_key(|replica| (replica.ready, std::cmp::Reverse(replica.restarts)));
    for replica in replicas {
        lines.extend(replica_lines(app, replica, usual, width));
    }
    lines
}

fn replica_lines(app: &App, replica: &ReplicaStatus, usual: &[ContainerResources], width: usize) -> Vec<Line<'static>> {
    let (word, health) = if replica.ready { ("ready", Health::Healthy) } else { ("not ready", Health::Degraded) };
    let style = app.theme.health(health);
    let restarts = text::count(replica.restarts as usize, "restart");
    let (restarts, restarts_style) = match replica.restarts {
        0 => (restarts, app.theme.dim()),
        _ => (format!("{} {restarts}", app.theme.shape(Health::Degraded)), app.theme.amber()),
    };
    let age = text::age((replica.age_seconds.clamp(0.0, 1e12) * 1_000.0) as i64);
    let mut cells = Cells::default()
        .left(&format!("  {}", replica.name), (width / 3).clamp(12, 34), Style::new())
        .left(word, 9, style)
        .left(&replica.state, 16, style)
        .left(&restarts, 13, restarts_style)
        .left(&age, 4, app.theme.dim());
    if width >= WIDTH_FOR_NODE {
        cells = cells.left(&replica.node, 18, app.theme.dim());
    }
    let fits = width >= WIDTH_FOR_MESSAGE && text::width(&replica.message) <= width.saturating_sub(100);
    let beside = if fits { replica.message.as_str() } else { "" };
    let mut lines = vec![cells.rest(beside, width, app.theme.bad()).line()];
    if !fits && !replica.message.is_empty() {
        wrapped(&mut lines, &replica.message, 4, width, app.theme.bad());
    }
    if !replica.resize.is_empty() {
        wrapped(&mut lines, &replica.resize, 4, width, app.theme.amber());
    }
    if replica.resources != usual {
        for container in &replica.resources {
            wrapped(&mut lines, &format!("has {}", words(container)), 4, width, app.theme.amber());
        }
    }
    lines
}

fn wrapped(lines: &mut Vec<Line<'static>>, content: &str, indent: usize, width: usize, style: Style) {
    for line in text::wrap(content, width.saturating_sub(indent + 1), 3) {
        lines.push(Line::styled(format!("{}{line}", " ".repeat(indent)), style));
    }
}

/// `node-a`, or `node-a 2, node-b 1`; empty where there are no nodes.
fn nodes(workload: &WorkloadStatus) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for replica in workload.replicas.iter().filter(|replica| !replica.node.is_empty()) {
        *counts.entry(&replica.node).or_default() += 1;
    }
    if let (Some((only, _)), 1) = (counts.first_key_value(), counts.len()) {
        return (*only).to_owned();
    }
    let mut ranked: Vec<(&str, usize)> = counts.into_iter().collect();
    ranked.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let named: Vec<String> = ranked.iter().map(|(node, count)| format!("{node} {count}")).collect();
    text::list(&named, NODES_MAX)
}

/// What most replicas have; a replica that has something else says so.
fn usual_resources(workload: &WorkloadStatus) -> &[ContainerResources] {
    let all = || workload.replicas.iter().take(REPLICAS_COMPARED).map(|replica| replica.resources.as_slice());
    let alike = |resources: &&[ContainerResources]| all().filter(|other| other == resources).count();
    all().filter(|resources| !resources.is_empty()).max_by_key(alike).unwrap_or_default()
}

/// `order: cpu 100m, limit 250m · memory 48Mi, limit 128Mi`.
fn words(container: &ContainerResources) -> String {
    let ContainerResources { container, cpu_request, cpu_limit, memory_request, memory_limit } = container;
    let pair = |name: &str, request: &str, limit: &str| match (request, limit) {
        ("", "") => format!("{name} not set"),
        (request, "") => format!("{name} {request}, no limit"),
        ("", limit) => format!("{name} limit {limit}"),
        (request, limit) => format!("{name} {request}, limit {limit}"),
    };
    let (cpu, memory) = (pair("cpu", cpu_request, cpu_limit), pair("memory", memory_request, memory_limit));
    format!("{container}: {cpu} · {memory}")
}

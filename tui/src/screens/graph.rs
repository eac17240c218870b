//! Who calls whom, layer below layer; calls that fail, and everybody's part in a fault, are marked in words.

use protocol::faults::Role;
use protocol::graph::Red;
use ratatui::style::Style;
use ratatui::text::Line;

use crate::app::App;
use crate::filter;
use crate::health::Health;
use crate::layers::Branch;
use crate::roles;
use crate::screens::services::ROLE_COLUMNS;
use crate::screens::suspects::role_style;
use crate::screens::{Body, Lines, edge_word, error_style, nothing, notice, state};
use crate::text;
use crate::widgets::Cells;

/// The lines that pass the filter.
pub fn shown(app: &App) -> Vec<&Branch> {
    let filter = &app.place().filter;
    let searched = |branch: &&Branch| {
        let word = branch.edge.as_ref().map_or("", |edge| edge_word(app, edge).1);
        let health = health_of(app, &branch.service).map_or("", Health::word);
        let role = role_of(app, &branch.service).map_or("", Role::word);
        filter.is_empty() || filter::passes(filter, &format!("{} {word} {health} {role}", branch.service))
    };
    app.branches.iter().filter(searched).collect()
}

fn health_of(app: &App, service: &str) -> Option<Health> {
    app.row_named(service).map(|r| r.assessment.health)
}

/// Peers that send no spans have a part too.
fn role_of(app: &App, service: &str) -> Option<Role> {
    roles::part(app.suspicion()?, service).map(|part| part.role)
}

/// From this width on there is room for the slowest calls beside the roles.
const WIDTH_FOR_BOTH: usize = 100;

/// Which of its columns a width has room for.
#[derive(Clone, Copy)]
struct Columns {
    name: usize,
    role: bool,
    p99: bool,
}

/// The lines.
pub fn body(app: &App, width: usize) -> Body<'_> {
    let branches = shown(app);
    let role = app.suspicion().is_some();
    let columns = Columns { name: (width / 3).clamp(14, 34), role, p99: !role || width >= WIDTH_FOR_BOTH };
    let dim = app.theme.dim();
    let mut head = Cells::default().left("CALLER AND CALLEES", columns.name, dim).left("HEALTH", 10, dim);
    if columns.role {
        head = head.left("ROLE", ROLE_COLUMNS, dim);
    }
    head = head.right("CALLS/s", 7, dim).right("ERR", 6, dim);
    if columns.p99 {
        head = head.right("P99", 6, dim);
    }
    let head = head.rest("CALLS", width, dim);
    let none = "no calls between services were seen yet: traces make the graph";
    Body {
        head: vec![head.line()],
        lines: Lines::Rows(branches.len(), Box::new(move |at| line(app, branches[at], columns, width))),
        empty: nothing(&app.picture.graph, none),
        notice: notice("graph", &app.picture.graph, app.picture_now_ms()),
    }
}

fn line(app: &App, branch: &Branch, columns: Columns, width: usize) -> Line<'static> {
    let health = health_of(app, &branch.service);
    let stem = branch.stem.chars().count().min(columns.name.saturating_sub(8));
    let stem: String = branch.stem.chars().skip(branch.stem.chars().count() - stem).collect();
    let mut cells = Cells::default().left(&format!("{stem}{}", branch.service), columns.name, app.theme.title()).left(
        &health.map_or_else(|| "outside".to_owned(), |h| state(app, h)),
        10,
        health.map_or(app.theme.dim(), |h| app.theme.health(h)),
    );
    if columns.role {
        let role = role_of(app, &branch.service);
        let (word, style) = role.map_or(("-", app.theme.dim()), |role| (role.word(), role_style(app, role)));
        cells = cells.left(word, ROLE_COLUMNS, style);
    }
    let (red, by_caller) = match branch.edge {
        Some(red) => (red, true),
        None => (own_red(app, &branch.service), false),
    };
    let (edge_health, word) = edge_word(app, &red);
    let caller = &branch.caller;
    let words = match (by_caller, word) {
        (false, _) => app.row_named(&branch.service).map_or("", |r| &r.assessment.why).to_owned(),
        (true, "FAILING" | "degraded") => {
            format!("{word}: {} of the calls from {caller}", text::percent(red.error_ratio))
        }
        (true, word) => word.to_owned(),
    };
    let words = if branch.is_repeated { format!("{words} (its calls: see above)") } else { words };
    cells = cells.right(&text::rate(red.rate), 7, Style::new()).right(
        &text::percent(red.error_ratio),
        6,
        error_style(app, red.error_ratio),
    );
    if columns.p99 {
        cells = cells.right(&text::millis(red.p99_ms), 6, Style::new());
    }
    cells.rest(&words, width, app.theme.health(edge_health)).line()
}

fn own_red(app: &App, service: &str) -> Red {
    let graph = app.picture.graph.data.as_ref();
    graph.and_then(|g| g.nodes.iter().find(|n| n.service == service)).map(|n| n.red).unwrap_or_default()
}

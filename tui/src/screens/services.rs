//! The list of services, worst first, with the reason of the chosen one and the customers' journeys below.

use std::cmp::Ordering;

use protocol::faults::Role;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::app::{App, ServiceSort};
use crate::filter;
use crate::health::{ERRORS_DEGRADED, Health};
use crate::picture::{Cpu, ReplicaCount};
use crate::screens::suspects::role_style;
use crate::screens::{Body, Lines, error_style, nothing, notice, state};
use crate::text;
use crate::triage::{self, Row, worst_first};
use crate::verdict;
use crate::widgets::{Cells, sparkline};

/// A namespace and a name of usual lengths; more would leave no room for why.
const NAME_COLUMNS_MAX: usize = 32;

/// The longest word for a role.
pub const ROLE_COLUMNS: usize = 10;

/// Which columns there is room for.
struct Columns {
    name: usize,
    role: bool,
    rate: bool,
    quantiles: bool,
    spark: usize,
    replicas: bool,
    cpu: bool,
    why: bool,
}

impl Columns {
    /// `longest` is what the longest name of a row takes: with a namespace in front it is long. Roles, where anybody has one,
    /// take the room of the trend.
    fn of(width: usize, longest: usize, has_roles: bool) -> Self {
        match width {
            0..56 => Self {
                name: width.saturating_sub(29).clamp(6, 20),
                role: false,
                rate: false,
                quantiles: false,
                spark: 0,
                replicas: false,
                cpu: false,
                why: false,
            },
            56..110 => Self {
                name: 15 + width.saturating_sub(80).min(9),
                role: has_roles,
                rate: true,
                quantiles: width >= if has_roles { 80 } else { 72 },
                spark: if has_roles { 0 } else { 8 + width.saturating_sub(90).min(12) },
                replicas: true,
                cpu: false,
                why: false,
            },
            _ => Self {
                name: longest.clamp(20, NAME_COLUMNS_MAX),
                role: has_roles,
                rate: true,
                quantiles: true,
                spark: if has_roles { 10 } else { 20 },
                replicas: true,
                cpu: true,
                why: true,
            },
        }
    }
}

/// The rows that pass the filter, in the order chosen.
pub fn sorted(app: &App) -> Vec<&Row> {
    let filter = &app.place().filter;
    let searched = |r: &&Row| {
        let assessment = &r.assessment;
        filter.is_empty()
            || filter::passes(
                filter,
                &format!("{} {} {} {}", r.name, assessment.health.word(), role_word(r), assessment.why),
            )
    };
    let mut rows: Vec<&Row> = app.listed().filter(searched).collect();
    let (sort, is_reversed) = app.service_sort;
    let descending = |a: Option<f64>, b: Option<f64>| b.unwrap_or(-1.0).total_cmp(&a.unwrap_or(-1.0));
    let compare = |a: &Row, b: &Row| -> Ordering {
        match sort {
            ServiceSort::Health => worst_first(a, b),
            ServiceSort::Name => a.key.cmp(&b.key),
            ServiceSort::Rate => b.red.rate.total_cmp(&a.red.rate),
            ServiceSort::Errors => b.red.error_ratio.total_cmp(&a.red.error_ratio),
            ServiceSort::P50 => descending(a.red.p50_ms, b.red.p50_ms),
            ServiceSort::P95 => descending(a.red.p95_ms, b.red.p95_ms),
            ServiceSort::P99 => descending(a.red.p99_ms, b.red.p99_ms),
        }
        .then_with(|| a.key.cmp(&b.key))
    };
    rows.sort_by(|a, b| if is_reversed { compare(b, a) } else { compare(a, b) });
    rows
}

fn role_word(row: &Row) -> &'static str {
    row.role.map_or("", Role::word)
}

/// The table.
pub fn body(app: &App, width: usize) -> Body<'_> {
    let rows = sorted(app);
    let longest = rows.iter().map(|row| text::width(&row.name)).max().unwrap_or(0);
    let columns = Columns::of(width, longest, app.suspicion().is_some());
    let filtered = format!("no service passes the filter {:?}; Esc drops it", app.place().filter);
    let none = if app.listed().next().is_none() { "no service has served a request yet" } else { &filtered };
    Body {
        head: vec![head(app, &columns)],
        lines: Lines::Rows(rows.len(), Box::new(move |at| line(app, rows[at], &columns, width))),
        empty: nothing(&app.picture.metrics, none),
        notice: notice("metrics", &app.picture.metrics, app.picture_now_ms()),
    }
}

fn head(app: &App, columns: &Columns) -> Line<'static> {
    let (sort, is_reversed) = app.service_sort;
    let style = app.theme.dim();
    let title = |name: &str, by: ServiceSort| {
        let mark = if is_reversed { "↑" } else { "↓" };
        if sort == by { format!("{name}{mark}") } else { name.to_owned() }
    };
    let mut cells = Cells::default().left(&title("SERVICE", ServiceSort::Name), columns.name, style).left(
        &title("HEALTH", ServiceSort::Health),
        10,
        style,
    );
    if columns.role {
        cells = cells.left("ROLE", ROLE_COLUMNS, style);
    }
    if columns.rate {
        cells = cells.right(&title("REQ/s", ServiceSort::Rate), 6, style);
    }
    cells = cells.right(&title("ERR", ServiceSort::Errors), 6, style);
    if columns.quantiles {
        cells = cells.right(&title("P50", ServiceSort::P50), 6, style).right(&title("P95", ServiceSort::P95), 6, style);
    }
    cells = cells.right(&title("P99", ServiceSort::P99), 6, style);
    if columns.spark > 0 {
        cells = cells.left("TREND", columns.spark, style);
    }
    if columns.replicas {
        cells = cells.left("READY", 6, style);
    }
    if columns.cpu {
        cells = cells.right("CPU", 5, style);
    }
    if columns.why {
        cells = cells.free("WHY", style);
    }
    cells.line()
}

fn line(app: &App, row: &Row, columns: &Columns, width: usize) -> Line<'static> {
    let health = row.assessment.health;
    let plain = Style::new();
    let has_metrics = row.red.rate > 0.0 || row.red.p99_ms.is_some();
    let errors = if has_metrics { text::percent(row.red.error_ratio) } else { "-".to_owned() };
    let mut cells = Cells::default().left(&row.name, columns.name, app.theme.title()).left(
        &state(app, health),
        10,
        app.theme.health(health),
    );
    if columns.role {
        let (word, style) = row.role.map_or(("-", app.theme.dim()), |role| (role.word(), role_style(app, role)));
        cells = cells.left(word, ROLE_COLUMNS, style);
    }
    if columns.rate {
        cells = cells.right(&text::rate(row.red.rate), 6, plain);
    }
    cells = cells.right(&errors, 6, error_style(app, row.red.error_ratio));
    if columns.quantiles {
        cells = cells.right(&text::millis(row.red.p50_ms), 6, plain).right(&text::millis(row.red.p95_ms), 6, plain);
    }
    cells = cells.right(&text::millis(row.red.p99_ms), 6, plain);
    if columns.spark > 0 {
        cells = cells.left(&sparkline(&row.rate_history, columns.spark, app.theme), columns.spark, app.theme.accent());
    }
    if columns.replicas {
        let style = if is_short(row) { app.theme.health(Health::Degraded) } else { plain };
        cells = cells.left(&replicas(app, row), 6, style);
    }
    if columns.cpu {
        cells = cells.right(&cpu_share(row.cpu), 5, plain);
    }
    if columns.why {
        cells = cells.rest(&row.assessment.why, width, app.theme.health(health));
    }
    cells.line()
}

fn is_short(row: &Row) -> bool {
    row.replicas.is_some_and(|r| r.ready < r.desired)
}

/// `2/3`, with an arrow when the number asked for changed of late.
pub fn replicas(app: &App, row: &Row) -> String {
    let Some(ReplicaCount { ready, desired }) = row.replicas else { return "-".to_owned() };
    let arrow = match app.trend(&row.key) {
        Some(true) => " ↑",
        Some(false) => " ↓",
        None => "",
    };
    format!("{ready}/{desired}{arrow}")
}

fn cpu_share(cpu: Option<Cpu>) -> String {
    match cpu {
        Some(Cpu { used, limit }) if limit > 0.0 => text::percent((used / limit * 100.0).round() / 100.0),
        Some(Cpu { used, .. }) => format!("{used:.2}c"),
        None => "-".to_owned(),
    }
}

/// Two lines below the table: why the chosen service is as it is, and how the customers fare.
pub fn detail(app: &App, width: usize) -> Vec<Line<'static>> {
    let rows = sorted(app);
    let chosen = rows.get(app.place().index).map(|row| {
        let why = match row.assessment.why.as_str() {
            "" => "nothing is wrong",
            why => why,
        };
        let cpu = match row.cpu {
            Some(Cpu { used, limit }) if limit > 0.0 => format!(" · cpu {used:.2} of {limit:.2} cores"),
            _ => String::new(),
        };
        Line::styled(text::cut(&format!("{}: {why}{cpu}", row.name), width), app.theme.health(row.assessment.health))
    });
    vec![chosen.unwrap_or_default(), journeys(app, width)]
}

/// What customers get, journey by journey, as many as fit.
fn journeys(app: &App, width: usize) -> Line<'static> {
    let Some(metrics) = app.picture.metrics.data.as_ref().filter(|m| !m.journeys.is_empty()) else {
        return Line::default();
    };
    let is_stale = triage::is_stale(&app.picture, app.picture_now_ms());
    let listed: Vec<&Row> = app.rows.iter().filter(|row| row.is_listed()).collect();
    let cells: Vec<(String, Health)> = metrics
        .journeys
        .iter()
        .map(|(name, journey)| {
            let (health, word) = match verdict::journey_health(journey) {
                _ if is_stale => (Health::Unknown, "unknown".to_owned()),
                _ if verdict::is_waiting(name, journey, &listed) => (Health::Degraded, "pending".to_owned()),
                Health::Healthy => (Health::Healthy, "well".to_owned()),
                Health::Idle => (Health::Idle, "idle".to_owned()),
                health if verdict::is_slow(journey) && journey.error_ratio < ERRORS_DEGRADED => {
                    (health, "slow".to_owned())
                }
                health => (health, format!("{} err", text::percent(journey.error_ratio))),
            };
            let p99 = journey.p99_ms.filter(|_| width >= 120 && !is_stale);
            let p99 = p99.map(|ms| format!(" p99 {}", text::millis(Some(ms)))).unwrap_or_default();
            (text::clean(&format!("{} {name} {word}{p99}", app.theme.shape(health))), health)
        })
        .collect();
    let label = "journeys  ";
    let needed: usize = cells.iter().map(|(content, _)| text::width(content) + 2).sum();
    let label = if needed + label.len() <= width + 2 { label } else { "" };
    let mut spans = vec![Span::styled(label, app.theme.dim())];
    let mut used = label.len();
    for (content, health) in cells {
        used += text::width(&content);
        if used > width {
            break;
        }
        used += 2;
        spans.extend([Span::styled(content, app.theme.health(health)), Span::raw("  ")]);
    }
    Line::from(spans)
}

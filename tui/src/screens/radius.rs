//! The blast radius of a service: who reaches it, what customers have at stake, what is safe.

use protocol::faults::{Caller, JourneyRole, Role};
use ratatui::style::Style;
use ratatui::text::Line;

use crate::app::App;
use crate::health::{ERRORS_DEGRADED, Health};
use crate::picture::ServiceKey;
use crate::radius::{self, Radius, Share, Stake};
use crate::roles;
use crate::screens::suspects::role_style;
use crate::screens::{Body, Lines, nothing, notice, seems_well, state};
use crate::text;
use crate::widgets::Cells;

/// Lines for a list of names: a screen of 80 columns then holds every service of a shop.
const LINES_OF_NAMES: usize = 3;

/// The page.
pub fn body(app: &App, key: &ServiceKey, width: usize) -> Body<'static> {
    let graph = &app.picture.graph;
    let mut found = radius::radius(&key.name, graph.data.as_deref(), app.faults());
    found.safe_services.retain(|service| seems_well(app, service));
    if graph.data.is_none() && found.callers.is_empty() {
        return Body { empty: nothing(graph, ""), ..Body::default() };
    }
    let mut lines = heading(app, key, &found, width);
    section(app, &mut lines, &format!("Reaches {}", text::count(found.callers.len(), "caller")));
    if found.callers.is_empty() {
        lines.push(Line::styled("  nobody is seen to call it", app.theme.dim()));
    }
    lines.extend(found.callers.iter().map(|caller| caller_line(app, caller, width)));
    section(app, &mut lines, "At stake at the front door");
    lines.extend(stakes(app, &found, width));
    section(app, &mut lines, "Safe: does not come by it, and is well");
    names(app, &mut lines, "services", &found.safe_services, width);
    names(app, &mut lines, "operations", &found.safe_operations, width);
    Body { lines: Lines::Page(lines), notice: notice("graph", graph, app.picture_now_ms()), ..Body::default() }
}

fn heading(app: &App, key: &ServiceKey, found: &Radius, width: usize) -> Vec<Line<'static>> {
    let suspect = app.suspicion().and_then(|faults| roles::suspect(faults, &key.name));
    let (words, style) = match suspect {
        Some(suspect) => {
            let how = roles::is_broken(suspect.fault);
            let (since, sure) = (text::clock(suspect.since_ms), text::percent(suspect.score));
            (format!("{} {how} since {since}, {sure} sure: whom it hurts", key.name), app.theme.health(Health::Failing))
        }
        None => (format!("{} is not suspected: whom it would hurt", key.name), app.theme.title()),
    };
    let share = match found.share {
        Share::Usual(share) => format!("{} of the front door's requests usually come by it", text::percent(share)),
        Share::Estimated(share) => {
            format!(
                "about {} of the front door's requests come by it, going by the rates of calls",
                text::percent(share)
            )
        }
        Share::Unknown => "how much of the front door's traffic comes by it is not known".to_owned(),
    };
    [(words, style), (share, Style::new())].map(|(words, style)| Line::styled(text::cut(&words, width), style)).to_vec()
}

fn section(app: &App, lines: &mut Vec<Line<'static>>, title: &str) {
    lines.extend([Line::default(), Line::styled(title.to_owned(), app.theme.title())]);
}

fn caller_line(app: &App, caller: &Caller, width: usize) -> Line<'static> {
    let row = app.row_named(&caller.service);
    let health = row.map(|row| row.assessment.health);
    let role = app.suspicion().and_then(|faults| roles::part(faults, &caller.service)).map(|part| part.role);
    let near = if caller.distance == 1 { "calls it".to_owned() } else { format!("{} calls away", caller.distance) };
    let mut cells = Cells::default()
        .left(&format!("  {}", caller.service), (width / 4).clamp(10, 30), Style::new())
        .left(&near, 13, app.theme.dim())
        .left(
            &health.map_or_else(|| "outside".to_owned(), |health| state(app, health)),
            10,
            health.map_or(app.theme.dim(), |health| app.theme.health(health)),
        );
    if let Some(role) = role {
        cells = cells.left(role.word(), 10, role_style(app, role));
    }
    cells.rest(row.map_or("", |row| &row.assessment.why), width, Style::new()).line()
}

fn stakes(app: &App, found: &Radius, width: usize) -> Vec<Line<'static>> {
    let Some(at_stake) = &found.at_stake else {
        let doors = text::list(&found.doors, 4);
        let words = match found.doors.is_empty() {
            true => "  no service that customers reach depends on it, as far as is seen".to_owned(),
            false => format!("  by {doors}; which of its operations is told of suspects only"),
        };
        return vec![Line::styled(text::cut(&words, width), app.theme.dim())];
    };
    if at_stake.is_empty() {
        return vec![Line::styled("  none of its operations usually comes by it", app.theme.dim())];
    }
    at_stake.iter().map(|stake| stake_line(app, stake, width)).collect()
}

fn stake_line(app: &App, stake: &Stake, width: usize) -> Line<'static> {
    let (word, health) = match &stake.fares {
        None => ("nobody asks for it now".to_owned(), Health::Idle),
        Some(journey) => fares(journey),
    };
    let rate = stake.fares.as_ref().map(|journey| format!("{}/s", text::rate(journey.rate))).unwrap_or_default();
    Cells::default()
        .left(&format!("  {}", stake.name), (width / 2).clamp(16, 60), Style::new())
        .right(&rate, 7, app.theme.dim())
        .rest(&format!("{} {word}", app.theme.shape(health)), width, app.theme.health(health))
        .line()
}

fn fares(journey: &JourneyRole) -> (String, Health) {
    match (journey.role, journey.error_ratio) {
        (Role::Victim, errors) if errors >= ERRORS_DEGRADED => {
            (format!("{} fail", text::percent(errors)), Health::Failing)
        }
        (Role::Victim, _) => ("late".to_owned(), Health::Degraded),
        _ => ("served all the same".to_owned(), Health::Healthy),
    }
}

fn names(app: &App, lines: &mut Vec<Line<'static>>, what: &str, names: &[String], width: usize) {
    if names.is_empty() {
        return;
    }
    let count = format!("  {} {what}: ", names.len());
    let wrapped = text::wrap(&names.join(", "), width.saturating_sub(count.len() + 1), LINES_OF_NAMES);
    for (at, line) in wrapped.iter().enumerate() {
        let before = if at == 0 { count.clone() } else { " ".repeat(count.len()) };
        lines.push(Line::styled(format!("{before}{line}"), app.theme.health(Health::Healthy)));
    }
}

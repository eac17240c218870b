//! Who is suspected: the lines on the opening screen, and the screen of its own with every piece of evidence, who suffers and
//! what is safe. Judges nothing: the collector does.

use protocol::faults::{Evidence, JourneyRole, Role, ServiceRole, Suspect, Watch};
use ratatui::style::Style;
use ratatui::text::Line;

use crate::app::{App, Exhibit};
use crate::filter;
use crate::health::{ERRORS_DEGRADED, Health};
use crate::picture::{Freshness, TraceWish};
use crate::roles;
use crate::screens::{Body, Lines, nothing, notice, seems_well};
use crate::text;
use crate::widgets::Cells;

/// Names in one list of a row; more are counted.
const NAMES_MAX: usize = 4;
/// Names in the last rows, which tell what is safe: as many as fit into a wide one.
const SAFE_MAX: usize = 12;

/// Said where the sentence on top is not the collector's.
const ALONE: &str = "judged by this screen alone";

/// One row of the screen.
pub enum Row<'a> {
    /// A suspect, with its rank.
    Suspect(usize, &'a Suspect),
    /// A piece of evidence against it, with its number.
    Evidence(&'a Suspect, usize, &'a Evidence),
    /// A service that suffers, or is kept from a suspect.
    Affected(&'a ServiceRole),
    /// An operation of the front door that customers see fail.
    Journey(&'a JourneyRole),
    /// What is safe: of services, or of the front door's operations.
    Safe(&'static str, String),
}

impl Row<'_> {
    /// Stays the same while other rows come and go.
    pub fn id(&self) -> String {
        match self {
            Self::Suspect(_, suspect) => suspect.service.clone(),
            Self::Evidence(suspect, at, evidence) => format!("{}/{at}/{}", suspect.service, evidence.kind),
            Self::Affected(part) => format!("affected/{}", part.service),
            Self::Journey(journey) => format!("journey/{}/{}", journey.service, journey.operation),
            Self::Safe(what, _) => format!("safe/{what}"),
        }
    }

    /// The service that it is about.
    pub fn service(&self) -> Option<&str> {
        match self {
            Self::Suspect(_, suspect) | Self::Evidence(suspect, ..) => Some(&suspect.service),
            Self::Affected(part) => Some(&part.service),
            Self::Journey(journey) => Some(&journey.service),
            Self::Safe(..) => None,
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Suspect(_, suspect) => format!("{} culprit {}", suspect.service, roles::is_broken(suspect.fault)),
            Self::Evidence(suspect, _, evidence) => format!("{} {} {}", suspect.service, evidence.kind, evidence.text),
            Self::Affected(part) => format!("{} {} {}", part.service, part.role.word(), part.why),
            Self::Journey(journey) => format!("{} {} {}", journey.service, journey.operation, journey.role.word()),
            Self::Safe(what, names) => format!("safe {what} {names}"),
        }
    }
}

/// The rows that pass the filter: each suspect with its evidence, then whom it hurts, then what is safe.
pub fn shown(app: &App) -> Vec<Row<'_>> {
    let Some(faults) = app.suspicion() else { return Vec::new() };
    let mut rows = Vec::new();
    for (rank, suspect) in faults.suspects.iter().enumerate() {
        rows.push(Row::Suspect(rank + 1, suspect));
        rows.extend(suspect.evidence.iter().enumerate().map(|(at, evidence)| Row::Evidence(suspect, at, evidence)));
    }
    rows.extend(roles::with(faults, Role::Victim).map(Row::Affected));
    rows.extend(roles::with(faults, Role::Isolated).map(Row::Affected));
    let (hurt, well): (Vec<_>, Vec<_>) = faults.journeys.iter().partition(|journey| journey.role == Role::Victim);
    rows.extend(hurt.into_iter().map(Row::Journey));
    let unaffected = roles::with(faults, Role::Unaffected).map(|part| part.service.clone());
    let services = unaffected.filter(|service| seems_well(app, service)).collect();
    let operations = well.into_iter().map(|journey| journey.operation.clone()).collect();
    rows.extend([("services", services), ("operations", operations)].into_iter().filter_map(safe));
    rows.retain(|row| app.place().filter.is_empty() || filter::passes(&app.place().filter, &row.words()));
    rows
}

fn safe<'a>((what, names): (&'static str, Vec<String>)) -> Option<Row<'a>> {
    (!names.is_empty()).then(|| Row::Safe(what, text::list(&names, SAFE_MAX)))
}

/// The piece of evidence under the cursor.
pub fn exhibit(app: &App) -> Option<Exhibit> {
    match shown(app).get(app.place().index)? {
        Row::Evidence(suspect, _, evidence) => Some(Exhibit {
            service: suspect.service.clone(),
            since_ms: suspect.since_ms,
            evidence: (*evidence).clone(),
        }),
        _ => None,
    }
}

/// The style of a part; the word says the same.
pub fn role_style(app: &App, role: Role) -> Style {
    app.theme.health(match role {
        Role::Culprit => Health::Failing,
        Role::Victim => Health::Victim,
        Role::Isolated => Health::Degraded,
        Role::Unaffected => Health::Healthy,
    })
}

/// The screen.
pub fn body(app: &App, width: usize) -> Body<'_> {
    let rows = shown(app);
    let source = &app.picture.faults;
    let none = match (app.faults(), &source.data) {
        (Some(faults), _) if !faults.suspects.is_empty() => {
            format!("nothing passes the filter {:?}; Esc drops it", app.place().filter)
        }
        (_, Some(faults)) => faults.verdict.clone(),
        (_, None) => nothing(source, ""),
    };
    Body {
        lines: Lines::Rows(rows.len(), Box::new(move |at| line(app, &rows[at], width))),
        empty: none,
        notice: notice("suspects", source, app.picture_now_ms()),
        ..Body::default()
    }
}

fn line(app: &App, row: &Row<'_>, width: usize) -> Line<'static> {
    match row {
        Row::Suspect(rank, suspect) => suspect_line(app, *rank, suspect, width),
        Row::Evidence(_, _, evidence) => evidence_line(app, evidence, width),
        Row::Affected(part) => Cells::default()
            .left("  hurts", 8, app.theme.dim())
            .left(&part.service, name_columns(width), app.theme.title())
            .left(part.role.word(), 8, role_style(app, part.role))
            .rest(&because(part), width, Style::new())
            .line(),
        Row::Journey(journey) => {
            let how = match journey.error_ratio {
                errors if errors >= ERRORS_DEGRADED => format!("{} fail", text::percent(errors)),
                _ => "late".to_owned(),
            };
            Cells::default()
                .left("  hurts", 8, app.theme.dim())
                .left(&journey.operation, name_columns(width) + 9, app.theme.title())
                .left(&how, 9, role_style(app, journey.role))
                .rest(&format!("{}/s at {}", text::rate(journey.rate), journey.service), width, Style::new())
                .line()
        }
        Row::Safe(what, names) => Cells::default()
            .left("  safe", 8, app.theme.health(Health::Healthy))
            .left(what, 10, app.theme.dim())
            .rest(names, width, Style::new())
            .line(),
    }
}

/// A row already says who is isolated; what of is in the words.
fn because(part: &ServiceRole) -> String {
    match part.role {
        Role::Isolated => part.why.clone(),
        _ => format!("because of {}: {}", part.because_of, part.why),
    }
}

fn name_columns(width: usize) -> usize {
    (width / 5).clamp(8, 28)
}

fn suspect_line(app: &App, rank: usize, suspect: &Suspect, width: usize) -> Line<'static> {
    let ago = text::age(app.picture_now_ms().saturating_sub(suspect.since_ms));
    let hurt: Vec<String> = app.suspicion().map_or_else(Vec::new, |faults| {
        let is_its = |part: &&ServiceRole| part.because_of == suspect.service;
        roles::with(faults, Role::Victim).filter(is_its).map(|part| part.service.clone()).collect()
    });
    let hurts = if hurt.is_empty() { String::new() } else { format!(", hurts {}", text::list(&hurt, NAMES_MAX)) };
    let since = format!("since {} ({ago})", text::clock(suspect.since_ms));
    Cells::default()
        .right(&rank.to_string(), 2, app.theme.dim())
        .left(&suspect.service, name_columns(width), app.theme.title())
        .left(Role::Culprit.word(), 8, role_style(app, Role::Culprit))
        .left(&format!("{} sure", text::percent(suspect.score)), 9, Style::new())
        .rest(&format!("{} {since}{hurts}", roles::broken(suspect.fault)), width, Style::new())
        .line()
}

fn evidence_line(app: &App, evidence: &Evidence, width: usize) -> Line<'static> {
    let leads_on = evidence.query.is_some() || evidence.traces.as_deref().and_then(TraceWish::from_search).is_some();
    let mark = if leads_on { "›" } else { "·" };
    Cells::default()
        .left("", 2, Style::new())
        .free(mark, app.theme.accent())
        .rest(&evidence.text, width, Style::new())
        .line()
}

/// Two lines below the screen: the row's words whole, or what it leads to.
pub fn detail(app: &App, width: usize) -> Vec<Line<'static>> {
    let rows = shown(app);
    let (whole, indent) = match rows.get(app.place().index) {
        Some(Row::Evidence(_, _, evidence)) => (evidence.text.clone(), 5),
        Some(Row::Affected(part)) => (because(part), name_columns(width) + 19),
        Some(Row::Safe(_, names)) => (names.clone(), 20),
        _ => return Vec::new(),
    };
    if text::width(&whole) + indent > width {
        return text::wrap(&whole, width, 2).into_iter().map(Line::raw).collect();
    }
    let Some(exhibit) = exhibit(app) else { return Vec::new() };
    let over_time = exhibit.evidence.query.iter().map(|query| format!("Enter: over time, {query}"));
    let key = if exhibit.evidence.query.is_some() { "T" } else { "Enter" };
    let traces = exhibit.traces().into_iter().map(|wish| format!("{key}: the traces of {} that show it", wish.service));
    over_time.chain(traces).map(|words| Line::styled(text::cut(&words, width), app.theme.dim())).collect()
}

/// The lines on the opening screen: the suspects and their strongest evidence, or why there are none.
pub fn panel(app: &App, width: usize, lines_max: usize) -> Vec<Line<'static>> {
    let lines_max = lines_max.max(1);
    let Some(faults) = app.suspicion() else {
        let (words, style) = unsuspected(app);
        return vec![Line::styled(text::cut(&words, width), style)];
    };
    let listed = faults.suspects.len().min((lines_max / 2).max(1));
    let mut room = lines_max - listed;
    let mut lines = Vec::new();
    for (rank, suspect) in faults.suspects.iter().take(listed).enumerate() {
        lines.push(suspect_line(app, rank + 1, suspect, width));
        let evidence = suspect.evidence.iter().take(room);
        let evidence: Vec<Line<'static>> = evidence.map(|evidence| evidence_line(app, evidence, width)).collect();
        room -= evidence.len();
        lines.extend(evidence);
    }
    lines
}

/// Why nobody is suspected, and who judged.
fn unsuspected(app: &App) -> (String, Style) {
    let source = &app.picture.faults;
    let trouble = source.trouble_text();
    let (dim, amber) = (app.theme.dim(), app.theme.amber());
    match (source.freshness(app.picture_now_ms()), &source.data) {
        (Freshness::Missing, _) => (format!("{ALONE}: {trouble}"), dim),
        (Freshness::Fresh(_), Some(faults)) if faults.watch == Watch::Blind => {
            (format!("{ALONE}: {}", faults.verdict), dim)
        }
        (Freshness::Fresh(_), Some(_)) if app.rows.iter().any(|row| row.assessment.health == Health::Failing) => {
            ("suspects: none yet; the collector judges seconds once all their spans are in".to_owned(), dim)
        }
        (Freshness::Fresh(_), Some(faults)) => (format!("suspects: {}", faults.verdict), dim),
        (Freshness::Stale(age), _) => {
            let cause = if trouble.is_empty() { String::new() } else { format!(" ({trouble})") };
            (format!("{ALONE}: the collector's verdict is {} old{cause}", text::age(age)), amber)
        }
        (Freshness::Down, _) => (format!("{ALONE}: {trouble}"), amber),
        _ => ("suspects: asking …".to_owned(), dim),
    }
}

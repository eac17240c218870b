//! What the autoscaler decided and why: the list, runs of the same hold folded into one row, and the page of one decision
//! with every signal and guard.

use protocol::scaling::{DecisionRecord, Mode, Outcome};
use ratatui::style::Style;
use ratatui::text::Line;

use crate::app::App;
use crate::filter;
use crate::screens::{Body, Lines, nothing, notice};
use crate::text;
use crate::widgets::Cells;

/// The same decision, taken so many times in a row.
pub struct Run<'a> {
    /// The last of them.
    pub newest: &'a DecisionRecord,
    /// The first of them: it stays the same while the run grows.
    oldest_sequence: u64,
    /// How often.
    pub count: usize,
}

impl Run<'_> {
    /// Stays the same while the run grows.
    pub fn id(&self) -> String {
        self.oldest_sequence.to_string()
    }
}

/// The rows that pass the filter, newest first.
pub fn shown(app: &App) -> Vec<Run<'_>> {
    let Some(scaling) = &app.picture.scaling.data else { return Vec::new() };
    let filter = &app.place().filter;
    let mut runs = runs(scaling.decisions.iter().filter(|d| app.shows_holds || d.outcome != Outcome::Hold));
    runs.retain(|run| {
        let d = run.newest;
        filter::passes(filter, &format!("{} {} {} {}", app.label(&d.workload), outcome_word(d), d.reason, d.message))
    });
    runs
}

/// Records, newest first, with runs of the same hold folded.
pub fn runs<'a>(records: impl Iterator<Item = &'a DecisionRecord>) -> Vec<Run<'a>> {
    let mut runs: Vec<Run<'_>> = Vec::new();
    for record in records {
        // The newest run of this workload goes on if it is the same hold; a change in between ends it.
        let last = runs.iter_mut().rev().find(|run| run.newest.workload == record.workload);
        let is_hold = record.outcome == Outcome::Hold;
        if let Some(run) = last.filter(|run| is_hold && is_same(run.newest, record)) {
            run.oldest_sequence = record.sequence;
            run.count += 1;
            continue;
        }
        runs.push(Run { newest: record, oldest_sequence: record.sequence, count: 1 });
    }
    runs
}

fn is_same(a: &DecisionRecord, b: &DecisionRecord) -> bool {
    (a.outcome, &a.reason, a.from) == (b.outcome, &b.reason, b.from)
}

fn outcome_word(record: &DecisionRecord) -> &'static str {
    match record.outcome {
        Outcome::ScaleUp => "up",
        Outcome::ScaleDown => "down",
        Outcome::Hold => "hold",
    }
}

/// `↑ up 1 → 2`, `= hold 2`.
pub fn change(record: &DecisionRecord) -> String {
    let (from, wish) = (record.from, record.wish);
    match record.outcome {
        Outcome::ScaleUp => format!("↑ up {from} → {wish}"),
        Outcome::ScaleDown => format!("↓ down {from} → {wish}"),
        Outcome::Hold => format!("= hold {from}"),
    }
}

fn style(app: &App, record: &DecisionRecord) -> Style {
    match record.outcome {
        Outcome::ScaleUp | Outcome::ScaleDown => app.theme.accent(),
        Outcome::Hold => Style::new(),
    }
}

/// What became of it, in a word.
fn fate(record: &DecisionRecord) -> &'static str {
    match (record.outcome, record.applied) {
        (Outcome::Hold, _) => "",
        (_, true) => "done",
        (_, false) => "not done",
    }
}

/// One row as cells; the service's page shows it too.
pub fn row(app: &App, record: &DecisionRecord, count: usize, with_name: bool, width: usize) -> Line<'static> {
    let times = if count > 1 { format!("x{count}") } else { String::new() };
    let mut cells = Cells::default().left(&text::clock(record.at_ms), 8, app.theme.dim());
    if with_name {
        cells = cells.left(&app.label(&record.workload), 14.min(width / 4), app.theme.title());
    }
    cells = cells.left(&change(record), 13, style(app, record));
    if width >= 60 {
        cells = cells.left(if count > 1 { &times } else { fate(record) }, 8, app.theme.dim());
    }
    if width >= 110 {
        cells = cells.left(&record.reason, 22, Style::new());
    }
    let message = if record.message.is_empty() { &record.reason } else { &record.message };
    cells.rest(message, width, Style::new()).line()
}

/// The list.
pub fn list(app: &App, width: usize) -> Body<'_> {
    let runs = shown(app);
    let dim = app.theme.dim();
    let mut head =
        Cells::default().left("TIME", 8, dim).left("SERVICE", 14.min(width / 4), dim).left("DECISION", 13, dim);
    if width >= 60 {
        head = head.left("", 8, dim);
    }
    if width >= 110 {
        head = head.left("REASON", 22, dim);
    }
    let none = match (&app.place().filter, app.shows_holds) {
        (filter, _) if !filter.is_empty() => format!("no decision passes the filter {filter:?}; Esc drops it"),
        (_, false) => "no change was decided yet; h shows the decisions to hold".to_owned(),
        (_, true) => "the autoscaler has decided nothing yet".to_owned(),
    };
    Body {
        head: vec![head.rest("WHY", width, dim).line()],
        lines: Lines::Rows(runs.len(), Box::new(move |at| row(app, runs[at].newest, runs[at].count, true, width))),
        empty: nothing(&app.picture.scaling, &none),
        notice: notice("scaling", &app.picture.scaling, app.picture_now_ms()),
    }
}

/// What a mode means.
pub fn mode_words(mode: Mode) -> &'static str {
    match mode {
        Mode::Off => "Off: nothing is evaluated",
        Mode::Recommend => "Recommend: nothing is written",
        Mode::Auto => "Auto: carried out",
        Mode::ScaleUpOnly => "ScaleUpOnly: carried out upwards only",
        Mode::ScaleDownOnly => "ScaleDownOnly: carried out downwards only",
    }
}

/// Adds a text, broken into lines and indented.
pub fn wrapped(lines: &mut Vec<Line<'static>>, content: &str, indent: usize, width: usize, style: Style) {
    for line in text::wrap(content, width.saturating_sub(indent + 1), 8) {
        lines.push(Line::styled(format!("{}{line}", " ".repeat(indent)), style));
    }
}

/// Everything about one decision.
pub fn page(app: &App, record: &DecisionRecord, width: usize) -> Body<'static> {
    let mut lines = vec![Line::styled(
        text::cut(&format!("{} {}", text::clean(&app.label(&record.workload)), change(record)), width),
        style(app, record),
    )];
    wrapped(&mut lines, &record.message, 0, width, Style::new());
    lines.push(Line::default());
    for (name, value) in [
        ("reason", record.reason.clone()),
        ("replicas", format!("{} ready, {} asked for, policy wants {}", record.ready, record.from, record.wish)),
        ("written", if record.applied { format!("yes: {} now", record.to) } else { "no".to_owned() }),
        ("mode", mode_words(record.mode).to_owned()),
        ("policy", format!("{}/{} (o: its page)", record.policy.namespace, record.policy.name)),
        ("record", format!("{} at {} UTC", record.sequence, text::clock(record.at_ms))),
    ] {
        lines.push(Cells::default().left(name, 9, app.theme.dim()).rest(&value, width, Style::new()).line());
    }
    lines.extend(signals(app, record, width));
    lines.extend(guards(app, record, width));
    Body { lines: Lines::Page(lines), ..Body::default() }
}

/// Every signal of a record: its reading, its target, its wish.
pub fn signals(app: &App, record: &DecisionRecord, width: usize) -> Vec<Line<'static>> {
    let title = app.theme.title();
    let mut lines = vec![Line::default(), Line::styled("Signals: what asked for capacity", title)];
    if record.signals.is_empty() {
        lines.push(Line::raw("  none"));
    }
    for signal in &record.signals {
        let won = if record.winner.as_ref() == Some(&signal.signal) { "decided" } else { "" };
        let number = |value: Option<f64>| value.map_or_else(|| "no value".to_owned(), |v| format!("{v:.2}"));
        let wish = signal.wish.map_or_else(|| "cannot say".to_owned(), |w| format!("wants {w}"));
        let age = signal.age_seconds.map_or_else(String::new, |s| format!("{s:.0}s old"));
        let cells = Cells::default()
            .left(&format!("  {}", signal.signal), 24.min(width / 3), Style::new())
            .right(&number(signal.value), 9, Style::new())
            .left(&format!("of {:.2}", signal.target), 11, Style::new())
            .left(&wish, 10, app.theme.accent())
            .left(&age, 8, app.theme.dim());
        lines.push(cells.rest(won, width, title).line());
        wrapped(&mut lines, &signal.note, 4, width, app.theme.dim());
    }
    lines
}

/// Every guard of a record, in order, and what it changed.
pub fn guards(app: &App, record: &DecisionRecord, width: usize) -> Vec<Line<'static>> {
    let heading = Line::styled("Guards: what may hold or shrink it, in order", app.theme.title());
    let mut lines = vec![Line::default(), heading];
    if record.guards.is_empty() {
        lines.push(Line::raw("  none"));
    }
    for guard in &record.guards {
        let did = if guard.before == guard.after {
            format!("{} passes", guard.before)
        } else {
            format!("{} → {}", guard.before, guard.after)
        };
        let changed = if guard.before == guard.after { Style::new() } else { app.theme.amber() };
        let cells = Cells::default()
            .left(&format!("  {}", guard.guard), 24.min(width / 3), Style::new())
            .left(&did, 10, changed);
        lines.push(cells.rest(&guard.note, width, app.theme.dim()).line());
    }
    lines
}

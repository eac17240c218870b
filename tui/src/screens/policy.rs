//! The page of one policy: what it may do, what each signal wishes now, what every guard made of it, what would have to be read for
//! another decision, and what it decided last.

use protocol::scaling::{DecisionRecord, Explanation, ObjectName, Outcome, PolicyStatus, SizingRecord, TurningPoint};
use ratatui::style::Style;
use ratatui::text::Line;

use crate::app::App;
use crate::screens::decisions::{self, wrapped};
use crate::screens::policies::{self, number};
use crate::screens::{Body, Lines, nothing, notice};
use crate::text;
use crate::widgets::Cells;

/// Decisions on the page: the newest few; their own screen has all.
const DECISIONS_SHOWN: usize = 8;

/// The page.
pub fn body(app: &App, name: &ObjectName, width: usize) -> Body<'static> {
    let source = &app.picture.scaling;
    let Some(policy) = policies::find(app, name) else {
        let gone = format!("there is no policy {}/{} any more", text::clean(&name.namespace), text::clean(&name.name));
        return Body { empty: nothing(source, &gone), ..Body::default() };
    };
    let explanation = explanation(app, name);
    let record = newest(policy.last.as_ref(), explanation.map(|e| &e.record));
    let mut lines = heading(app, policy, record, width);
    if let Some(record) = record {
        lines.extend(decisions::signals(app, record, width));
        lines.extend(decisions::guards(app, record, width));
        lines.extend(why_not(app, policy, explanation, width));
    }
    lines.extend(latest(app, name, width));
    Body {
        head: policies::told(app, width),
        lines: Lines::Page(lines),
        notice: notice("scaling", source, app.picture_now_ms()),
        ..Body::default()
    }
}

fn explanation<'a>(app: &'a App, name: &ObjectName) -> Option<&'a Explanation> {
    let explained = app.picture.explanation.data.as_ref()?;
    (explained.policy == *name).then_some(&explained.explanation)
}

fn newest<'a>(a: Option<&'a DecisionRecord>, b: Option<&'a DecisionRecord>) -> Option<&'a DecisionRecord> {
    a.into_iter().chain(b).max_by_key(|record| (record.at_ms, record.sequence))
}

fn heading(app: &App, policy: &PolicyStatus, record: Option<&DecisionRecord>, width: usize) -> Vec<Line<'static>> {
    let (what, style) = if policy.paused {
        ("PAUSED by an operator: it goes on recommending and writes nothing (P resumes it)", app.theme.amber())
    } else {
        (decisions::mode_words(policy.mode), app.theme.title())
    };
    let mut lines = vec![Line::styled(text::cut(what, width), style)];
    let count = policies::replicas(app, policy);
    let count = count.map_or_else(String::new, |r| format!("{} ready of {} asked for, ", r.ready, r.desired));
    let mut facts = vec![
        ("steers", format!("{} {}/{}", policy.kind, policy.workload.namespace, policy.workload.name)),
        ("replicas", format!("{count}{} to {} allowed", policy.min, policy.max)),
    ];
    if policy.paused {
        facts.insert(0, ("mode", decisions::mode_words(policy.mode).to_owned()));
    }
    if let Some(record) = record {
        let ago = text::age(app.picture_now_ms().saturating_sub(record.at_ms));
        let fate = if record.outcome != Outcome::Hold && !record.applied { ", not written" } else { "" };
        facts.push(("decided", format!("{}{fate}, {ago} ago: {}", decisions::change(record), record.reason)));
    }
    for (name, value) in facts {
        lines.push(Cells::default().left(name, 8, app.theme.dim()).rest(&value, width, Style::new()).line());
    }
    match record {
        Some(record) => wrapped(&mut lines, &record.message, 9, width, Style::new()),
        None => lines.push(Line::raw(text::cut("It has decided nothing yet: in mode Off it never does.", width))),
    }
    lines
}

/// In what a turning point of a signal is told.
fn unit(record: &DecisionRecord, signal: &str) -> &'static str {
    let sizing = record.signals.iter().find(|s| s.signal == signal).and_then(|s| s.sizing.as_ref());
    match sizing {
        Some(SizingRecord::Queue { .. }) => " requests/s",
        Some(SizingRecord::Drain { .. }) => " waiting",
        None if signal.ends_with("utilization") => "%",
        None => "",
    }
}

/// What would have to be read for another decision, or to last.
fn why_not(app: &App, policy: &PolicyStatus, explanation: Option<&Explanation>, width: usize) -> Vec<Line<'static>> {
    let mut lines = vec![Line::default(), Line::styled("Why not: what would scale it", app.theme.title())];
    let Some(explanation) = explanation else {
        let words = match app.picture.explanation.trouble_text() {
            "" => "asking …",
            trouble => trouble,
        };
        wrapped(&mut lines, words, 2, width, app.theme.dim());
        return lines;
    };
    let Explanation { record, up, up_note, down, down_note } = explanation;
    let sides = [("more", up, "rises to", "or ", up_note), ("fewer", down, "falls to", "and ", down_note)];
    for (side, points, moves, joined, note) in sides {
        let mut words: Vec<String> = points.iter().map(|point| turning(record, point, moves)).collect();
        words.iter_mut().skip(1).for_each(|words| words.insert_str(0, joined));
        match words.first_mut() {
            Some(first) => first.insert_str(0, "if "),
            None => words.push("no reading would".to_owned()),
        }
        words.extend((!note.is_empty()).then(|| note.clone()));
        words.extend(policy.paused.then(|| "paused: nothing would be written".to_owned()));
        for (at, words) in words.iter().enumerate() {
            let head = if at == 0 { side } else { "" };
            let mut of_words = Vec::new();
            wrapped(&mut of_words, words, 9, width, Style::new());
            if let Some(first) = of_words.first_mut() {
                let content: String = first.spans.iter().map(|span| span.content.trim_start()).collect();
                let head = format!("  {head}");
                *first = Cells::default().left(&head, 8, app.theme.accent()).rest(&content, width, Style::new()).line();
            }
            lines.extend(of_words);
        }
    }
    lines
}

fn turning(record: &DecisionRecord, point: &TurningPoint, moves: &str) -> String {
    let unit = unit(record, &point.signal);
    let now = point.now.map_or_else(|| "nothing is read now".to_owned(), |now| format!("{}{unit} now", number(now)));
    format!("{} {moves} {}{unit} ({now})", point.signal, number(point.value))
}

/// What it decided last.
fn latest(app: &App, name: &ObjectName, width: usize) -> Vec<Line<'static>> {
    let mut lines = vec![Line::default(), Line::styled("Decisions (a: all of them)", app.theme.title())];
    let decided = app.picture.scaling.data.as_ref().map(|scaling| scaling.decisions.as_slice()).unwrap_or_default();
    let runs = decisions::runs(decided.iter().filter(|record| record.policy == *name));
    if runs.is_empty() {
        lines.push(Line::styled("  none yet", app.theme.dim()));
    }
    for run in runs.iter().take(DECISIONS_SHOWN) {
        let mut line = decisions::row(app, run.newest, run.count, false, width.saturating_sub(2));
        line.spans.insert(0, "  ".into());
        lines.push(line);
    }
    lines
}

//! What the cluster tells of a service: newest first, the same thing told again counted rather than repeated.

use protocol::scaling::{EventKind, EventRecord};
use ratatui::style::Style;
use ratatui::text::Line;

use crate::app::App;
use crate::health::Health;
use crate::picture::ServiceKey;
use crate::screens::service::{ROWS_PER_PART, title};
use crate::text;
use crate::widgets::Cells;

/// The part of the page; nothing when there are none.
pub fn lines(app: &App, key: &ServiceKey, width: usize) -> Vec<Line<'static>> {
    let Some(events) = &app.picture.events.data else { return Vec::new() };
    let counted = counted(events.iter().filter(|event| key.is(&event.workload)));
    if counted.is_empty() {
        return Vec::new();
    }
    let mut lines = title(app, "Events").to_vec();
    for Told { event, message, count } in counted.into_iter().take(ROWS_PER_PART) {
        let (mark, style) = match event.kind {
            EventKind::Warning => (app.theme.shape(Health::Degraded), app.theme.amber()),
            EventKind::Normal => (" ", Style::new()),
        };
        let times = if count > 1 { format!("x{count}") } else { String::new() };
        // What warns is told whole.
        let fits = event.kind == EventKind::Normal || text::width(message) <= width.saturating_sub(37);
        lines.push(
            Cells::default()
                .left(&format!("  {}", text::clock(event.at_ms)), 10, app.theme.dim())
                .left(&format!("{mark} {}", event.reason), 20, style)
                .left(&times, 4, app.theme.dim())
                .rest(if fits { message } else { "" }, width, Style::new())
                .line(),
        );
        if !fits {
            for line in text::wrap(message, width.saturating_sub(5), 3) {
                lines.push(Line::styled(format!("    {line}"), app.theme.dim()));
            }
        }
    }
    lines
}

/// An event as it is shown.
#[derive(Debug, PartialEq)]
struct Told<'a> {
    event: &'a EventRecord,
    /// What it says, without how often.
    message: &'a str,
    count: u64,
}

/// Events each once with how often they were told, newest first. A cluster may have counted already: `... (6 times)`.
fn counted<'a>(events: impl Iterator<Item = &'a EventRecord>) -> Vec<Told<'a>> {
    let mut all: Vec<Told<'a>> = Vec::new();
    for event in events {
        let (message, count) = without_count(&event.message);
        let is_same = |told: &&mut Told<'a>| {
            (told.event.kind, &told.event.reason, told.message) == (event.kind, &event.reason, message)
        };
        match all.iter_mut().find(is_same) {
            Some(told) => {
                told.count += count;
                if event.at_ms > told.event.at_ms {
                    told.event = event;
                }
            }
            None => all.push(Told { event, message, count }),
        }
    }
    all.sort_by_key(|told| std::cmp::Reverse(told.event.at_ms));
    all
}

fn without_count(message: &str) -> (&str, u64) {
    let counted = message.strip_suffix(" times)").and_then(|rest| rest.rsplit_once(" ("));
    counted.and_then(|(rest, count)| Some((rest, count.parse().ok()?))).unwrap_or((message, 1))
}

#[cfg(test)]
mod tests {
    use protocol::scaling::ObjectName;

    use super::*;

    #[test]
    fn what_is_told_again_is_counted_whoever_counts() {
        let event = |at_ms, message: &str| EventRecord {
            at_ms,
            workload: ObjectName { namespace: "shop".to_owned(), name: "order".to_owned() },
            kind: EventKind::Warning,
            reason: "BackOff".to_owned(),
            message: message.to_owned(),
        };
        let events =
            [event(9, "back-off (6 times)"), event(7, "started"), event(5, "back-off"), event(3, "no (x times)")];
        let shown: Vec<(i64, &str, u64)> =
            counted(events.iter()).iter().map(|told| (told.event.at_ms, told.message, told.count)).collect();
        assert_eq!(shown, [(9, "back-off", 7), (7, "started", 1), (3, "no (x times)", 1)]);
    }
}

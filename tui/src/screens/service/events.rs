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
    for (event, count) in counted.into_iter().take(ROWS_PER_PART) {
        let (mark, style) = match event.kind {
            EventKind::Warning => (app.theme.shape(Health::Degraded), app.theme.amber()),
            EventKind::Normal => (" ", Style::new()),
        };
        let times = if count > 1 { format!("x{count}") } else { String::new() };
        // What warns is told whole.
        let fits = event.kind == EventKind::Normal || text::width(&event.message) <= width.saturating_sub(37);
        lines.push(
            Cells::default()
                .left(&format!("  {}", text::clock(event.at_ms)), 10, app.theme.dim())
                .left(&format!("{mark} {}", event.reason), 20, style)
                .left(&times, 4, app.theme.dim())
                .rest(if fits { &event.message } else { "" }, width, Style::new())
                .line(),
        );
        if !fits {
            for line in text::wrap(&event.message, width.saturating_sub(5), 3) {
                lines.push(Line::styled(format!("    {line}"), app.theme.dim()));
            }
        }
    }
    lines
}

/// Events as they come, newest first, each once with how often it was told.
fn counted<'a>(events: impl Iterator<Item = &'a EventRecord>) -> Vec<(&'a EventRecord, usize)> {
    let mut counted: Vec<(&EventRecord, usize)> = Vec::new();
    for event in events {
        let is_same = |other: &EventRecord| {
            (other.kind, &other.reason, &other.message) == (event.kind, &event.reason, &event.message)
        };
        match counted.iter_mut().find(|(other, _)| is_same(other)) {
            Some((newest, count)) => {
                *count += 1;
                if event.at_ms > newest.at_ms {
                    *newest = event;
                }
            }
            None => counted.push((event, 1)),
        }
    }
    counted.sort_by_key(|(event, _)| std::cmp::Reverse(event.at_ms));
    counted
}

//! Boxes over a screen: the help, the palette, and the question before a change.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;
use ratatui::widgets::{Block, Clear, Widget};

use crate::app::App;
use crate::change::Change;
use crate::palette;
use crate::screens::{policies, put};
use crate::text;
use crate::widgets::Cells;

/// The widest box: longer lines are hard to read.
const COLUMNS_MAX: u16 = 70;

/// Draws a box with lines in the middle of an area, from `first` on.
pub fn draw(app: &App, buffer: &mut Buffer, area: Rect, title: &str, lines: &[Line<'static>], first: usize) {
    let wanted = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2);
    let (width, height) = (area.width.min(COLUMNS_MAX), area.height.min(wanted));
    let x = area.x + (area.width - width) / 2;
    let area = Rect { x, y: area.y, width, height };
    Clear.render(area, buffer);
    let block =
        Block::bordered().title(text::cut(title, usize::from(width).saturating_sub(2))).border_style(app.theme.dim());
    let inner = block.inner(area);
    block.render(area, buffer);
    let first = first.min(lines.len().saturating_sub(inner.height.into()));
    for (at, line) in lines.iter().skip(first).take(inner.height.into()).enumerate() {
        put(buffer, inner, at, line);
    }
}

/// Draws the palette.
pub fn draw_palette(app: &App, buffer: &mut Buffer, area: Rect, typed: &str, chosen: usize) {
    let entries = palette::entries(app, typed);
    let width = usize::from(area.width.min(COLUMNS_MAX)).saturating_sub(2);
    let shown = usize::from(area.height).saturating_sub(2).min(12);
    let first = chosen.saturating_sub(shown / 2).min(entries.len().saturating_sub(shown));
    let mut lines: Vec<Line<'static>> = entries
        .iter()
        .enumerate()
        .skip(first)
        .take(shown)
        .map(|(at, entry)| {
            let mark = if at == chosen { ">" } else { " " };
            let style = if at == chosen { app.theme.title() } else { Style::new() };
            let name = format!("{mark} {}", entry.name);
            Cells::default().left(&name, width / 2, style).rest(entry.help, width, app.theme.dim()).line()
        })
        .collect();
    if lines.is_empty() {
        lines.push(Line::raw("  nothing is called so"));
    }
    let title = text::cut(&format!(" go to: {typed}_ "), width);
    draw(app, buffer, area, &title, &lines, 0);
}

/// Draws the question before a change: what will happen, and in the last line, which is never cut off, the keys.
pub fn draw_question(app: &App, buffer: &mut Buffer, area: Rect, change: &Change) {
    let width = usize::from(area.width.min(COLUMNS_MAX)).saturating_sub(2);
    let status = policies::find(app, &change.policy);
    let consequences = change.consequences(status);
    let mut lines: Vec<Line<'static>> = consequences
        .iter()
        .flat_map(|words| text::wrap(words, width.saturating_sub(2), 6))
        .map(|line| Line::raw(format!(" {line}")))
        .collect();
    // Two lines are the box's own.
    lines.truncate(usize::from(area.height).saturating_sub(3));
    let key = app.theme.accent();
    lines.push(
        Cells::default()
            .free(" y", key)
            .free("yes   ", Style::new())
            .free("n, Esc", key)
            .rest("no", width, Style::new())
            .line(),
    );
    let title = format!(" {} {}? ", change.verb(), policies::label(app, &change.policy));
    draw(app, buffer, area, &title, &lines, 0);
}

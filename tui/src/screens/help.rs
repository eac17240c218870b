//! The list of keys, made from the table that dispatches them.

use ratatui::style::Style;
use ratatui::text::Line;

use crate::app::App;
use crate::keys::{self, Input};
use crate::widgets::Cells;

/// One line a key that works on this screen now.
pub fn lines(app: &App, width: usize) -> Vec<Line<'static>> {
    let width = width.saturating_sub(4);
    keys::working(app, Input::Screen)
        .map(|binding| {
            Cells::default().right(binding.shown, 9, app.theme.accent()).rest(binding.help, width, Style::new()).line()
        })
        .collect()
}

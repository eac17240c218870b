//! How states look: a shape and a word for each, colour only on top of that. `NO_COLOR` and terminals without UTF-8
//! lose nothing but beauty.

use ratatui::style::{Color, Modifier, Style};

use crate::health::Health;

/// What the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// Colours are wanted.
    pub color: bool,
    /// Only ASCII can be shown.
    pub ascii: bool,
}

impl Theme {
    /// From the flag and the variables `NO_COLOR`, `TERM`, `LC_ALL`, `LC_CTYPE`, `LANG`.
    pub fn from_environment(no_color: bool, variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let term = set("TERM").unwrap_or_default();
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default().to_lowercase();
        let says_another_charset = locale.contains('.') && !locale.contains("utf-8") && !locale.contains("utf8");
        Self {
            color: !no_color && set("NO_COLOR").is_none() && term != "dumb",
            ascii: says_another_charset || term == "linux" || term == "dumb",
        }
    }

    /// The shape of a state.
    pub fn shape(self, health: Health) -> &'static str {
        match (health, self.ascii) {
            (Health::Failing, false) => "■",
            (Health::Victim, false) => "◆",
            (Health::Degraded, false) => "▲",
            (Health::Unknown, _) => "?",
            (Health::Idle, false) => "○",
            (Health::Healthy, false) => "●",
            (Health::Failing, true) => "X",
            (Health::Victim, true) => "v",
            (Health::Degraded, true) => "!",
            (Health::Idle, true) => "-",
            (Health::Healthy, true) => "o",
        }
    }

    /// The style of a state.
    pub fn health(self, health: Health) -> Style {
        match health {
            Health::Failing => self.colored(Color::LightRed).add_modifier(Modifier::BOLD),
            Health::Victim => self.colored(Color::LightMagenta),
            Health::Degraded => self.colored(Color::Yellow),
            Health::Unknown | Health::Idle => self.dim(),
            Health::Healthy => self.colored(Color::Green),
        }
    }

    /// Something that wants attention but is no failure: stale data, filters, a frozen picture.
    pub fn amber(self) -> Style {
        self.colored(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    /// Something bad.
    pub fn bad(self) -> Style {
        self.colored(Color::LightRed)
    }

    /// Titles and column heads.
    pub fn title(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// Secondary text.
    pub fn dim(self) -> Style {
        if self.color { Style::new().fg(Color::DarkGray) } else { Style::new() }
    }

    /// Keys in the footer and lines of charts.
    pub fn accent(self) -> Style {
        self.colored(Color::Cyan)
    }

    /// The row under the cursor.
    pub fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    fn colored(self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }

    /// Eight levels of a bar, low to high.
    pub fn levels(self) -> [char; 8] {
        if self.ascii {
            ['.', ':', '-', '=', '+', '*', '#', '@']
        } else {
            ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']
        }
    }

    /// Replaces what a terminal without UTF-8 cannot show.
    pub fn plain(self, text: &str) -> String {
        if !self.ascii {
            return text.to_owned();
        }
        text.chars().map(|c| if c.is_ascii() { c } else { ascii_of(c) }).collect()
    }
}

/// The nearest ASCII character for those that our own screens draw.
fn ascii_of(c: char) -> char {
    match c {
        '·' | '•' => '-',
        '─' | '—' => '-',
        '│' => '|',
        '├' | '└' => '+',
        '→' | '›' => '>',
        '↑' | '▲' => '^',
        '↓' | '▼' => 'v',
        '×' => 'x',
        '…' => '~',
        '█' | '▇' | '▆' | '▅' | '▄' | '▃' | '▂' | '▁' | '■' => '#',
        '░' => '.',
        '▒' => ':',
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_a_shape_of_its_own() {
        for ascii in [false, true] {
            let theme = Theme { color: false, ascii };
            let mut shapes: Vec<_> = Health::ALL.iter().map(|h| theme.shape(*h)).collect();
            shapes.sort_unstable();
            shapes.dedup();
            assert_eq!(shapes.len(), Health::ALL.len());
            assert!(!ascii || shapes.iter().all(|s| s.is_ascii()));
        }
    }

    #[test]
    fn no_color_comes_from_the_flag_and_from_the_environment() {
        let with =
            |name: &'static str, value: &'static str| move |asked: &str| (asked == name).then(|| value.to_owned());
        assert!(Theme::from_environment(false, |_| None).color);
        assert!(!Theme::from_environment(true, |_| None).color);
        assert!(!Theme::from_environment(false, with("NO_COLOR", "1")).color);
        assert!(Theme::from_environment(false, with("NO_COLOR", "")).color);
        assert!(Theme::from_environment(false, with("LANG", "de_DE.ISO-8859-1")).ascii);
        assert!(!Theme::from_environment(false, with("LANG", "de_DE.UTF-8")).ascii);
    }

    #[test]
    fn without_colour_no_style_sets_one() {
        let theme = Theme { color: false, ascii: false };
        let styles = Health::ALL.map(|h| theme.health(h)).into_iter().chain([theme.amber(), theme.bad(), theme.dim()]);
        for style in styles.chain([theme.accent(), theme.selected(), theme.title()]) {
            assert_eq!((style.fg, style.bg), (None, None));
        }
    }
}

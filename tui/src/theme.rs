//! How states look: a shape and a word for each, colour only on top of that. `NO_COLOR` and terminals without UTF-8
//! lose nothing but beauty.

use ratatui::style::{Color, Modifier, Style};

use crate::health::Health;
use crate::heat::LEVELS;

/// What the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// Colours are wanted.
    pub color: bool,
    /// Only ASCII can be shown.
    pub ascii: bool,
    /// The terminal has 256 colours and more.
    pub many_colors: bool,
}

/// Shades of one cell from few to many: blue to orange, which look different to everybody, the brighter the more.
const SHADES_OF_256: [u8; LEVELS] = [67, 73, 143, 214, 208];
/// The same of the sixteen colours that every terminal has.
const SHADES_OF_16: [Color; LEVELS] = [Color::Blue, Color::LightBlue, Color::Cyan, Color::Yellow, Color::LightYellow];

impl Theme {
    /// From the flag and the variables `NO_COLOR`, `TERM`, `COLORTERM`, `LC_ALL`, `LC_CTYPE`, `LANG`.
    pub fn from_environment(no_color: bool, variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let term = set("TERM").unwrap_or_default();
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default().to_lowercase();
        let says_another_charset = locale.contains('.') && !locale.contains("utf-8") && !locale.contains("utf8");
        let color = !no_color && set("NO_COLOR").is_none() && term != "dumb";
        let has_many = term.contains("256color") || set("COLORTERM").is_some();
        Self { color, ascii: says_another_charset || term == "linux" || term == "dumb", many_colors: color && has_many }
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

    /// A cell of a map: the glyph tells how many there are, the colour says it again.
    pub fn shade(self, level: usize) -> (char, Style) {
        let Some(at) = level.checked_sub(1).map(|at| at.min(LEVELS - 1)) else { return (' ', Style::new()) };
        let glyphs = if self.ascii { ['.', ':', '+', '%', '#'] } else { ['·', '░', '▒', '▓', '█'] };
        let color = if self.many_colors { Color::Indexed(SHADES_OF_256[at]) } else { SHADES_OF_16[at] };
        (glyphs[at], self.colored(color))
    }

    /// Fills of a span's bar: at work on the critical path, waiting on it, aside of it.
    pub fn path_fills(self) -> [char; 3] {
        if self.ascii { ['#', '=', '.'] } else { ['█', '▒', '░'] }
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
        '▓' => '%',
        '≤' => '<',
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_a_shape_of_its_own() {
        for ascii in [false, true] {
            let theme = Theme { color: false, ascii, many_colors: false };
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
        assert!(Theme::from_environment(false, with("TERM", "xterm-256color")).many_colors);
        assert!(Theme::from_environment(false, with("COLORTERM", "truecolor")).many_colors);
        assert!(!Theme::from_environment(true, with("TERM", "xterm-256color")).many_colors);
        assert!(!Theme::from_environment(false, with("TERM", "xterm")).many_colors);
    }

    #[test]
    fn shades_are_told_apart_by_glyph_and_with_colours_by_colour_too() {
        for (color, ascii, many_colors) in
            [(false, false, false), (false, true, false), (true, false, false), (true, false, true)]
        {
            let theme = Theme { color, ascii, many_colors };
            let shades: Vec<(char, Style)> = (0..=LEVELS).map(|level| theme.shade(level)).collect();
            for (at, (glyph, style)) in shades.iter().enumerate() {
                let others = &shades[at + 1..];
                assert!(others.iter().all(|(other, _)| other != glyph), "{theme:?} {glyph}");
                assert!(!color || others.iter().all(|(_, other)| other.fg != style.fg), "{theme:?} {glyph}");
                assert!(color || style.fg.is_none());
                assert_eq!(many_colors && at > 0, matches!(style.fg, Some(Color::Indexed(_))));
                assert!(!ascii || glyph.is_ascii());
            }
            assert_eq!(theme.shade(LEVELS + 9), theme.shade(LEVELS));
        }
    }

    #[test]
    fn without_colour_no_style_sets_one() {
        let theme = Theme { color: false, ascii: false, many_colors: false };
        let styles = Health::ALL.map(|h| theme.health(h)).into_iter().chain([theme.amber(), theme.bad(), theme.dim()]);
        for style in styles.chain([theme.accent(), theme.selected(), theme.title()]) {
            assert_eq!((style.fg, style.bg), (None, None));
        }
    }
}

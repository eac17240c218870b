//! The one table of keys: what a key does, where it works, and the words for it. Dispatch, help and footer all read it,
//! so that none can say something else than the others.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::app::{App, Mode, Place, Screen, Tab};
use crate::heat::WINDOWS;
use crate::picture::TraceWish;
use crate::screens;

/// A key with the modifiers that matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub struct Key {
    /// The key.
    pub code: KeyCode,
    /// Held together with Ctrl.
    pub ctrl: bool,
}

impl Key {
    /// A key alone.
    pub const fn plain(code: KeyCode) -> Self {
        Self { code, ctrl: false }
    }

    const fn char(c: char) -> Self {
        Self::plain(KeyCode::Char(c))
    }

    const fn ctrl(c: char) -> Self {
        Self { code: KeyCode::Char(c), ctrl: true }
    }

    /// From the terminal; `None` for releases and for Alt, which we do not use.
    pub fn from_event(event: &KeyEvent) -> Option<Self> {
        let unused = KeyModifiers::ALT | KeyModifiers::SUPER | KeyModifiers::META | KeyModifiers::HYPER;
        let is_press = event.kind != KeyEventKind::Release;
        (is_press && !event.modifiers.intersects(unused))
            .then(|| Self { code: event.code, ctrl: event.modifiers.contains(KeyModifiers::CONTROL) })
    }
}

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// One row down.
    Down,
    /// One row up.
    Up,
    /// One page down.
    PageDown,
    /// One page up.
    PageUp,
    /// The first row.
    Home,
    /// The last row.
    End,
    /// Opens what the cursor is on.
    Open,
    /// Drops the filter, or goes back.
    Back,
    /// Shows one of the main screens.
    Show(Tab),
    /// The graph, at this service.
    Graph,
    /// Decisions, about this service where there is one.
    Decisions,
    /// What began, ended and changed, of this service where there is one.
    Timeline,
    /// The policy that steers this workload.
    Policy,
    /// Asks whether to pause this policy, or to resume it.
    PauseOrResume,
    /// Traces of this service, or those that a piece of evidence leads to.
    Traces,
    /// Who is suspected, and back.
    Suspects,
    /// Whom this service can hurt.
    Radius,
    /// Latencies of this service over time.
    Latencies,
    /// Latencies of the next operation.
    NextOperation,
    /// Latencies of the operation before.
    PreviousOperation,
    /// A longer time.
    Longer,
    /// A shorter time.
    Shorter,
    /// Traces with errors, of all services.
    ErrorTraces,
    /// Only traces with errors, or all.
    ErrorsOnly,
    /// Traces of the next service.
    NextService,
    /// Traces of the service before.
    PreviousService,
    /// Shows decisions to hold, or hides them.
    Holds,
    /// Lists workloads that nobody calls too, or only those that are not well.
    Bystanders,
    /// Sorts by the next column.
    Sort,
    /// Turns the order round.
    Reverse,
    /// Begins a filter.
    Filter,
    /// Opens the palette.
    Palette,
    /// The list of keys.
    Help,
    /// Holds the picture, or lets it go on.
    Freeze,
    /// Asks every source now.
    Refresh,
    /// Ends the program.
    Quit,
    /// Takes what was typed.
    Accept,
    /// Makes the change that was asked about.
    Confirm,
    /// Gives up typing or a change, or closes the help.
    Cancel,
    /// Deletes one character.
    Erase,
    /// Deletes all.
    EraseAll,
    /// Adds a character to what is typed.
    Type(char),
}

/// Where the user's keys go; `Mode` without its contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// To the screen.
    Screen,
    /// To the filter.
    Filter,
    /// To the palette.
    Palette,
    /// To the help.
    Help,
    /// To a question.
    Question,
}

/// A row of the table.
pub struct Binding {
    /// Any of these.
    pub keys: &'static [Key],
    /// How they are written in the help.
    pub shown: &'static str,
    /// What it does.
    pub action: Action,
    /// In the help.
    pub help: &'static str,
    /// In the footer; empty for keys that everybody tries anyway.
    pub hint: &'static str,
    /// Whether it works now.
    pub works: fn(&App, Input) -> bool,
}

fn on_screen(_: &App, input: Input) -> bool {
    input == Input::Screen
}

fn moves(app: &App, input: Input) -> bool {
    (input == Input::Screen && app.extent() > 1)
        || (input == Input::Palette && app.palette_len() > 1)
        || (input == Input::Help && app.help_extent() > 1)
}

fn moves_pages(app: &App, input: Input) -> bool {
    input != Input::Palette && moves(app, input)
}

fn opens(app: &App, input: Input) -> bool {
    input == Input::Screen && app.can_open()
}

fn goes_back(app: &App, input: Input) -> bool {
    input == Input::Screen && app.can_go_back()
}

fn filters(app: &App, input: Input) -> bool {
    input == Input::Screen && app.screen().is_list() && (app.extent() > 0 || !app.place().filter.is_empty())
}

fn sorts(app: &App, input: Input) -> bool {
    input == Input::Screen && matches!(app.screen(), Screen::Services | Screen::Traces) && app.extent() > 1
}

fn on_traces(app: &App, input: Input) -> bool {
    input == Input::Screen && matches!(app.screen(), Screen::Traces)
}

fn cycles_services(app: &App, input: Input) -> bool {
    on_traces(app, input) && !app.rows.is_empty()
}

fn on_decisions(app: &App, input: Input) -> bool {
    input == Input::Screen && matches!(app.screen(), Screen::Decisions)
}

fn has_bystanders(app: &App, input: Input) -> bool {
    let on_services = input == Input::Screen && matches!(app.screen(), Screen::Services);
    on_services && app.rows.iter().any(|row| !row.is_listed())
}

fn on_a_service(app: &App, input: Input) -> bool {
    input == Input::Screen && app.service_at_cursor().is_some()
}

fn has_radius(app: &App, input: Input) -> bool {
    on_a_service(app, input) && !matches!(app.screen(), Screen::Radius(_))
}

fn has_latencies(app: &App, input: Input) -> bool {
    on_a_service(app, input) && !matches!(app.screen(), Screen::Heatmap(_))
}

fn turns_operations(app: &App, input: Input) -> bool {
    let Screen::Heatmap(wish) = app.screen() else { return false };
    let heat = app.picture.heat.data.as_ref().filter(|heat| heat.wish.service == wish.service);
    input == Input::Screen && heat.is_some_and(|heat| !heat.operations.is_empty())
}

fn can_be_longer(app: &App, input: Input) -> bool {
    input == Input::Screen && matches!(app.screen(), Screen::Heatmap(wish) if wish.window + 1 < WINDOWS.len())
}

fn can_be_shorter(app: &App, input: Input) -> bool {
    input == Input::Screen && matches!(app.screen(), Screen::Heatmap(wish) if wish.window > 0)
}

fn not_on_graph(app: &App, input: Input) -> bool {
    input == Input::Screen && !matches!(app.screen(), Screen::Graph)
}

fn on_suspects(app: &App, input: Input) -> bool {
    input == Input::Screen && matches!(app.screen(), Screen::Suspects)
}

fn not_on_suspects(app: &App, input: Input) -> bool {
    input == Input::Screen && !on_suspects(app, input)
}

fn not_on_timeline(app: &App, input: Input) -> bool {
    input == Input::Screen && !matches!(app.screen(), Screen::Timeline)
}

fn not_on_decisions(app: &App, input: Input) -> bool {
    input == Input::Screen && !matches!(app.screen(), Screen::Decisions)
}

fn is_about_a_policy(app: &App) -> bool {
    matches!(app.screen(), Screen::Policies | Screen::Policy(_))
}

fn leads_to_policy(app: &App, input: Input) -> bool {
    input == Input::Screen && !is_about_a_policy(app) && screens::policy_at_cursor(app).is_some()
}

fn can_pause(app: &App, input: Input) -> bool {
    let may = input == Input::Screen && is_about_a_policy(app) && app.may_change();
    may && screens::policy_at_cursor(app).is_some()
}

fn asked(_: &App, input: Input) -> bool {
    input == Input::Question
}

/// A main screen's own key does nothing where it would change nothing.
fn leads_to(app: &App, input: Input, tab: Tab) -> bool {
    let is_there = app.places.len() == 1 && *app.place() == Place::at(tab.into());
    let is_narrowed = tab == Tab::Traces && app.trace_wish != TraceWish::default();
    input == Input::Screen && (!is_there || is_narrowed)
}

fn typing(_: &App, input: Input) -> bool {
    matches!(input, Input::Filter | Input::Palette)
}

fn has_typed(app: &App, input: Input) -> bool {
    typing(app, input) && !app.typed().is_empty()
}

fn accepts(app: &App, input: Input) -> bool {
    input == Input::Filter || (input == Input::Palette && app.palette_len() > 0)
}

fn reading_help(_: &App, input: Input) -> bool {
    input == Input::Help
}

fn anywhere(_: &App, _: Input) -> bool {
    true
}

macro_rules! bindings {
    ($($keys:expr, $shown:literal, $action:expr, $help:literal, $hint:literal, $works:expr;)*) => {
        /// The table. For a key that stands twice, the first row that works now counts.
        pub const BINDINGS: &[Binding] = &[$(Binding {
            keys: &$keys, shown: $shown, action: $action, help: $help, hint: $hint, works: $works,
        }),*];
    };
}

bindings! {
    [Key::plain(KeyCode::Enter)], "Enter", Action::Open, "open what the cursor is on", "open", opens;
    [Key::plain(KeyCode::Esc)], "Esc", Action::Back, "drop the filter, or go back", "back", goes_back;
    [Key::plain(KeyCode::Tab)], "Tab", Action::Suspects, "who is suspected, and by what evidence", "suspects", not_on_suspects;
    [Key::plain(KeyCode::Tab)], "Tab", Action::Suspects, "back from the suspects", "", on_suspects;
    [Key::plain(KeyCode::Down), Key::char('j')], "j, Down", Action::Down, "one row down", "", moves;
    [Key::plain(KeyCode::Up), Key::char('k')], "k, Up", Action::Up, "one row up", "", moves;
    [Key::plain(KeyCode::PageDown), Key::ctrl('d')], "PgDn", Action::PageDown, "one page down", "", moves_pages;
    [Key::plain(KeyCode::PageUp), Key::ctrl('b')], "PgUp", Action::PageUp, "one page up", "", moves_pages;
    [Key::plain(KeyCode::Home)], "Home", Action::Home, "the first row", "", moves_pages;
    [Key::plain(KeyCode::End), Key::char('G')], "G, End", Action::End, "the last row", "", moves_pages;
    [Key::char('/')], "/", Action::Filter, "filter rows by words; !word drops rows", "filter", filters;
    [Key::char('s')], "s", Action::Sort, "sort by the next column", "sort", sorts;
    [Key::char('S')], "S", Action::Reverse, "turn the order round", "", sorts;
    [Key::char('e')], "e", Action::ErrorsOnly, "only traces with errors, or all", "errors", on_traces;
    [Key::char('n')], "n", Action::NextService, "traces of the next service", "next service", cycles_services;
    [Key::char('N')], "N", Action::PreviousService, "traces of the service before", "", cycles_services;
    [Key::char('n')], "n", Action::NextOperation, "latencies of the next operation", "next operation", turns_operations;
    [Key::char('N')], "N", Action::PreviousOperation, "latencies of the operation before", "", turns_operations;
    [Key::char('+'), Key::char('=')], "+", Action::Longer, "a longer time", "longer", can_be_longer;
    [Key::char('-')], "-", Action::Shorter, "a shorter time", "shorter", can_be_shorter;
    [Key::char('h')], "h", Action::Holds, "show or hide decisions to hold", "holds", on_decisions;
    [Key::char('P')], "P", Action::PauseOrResume, "pause this policy or resume it; asks first", "pause or resume", can_pause;
    [Key::char('w')], "w", Action::Bystanders, "list workloads that nobody calls too, or not", "", has_bystanders;
    [Key::char('g')], "g", Action::Graph, "who calls whom, from this service on", "graph", not_on_graph;
    [Key::char('b')], "b", Action::Radius, "blast radius: whom this service can hurt", "blast radius", has_radius;
    [Key::char('t')], "t", Action::Timeline, "timeline of faults, deploys and scaling", "timeline", not_on_timeline;
    [Key::char('l')], "l", Action::Latencies, "latencies of this service over time", "latencies", has_latencies;
    [Key::char('a')], "a", Action::Decisions, "what the autoscaler decided, and why", "decisions", not_on_decisions;
    [Key::char('o')], "o", Action::Policy, "the policy that steers this workload", "", leads_to_policy;
    [Key::char('T')], "T", Action::Traces, "traces of this service, or of this evidence", "traces", on_a_service;
    [Key::char('1')], "1", Action::Show(Tab::Services), "all services, worst first", "", |app, input| leads_to(app, input, Tab::Services);
    [Key::char('2')], "2", Action::Show(Tab::Graph), "the graph", "", |app, input| leads_to(app, input, Tab::Graph);
    [Key::char('3')], "3", Action::Show(Tab::Decisions), "all decisions", "", |app, input| leads_to(app, input, Tab::Decisions);
    [Key::char('4')], "4", Action::Show(Tab::Traces), "traces of all services", "", |app, input| leads_to(app, input, Tab::Traces);
    [Key::char('5')], "5", Action::Show(Tab::Suspects), "who is suspected", "", |app, input| leads_to(app, input, Tab::Suspects);
    [Key::char('6')], "6", Action::Show(Tab::Timeline), "the timeline", "", |app, input| leads_to(app, input, Tab::Timeline);
    [Key::char('7')], "7", Action::Show(Tab::Policies), "all policies", "", |app, input| leads_to(app, input, Tab::Policies);
    [Key::char(':')], ":", Action::Palette, "go to a screen or service by name", "go to", on_screen;
    [Key::char('p')], "p", Action::Freeze, "hold the picture, or let it go on", "freeze", on_screen;
    [Key::char('r')], "r", Action::Refresh, "ask every source now", "", on_screen;
    [Key::char('?')], "?", Action::Help, "this list", "help", on_screen;
    [Key::char('q')], "q", Action::Quit, "leave", "quit", on_screen;
    [Key::plain(KeyCode::Esc), Key::char('?'), Key::char('q')], "Esc, ?, q", Action::Cancel, "close the help", "close",
        reading_help;
    [Key::char('y')], "y", Action::Confirm, "yes, do it", "yes", asked;
    [Key::char('n'), Key::plain(KeyCode::Esc)], "n, Esc", Action::Cancel, "no, leave it as it is", "no", asked;
    [Key::plain(KeyCode::Enter)], "Enter", Action::Accept, "take it", "take it", accepts;
    [Key::plain(KeyCode::Esc)], "Esc", Action::Cancel, "give up", "give up", typing;
    [Key::plain(KeyCode::Backspace)], "Backspace", Action::Erase, "delete one character", "", has_typed;
    [Key::ctrl('u')], "Ctrl-u", Action::EraseAll, "delete what was typed", "", has_typed;
    [Key::ctrl('c')], "Ctrl-c", Action::Quit, "leave", "", anywhere;
}

/// What a key does now; `None` when it does nothing.
pub fn action(app: &App, key: Key) -> Option<Action> {
    let input = app.mode.input();
    let is_text = matches!(input, Input::Filter | Input::Palette);
    if let (true, false, KeyCode::Char(c)) = (is_text, key.ctrl, key.code) {
        return Some(Action::Type(c));
    }
    BINDINGS.iter().find(|b| b.keys.contains(&key) && (b.works)(app, input)).map(|b| b.action)
}

/// The rows of the table that work with this input.
pub fn working(app: &App, input: Input) -> impl Iterator<Item = &'static Binding> {
    BINDINGS.iter().filter(move |b| (b.works)(app, input))
}

impl Mode {
    /// Where keys go.
    pub fn input(&self) -> Input {
        match self {
            Self::Screen => Input::Screen,
            Self::Filter { .. } => Input::Filter,
            Self::Palette { .. } => Input::Palette,
            Self::Help { .. } => Input::Help,
            Self::Question(_) => Input::Question,
        }
    }
}

#[cfg(test)]
mod tests;

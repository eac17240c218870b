//! The screen's state and how it changes: `update` takes a message and says what is to be done outside. Pure: no clock,
//! no network, no terminal. `screens` draws it, `terminal` feeds it.

mod acting;
mod place;

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::faults::Faults;
use protocol::scaling::ObjectName;

use crate::change::{Answer, Change, Latest};
use crate::feed::queries::HISTORY_STEP_SECONDS;
use crate::health::Health;
use crate::keys::{self, Key};
use crate::layers::{self, Branch};
use crate::palette;
use crate::picture::{Picture, ServiceKey, TraceWish, Wants};
use crate::roles;
use crate::screens;
use crate::since::Since;
use crate::theme::Theme;
use crate::timeline::{self, Entry};
use crate::triage::{self, Row};
use crate::verdict::{self, Verdict};

pub use place::{Exhibit, Mode, Place, Screen, ServiceSort, Tab, TraceSort};

/// The history's points lie on whole multiples of this.
const STEP_MS: i64 = HISTORY_STEP_SECONDS as i64 * 1_000;
/// How long a change of replicas is pointed out: two minutes, as long as somebody looks away.
const TREND_SHOWN_MS: i64 = 120_000;
/// Places that Esc goes back to; the oldest is forgotten.
const PLACES_MAX: usize = 16;
/// Characters that a filter or command may have: a line.
const TYPED_MAX: usize = 200;

/// A change of a service's replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Trend {
    desired: u32,
    /// Up or down, and when; `None` until the first change.
    change: Option<(bool, i64)>,
}

/// The whole state.
#[derive(Debug, Clone)]
pub struct App {
    /// What the status line calls this.
    pub title: String,
    /// The collector's address, as shown.
    pub collector: String,
    /// How things look.
    pub theme: Theme,
    /// The picture on screen.
    pub picture: Picture,
    /// The newest picture, while another one is held.
    held_back: Option<Picture>,
    /// When the picture on screen was frozen.
    pub frozen_at_ms: Option<i64>,
    /// The time.
    pub now_ms: i64,
    /// Columns and rows of the terminal.
    pub size: (u16, u16),
    /// Where keys go.
    pub mode: Mode,
    /// Where the user is, below it where Esc goes.
    pub places: Vec<Place>,
    /// Made from the picture: one row a service, by key.
    pub rows: Vec<Row>,
    /// Made from the picture: the graph's lines.
    pub branches: Vec<Branch>,
    /// Made from the picture: what began, ended and changed, newest first.
    pub timeline: Vec<Entry>,
    /// Made from the rows: the sentence on top.
    pub verdict: Verdict,
    /// Since when each service is as it is.
    pub since: Since,
    trends: BTreeMap<ServiceKey, Trend>,
    /// The identities of the rows on screen, as the last message left them.
    row_ids: Vec<String>,
    /// By what services are sorted, and whether the other way round.
    pub service_sort: (ServiceSort, bool),
    /// By what traces are sorted, and whether the other way round.
    pub trace_sort: (TraceSort, bool),
    /// Decisions to hold are shown.
    pub shows_holds: bool,
    /// Workloads that nobody calls are listed too.
    pub shows_bystanders: bool,
    /// Which traces the trace screen shows.
    pub trace_wish: TraceWish,
    /// The change that was sent last.
    pub change: Option<Latest>,
    refreshes: u64,
    wanted: Wants,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Message {
    /// A key was pressed.
    Key(Key),
    /// The feed has something new.
    Picture(Box<Picture>),
    /// Time has passed: milliseconds since the epoch.
    Tick(i64),
    /// The terminal's size changed.
    Resize(u16, u16),
    /// What came of a change.
    Changed(Answer),
}

/// What is to be done outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// End the program.
    Quit,
    /// Fetch other things from now on.
    Want(Box<Wants>),
    /// Make a change, once.
    Change(Change),
}

/// Takes a message.
pub fn update(app: &mut App, message: Message) -> Vec<Effect> {
    let mut effects = Vec::new();
    match message {
        Message::Key(key) => {
            if let Some(action) = keys::action(app, key) {
                effects.extend(app.act(action));
            }
        }
        Message::Picture(picture) if app.frozen_at_ms.is_some() => app.held_back = Some(*picture),
        Message::Picture(picture) => app.take(*picture),
        Message::Tick(now_ms) => {
            app.now_ms = now_ms;
            app.judge();
        }
        Message::Resize(columns, rows) => app.size = (columns, rows),
        Message::Changed(answer) => app.changed(answer),
    }
    app.settle_cursor();
    let wants = app.wants();
    if wants != app.wanted {
        app.wanted = wants.clone();
        effects.push(Effect::Want(Box::new(wants)));
    }
    effects
}

impl App {
    /// The state before anything is known.
    pub fn new(title: String, collector: String, theme: Theme, now_ms: i64, size: (u16, u16)) -> Self {
        let mut app = Self {
            title,
            collector,
            theme,
            picture: Picture::default(),
            held_back: None,
            frozen_at_ms: None,
            now_ms,
            size,
            mode: Mode::Screen,
            places: vec![Place::at(Screen::Services)],
            rows: Vec::new(),
            branches: Vec::new(),
            timeline: Vec::new(),
            verdict: Verdict { health: Health::Unknown, text: String::new() },
            since: Since::default(),
            trends: BTreeMap::new(),
            row_ids: Vec::new(),
            service_sort: (ServiceSort::Health, false),
            trace_sort: (TraceSort::Start, false),
            shows_holds: true,
            shows_bystanders: false,
            trace_wish: TraceWish::default(),
            change: None,
            refreshes: 0,
            wanted: Wants::default(),
        };
        app.judge();
        app
    }

    /// Where the user is.
    pub fn place(&self) -> &Place {
        self.places.last().expect("the first place is never left")
    }

    pub(crate) fn place_mut(&mut self) -> &mut Place {
        self.places.last_mut().expect("the first place is never left")
    }

    /// What is on screen.
    pub fn screen(&self) -> &Screen {
        &self.place().screen
    }

    /// The time that the picture is judged at: that of the freezing while it is frozen.
    pub fn picture_now_ms(&self) -> i64 {
        self.frozen_at_ms.unwrap_or(self.now_ms)
    }

    /// The row of a service. Where a key tells no namespace, the worst of that name.
    pub fn row(&self, service: &ServiceKey) -> Option<&Row> {
        let exact = row_of(&self.rows, service);
        if service.namespace.is_empty() { exact.or_else(|| self.row_named(&service.name)) } else { exact }
    }

    /// The worst of the services of a name, as spans tell no namespace.
    pub fn row_named(&self, name: &str) -> Option<&Row> {
        let first = self.rows.partition_point(|row| row.key.name.as_str() < name);
        self.rows[first..].iter().take_while(|row| row.key.name == name).min_by_key(|row| row.assessment.health)
    }

    /// The collector's verdict, if it has one that counts now.
    pub fn faults(&self) -> Option<&Faults> {
        roles::in_force(&self.picture, self.picture_now_ms())
    }

    /// The same, if it names suspects.
    pub fn suspicion(&self) -> Option<&Faults> {
        self.faults().filter(|faults| !faults.suspects.is_empty())
    }

    /// What a workload is called on screen.
    pub fn label(&self, object: &ObjectName) -> String {
        row_of(&self.rows, &object.into()).map_or_else(|| object.name.clone(), |row| row.name.clone())
    }

    /// The rows that are listed.
    pub fn listed(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| self.shows_bystanders || row.is_listed())
    }

    /// Shows another picture.
    fn take(&mut self, picture: Picture) {
        if !is_same(&self.picture.graph.data, &picture.graph.data) {
            self.branches = picture.graph.data.as_ref().map(|graph| layers::branches(graph)).unwrap_or_default();
        }
        let is_news = !is_same(&self.picture.timeline.data, &picture.timeline.data)
            || !is_same(&self.picture.scaling.data, &picture.scaling.data)
            || !is_same(&self.picture.events.data, &picture.events.data)
            || !is_same(&self.picture.faults.data, &picture.faults.data);
        self.picture = picture;
        if is_news {
            self.timeline = timeline::entries(&self.picture);
        }
        self.judge();
    }

    /// Makes rows and verdict from the picture.
    fn judge(&mut self) {
        let now_ms = self.picture_now_ms();
        self.rows = triage::rows(&self.picture, now_ms);
        if !triage::is_stale(&self.picture, now_ms) {
            let history = self.picture.history.data.as_ref().zip(self.picture.history.at_ms);
            for row in &self.rows {
                let errors = history.as_ref().and_then(|(history, at_ms)| {
                    let bare = || history.get(&ServiceKey::new("", &row.key.name));
                    let errors = history.get(&row.key).or_else(bare)?.error_ratio.as_slice();
                    Some((errors, at_ms.div_euclid(STEP_MS) * STEP_MS))
                });
                self.since.see(&row.key, row.assessment.health, errors, now_ms);
            }
            self.since.retain(|key| row_of(&self.rows, key).is_some());
        }
        self.follow_replicas(now_ms);
        let listed: Vec<&Row> = self.rows.iter().filter(|row| row.is_listed()).collect();
        self.verdict = verdict::verdict(&self.picture, &listed, &self.since, now_ms);
    }

    fn follow_replicas(&mut self, now_ms: i64) {
        for row in &self.rows {
            let Some(replicas) = row.replicas else { continue };
            let trend = self.trends.entry(row.key.clone()).or_insert(Trend { desired: replicas.desired, change: None });
            if trend.desired != replicas.desired {
                let change = Some((replicas.desired > trend.desired, now_ms));
                *trend = Trend { desired: replicas.desired, change };
            }
        }
        self.trends.retain(|key, _| row_of(&self.rows, key).is_some());
    }

    /// Whether a service's replicas were changed of late: up or down.
    pub fn trend(&self, service: &ServiceKey) -> Option<bool> {
        let (up, at_ms) = self.trends.get(service)?.change?;
        (self.picture_now_ms() - at_ms <= TREND_SHOWN_MS).then_some(up)
    }

    /// The identities of the rows on screen, in order; none for screens that are read, not chosen from.
    pub fn row_ids(&self) -> &[String] {
        &self.row_ids
    }

    /// How many positions the cursor has.
    pub fn extent(&self) -> usize {
        if self.screen().is_list() { self.row_ids.len() } else { screens::positions(self) }
    }

    /// How many positions the help has.
    pub fn help_extent(&self) -> usize {
        screens::help_positions(self)
    }

    /// Entries that the palette shows.
    pub fn palette_len(&self) -> usize {
        match &self.mode {
            Mode::Palette { typed, .. } => palette::entries(self, typed).len(),
            _ => 0,
        }
    }

    /// What is being typed.
    pub fn typed(&self) -> &str {
        match &self.mode {
            Mode::Filter { .. } => &self.place().filter,
            Mode::Palette { typed, .. } => typed,
            Mode::Screen | Mode::Help { .. } | Mode::Question(_) => "",
        }
    }

    /// Whether Enter leads somewhere.
    pub fn can_open(&self) -> bool {
        match self.screen() {
            Screen::Services | Screen::Decisions | Screen::Traces | Screen::Policies => !self.row_ids().is_empty(),
            Screen::Graph | Screen::Timeline => self.service_at_cursor().is_some(),
            Screen::Suspects => screens::opening(self).is_some(),
            Screen::Service(_)
            | Screen::Decision(_)
            | Screen::Trace(_)
            | Screen::Evidence(_)
            | Screen::Radius(_)
            | Screen::Heatmap(_)
            | Screen::Policy(_) => false,
        }
    }

    /// Whether Esc leads somewhere.
    pub fn can_go_back(&self) -> bool {
        self.places.len() > 1 || !self.place().filter.is_empty()
    }

    /// The service that the cursor is on, or that the screen is about.
    pub fn service_at_cursor(&self) -> Option<ServiceKey> {
        screens::service_at_cursor(self)
    }

    /// Keeps the cursor on the row that the user chose, or inside the rows.
    fn settle_cursor(&mut self) {
        self.row_ids = screens::row_ids(self);
        let extent = self.extent();
        let chosen = self.place().chosen.as_ref();
        let found = chosen.and_then(|chosen| self.row_ids.iter().position(|id| id == chosen));
        let place = self.place_mut();
        place.index = found.unwrap_or(place.index).min(extent.saturating_sub(1));
    }

    /// What the screens on the way here need fetched.
    fn wants(&self) -> Wants {
        let mut wants = Wants { refresh: self.refreshes, ..Wants::default() };
        for place in &self.places {
            match &place.screen {
                Screen::Service(key) => {
                    wants.service = Some(key.clone());
                    wants.traces = Some(TraceWish::errors_of(&key.name));
                }
                Screen::Traces => wants.traces = Some(self.trace_wish.clone()),
                Screen::Timeline => wants.timeline = true,
                Screen::Evidence(exhibit) => wants.curves = exhibit.curves(),
                Screen::Heatmap(wish) => wants.heat = Some(wish.clone()),
                Screen::Policy(policy) => wants.policy = Some(policy.clone()),
                _ => {}
            }
        }
        wants
    }
}

fn is_same<T>(a: &Option<Arc<T>>, b: &Option<Arc<T>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// Rows are by key.
fn row_of<'a>(rows: &'a [Row], service: &ServiceKey) -> Option<&'a Row> {
    rows.binary_search_by(|row| row.key.cmp(service)).ok().map(|at| &rows[at])
}

#[cfg(test)]
mod tests;

//! What each action does to the state. Chooses nothing about keys (`keys`) and looks (`screens`).

use std::sync::Arc;

use crate::app::{App, Effect, Mode, PLACES_MAX, Place, Screen, ServiceSort, TYPED_MAX, Tab, TraceSort};
use crate::change::{Answer, Change, Latest};
use crate::heat::{HeatWish, WINDOWS};
use crate::keys::Action;
use crate::palette::{self, Command};
use crate::picture::TraceWish;
use crate::screens::{self, Opening};

impl App {
    /// Carries an action out.
    pub(super) fn act(&mut self, action: Action) -> Option<Effect> {
        match action {
            Action::Quit => return Some(Effect::Quit),
            Action::Down => self.move_by(1),
            Action::Up => self.move_by(-1),
            Action::PageDown => self.move_by(self.page()),
            Action::PageUp => self.move_by(-self.page()),
            Action::Home => self.move_by(-MOVE_ALL),
            Action::End => self.move_by(MOVE_ALL),
            Action::Open => self.open(),
            Action::Back => self.go_back(),
            Action::Show(tab) => self.show(tab),
            Action::Graph => self.go_to_graph(),
            Action::Decisions => self.go_to_list(Screen::Decisions),
            Action::Timeline => self.go_to_list(Screen::Timeline),
            Action::Policy => {
                if let Some(policy) = screens::policy_at_cursor(self) {
                    self.go_to(Screen::Policy(policy.policy.clone()));
                }
            }
            Action::PauseOrResume => self.ask(screens::policy_at_cursor(self).map(Change::of)),
            Action::Confirm => return self.confirm(),
            Action::Traces => {
                if let Some(wish) = screens::traces_wanted(self) {
                    self.go_to_traces(wish);
                }
            }
            Action::Suspects => self.go_to_suspects(),
            Action::Latencies => {
                if let Some(service) = self.service_at_cursor() {
                    self.go_to(Screen::Heatmap(HeatWish::of(service)));
                }
            }
            Action::NextOperation => self.turn_operation(1),
            Action::PreviousOperation => self.turn_operation(-1),
            Action::Longer => self.change_window(|window| window + 1),
            Action::Shorter => self.change_window(|window| window.saturating_sub(1)),
            Action::Radius => {
                if let Some(service) = self.service_at_cursor() {
                    self.go_to(Screen::Radius(service));
                }
            }
            Action::ErrorTraces => {
                self.show(Tab::Traces);
                self.trace_wish.errors_only = true;
            }
            Action::ErrorsOnly => self.trace_wish.errors_only = !self.trace_wish.errors_only,
            Action::NextService => self.cycle_service(1),
            Action::PreviousService => self.cycle_service(-1),
            Action::Holds => self.shows_holds = !self.shows_holds,
            Action::Bystanders => self.shows_bystanders = !self.shows_bystanders,
            Action::Sort => self.sort_by_next(),
            Action::Reverse => self.reverse(),
            Action::Filter => self.mode = Mode::Filter { before: self.place().filter.clone() },
            Action::Palette => self.mode = Mode::Palette { typed: String::new(), chosen: 0 },
            Action::Help => self.mode = Mode::Help { scroll: 0 },
            Action::Freeze => self.freeze(),
            Action::Refresh => self.refreshes += 1,
            Action::Accept => return self.accept(),
            Action::Cancel => self.cancel(),
            Action::Erase => self.edit(|text| _ = text.pop()),
            Action::EraseAll => self.edit(String::clear),
            Action::Type(c) => self.edit(|text| {
                if text.chars().count() < TYPED_MAX && !c.is_control() {
                    text.push(c);
                }
            }),
        }
        None
    }

    fn page(&self) -> isize {
        isize::try_from(screens::body_height(self)).unwrap_or(1).max(2) - 1
    }

    fn move_by(&mut self, by: isize) {
        let to = |index: usize, extent: usize| index.saturating_add_signed(by).min(extent.saturating_sub(1));
        let (extent, help_extent, entries) = (self.extent(), self.help_extent(), self.palette_len());
        match &mut self.mode {
            Mode::Help { scroll } => *scroll = to(*scroll, help_extent),
            Mode::Palette { chosen, .. } => *chosen = to(*chosen, entries),
            Mode::Question(_) => {}
            Mode::Screen | Mode::Filter { .. } => {
                let index = to(self.place().index, extent);
                let chosen = self.row_ids().get(index).cloned();
                let place = self.place_mut();
                place.index = index;
                place.chosen = chosen;
            }
        }
    }

    fn go_to(&mut self, screen: Screen) {
        if self.places.len() >= PLACES_MAX {
            self.places.remove(1);
        }
        self.places.push(Place::at(screen));
        self.mode = Mode::Screen;
    }

    fn show(&mut self, tab: Tab) {
        if tab == Tab::Traces {
            self.trace_wish = TraceWish::default();
        }
        self.places = vec![Place::at(tab.into())];
        self.mode = Mode::Screen;
    }

    fn open(&mut self) {
        let next = match self.screen() {
            Screen::Services | Screen::Graph => self.service_at_cursor().map(|key| Opening::To(Screen::Service(key))),
            Screen::Decisions => screens::decision_at_cursor(self).map(|d| Opening::To(Screen::Decision(Arc::new(d)))),
            Screen::Traces => screens::trace_at_cursor(self).map(|t| Opening::To(Screen::Trace(Arc::new(t.into())))),
            Screen::Policies => screens::policy_at_cursor(self).map(|p| Opening::To(Screen::Policy(p.policy.clone()))),
            Screen::Suspects | Screen::Timeline => screens::opening(self),
            Screen::Service(_)
            | Screen::Decision(_)
            | Screen::Trace(_)
            | Screen::Evidence(_)
            | Screen::Radius(_)
            | Screen::Heatmap(_)
            | Screen::Policy(_) => None,
        };
        let Some(next) = next else { return };
        // The row that was opened stays chosen, so that Esc comes back to it.
        let chosen = self.row_ids().get(self.place().index).cloned();
        self.place_mut().chosen = chosen;
        match next {
            Opening::To(screen) => self.go_to(screen),
            Opening::Traces(wish) => self.go_to_traces(wish),
        }
    }

    fn go_back(&mut self) {
        let place = self.place_mut();
        if !place.filter.is_empty() {
            place.filter.clear();
        } else if self.places.len() > 1 {
            self.places.pop();
        }
    }

    fn go_to_graph(&mut self) {
        let service = self.service_at_cursor();
        self.go_to(Screen::Graph);
        let chosen = service.and_then(|key| screens::graph_row_of(self, &key.name));
        self.place_mut().chosen = chosen;
    }

    /// To what happened to all, or to the service or the policy whose page one comes from.
    fn go_to_list(&mut self, screen: Screen) {
        let about = match self.screen() {
            Screen::Service(key) => self.row(key).map_or_else(|| key.name.clone(), |row| row.name.clone()),
            Screen::Policy(_) => screens::policy_at_cursor(self).map(|p| self.label(&p.workload)).unwrap_or_default(),
            _ => String::new(),
        };
        self.go_to(screen);
        self.place_mut().filter = about;
    }

    /// To the suspects, and from there back to where one came from.
    fn go_to_suspects(&mut self) {
        match (self.screen(), self.places.len()) {
            (Screen::Suspects, 1) => self.show(Tab::Services),
            (Screen::Suspects, _) => _ = self.places.pop(),
            _ => self.go_to(Screen::Suspects),
        }
    }

    fn go_to_traces(&mut self, wish: TraceWish) {
        self.trace_wish = wish;
        if matches!(self.screen(), Screen::Traces) {
            let place = self.place_mut();
            (place.index, place.chosen) = (0, None);
        } else {
            self.go_to(Screen::Traces);
        }
    }

    /// All services, then each by name, round and round.
    fn cycle_service(&mut self, by: isize) {
        let mut names = vec![String::new()];
        names.extend(self.rows.iter().filter(|r| !r.is_bystander).map(|r| r.key.name.clone()));
        names.dedup();
        let at = names.iter().position(|name| *name == self.trace_wish.service).unwrap_or(0);
        let count = isize::try_from(names.len()).unwrap_or(1);
        let next = (isize::try_from(at).unwrap_or(0) + by).rem_euclid(count);
        self.trace_wish.service = names.swap_remove(usize::try_from(next).unwrap_or(0));
        let place = self.place_mut();
        (place.index, place.chosen) = (0, None);
    }

    /// All operations of the service on the map, then each by name, round and round.
    fn turn_operation(&mut self, by: isize) {
        let heat = self.picture.heat.data.clone();
        if let (Some(heat), Screen::Heatmap(wish)) = (heat, &mut self.place_mut().screen) {
            *wish = wish.turned(heat.measured, &heat.operations, by);
        }
    }

    fn change_window(&mut self, change: impl Fn(usize) -> usize) {
        if let Screen::Heatmap(wish) = &mut self.place_mut().screen {
            wish.window = change(wish.window).min(WINDOWS.len() - 1);
        }
    }

    fn sort_by_next(&mut self) {
        if matches!(self.screen(), Screen::Traces) {
            self.trace_sort.0 = match self.trace_sort.0 {
                TraceSort::Start => TraceSort::Duration,
                TraceSort::Duration => TraceSort::Spans,
                TraceSort::Spans => TraceSort::Start,
            };
            return;
        }
        self.service_sort.0 = match self.service_sort.0 {
            ServiceSort::Health => ServiceSort::Name,
            ServiceSort::Name => ServiceSort::Rate,
            ServiceSort::Rate => ServiceSort::Errors,
            ServiceSort::Errors => ServiceSort::P50,
            ServiceSort::P50 => ServiceSort::P95,
            ServiceSort::P95 => ServiceSort::P99,
            ServiceSort::P99 => ServiceSort::Health,
        };
    }

    fn reverse(&mut self) {
        let reversed =
            if matches!(self.screen(), Screen::Traces) { &mut self.trace_sort.1 } else { &mut self.service_sort.1 };
        *reversed = !*reversed;
    }

    fn freeze(&mut self) {
        if self.frozen_at_ms.take().is_none() {
            self.frozen_at_ms = Some(self.now_ms);
            return;
        }
        match self.held_back.take() {
            Some(newest) => self.take(newest),
            None => self.judge(),
        }
    }

    fn cancel(&mut self) {
        if let Mode::Filter { before } = std::mem::replace(&mut self.mode, Mode::Screen) {
            self.place_mut().filter = before;
        }
    }

    fn accept(&mut self) -> Option<Effect> {
        let Mode::Palette { typed, chosen } = std::mem::replace(&mut self.mode, Mode::Screen) else { return None };
        let entry = palette::entries(self, &typed).into_iter().nth(chosen)?;
        match entry.command {
            Command::Act(action) => return self.act(action),
            Command::Service(key) => self.go_to(Screen::Service(key)),
            Command::Latencies(key) => self.go_to(Screen::Heatmap(HeatWish::of(key))),
            Command::Radius(key) => self.go_to(Screen::Radius(key)),
            Command::Traces(service) => {
                self.go_to_traces(TraceWish::of(service));
            }
            Command::Decisions(name) => {
                self.go_to(Screen::Decisions);
                self.place_mut().filter = name;
            }
            Command::Policy(name) => self.go_to(Screen::Policy(name)),
            Command::Change(change) => self.ask(Some(change)),
        }
        None
    }

    /// Whether a change may be asked for: one at a time, so that nothing is sent twice.
    pub fn may_change(&self) -> bool {
        self.change.as_ref().is_none_or(|latest| latest.result.is_some())
    }

    /// Asks whether to make a change.
    fn ask(&mut self, change: Option<Change>) {
        if let Some(change) = change.filter(|_| self.may_change()) {
            self.mode = Mode::Question(change);
        }
    }

    /// Makes the change that was asked about.
    fn confirm(&mut self) -> Option<Effect> {
        let Mode::Question(change) = std::mem::replace(&mut self.mode, Mode::Screen) else { return None };
        self.change = Some(Latest::sent(change.clone(), self.now_ms));
        Some(Effect::Change(change))
    }

    /// Tells what came of a change, and has everything fetched anew: it shows there.
    pub(super) fn changed(&mut self, answer: Answer) {
        let Answer { change, result } = answer;
        self.change = Some(Latest { change, result: Some(result), at_ms: self.now_ms });
        self.refreshes += 1;
    }

    fn edit(&mut self, change: impl FnOnce(&mut String)) {
        match &mut self.mode {
            Mode::Filter { .. } => {
                let place = self.place_mut();
                change(&mut place.filter);
                (place.index, place.chosen) = (0, None);
            }
            Mode::Palette { typed, chosen } => {
                change(typed);
                *chosen = 0;
            }
            Mode::Screen | Mode::Help { .. } | Mode::Question(_) => {}
        }
    }
}

/// Further than any list is long, and far from overflow.
const MOVE_ALL: isize = isize::MAX / 2;

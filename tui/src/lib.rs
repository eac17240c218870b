//! The terminal screen for the engineer on call: what is broken, what merely suffers, what is well, and what the autoscaler
//! does about it. Talks only HTTP, to any Prometheus; more with a Plimsoll collector and autoscaler. Changes nothing there but
//! pauses policies and resumes them, when the user confirms it.
//! Start at `run`; the state is in `app`, the judgement in `health` and `verdict`, the drawing in `screens`.

pub mod app;
pub mod change;
pub mod feed;
mod filter;
pub mod health;
pub mod heat;
pub mod keys;
pub mod layers;
pub mod palette;
pub mod picture;
pub mod radius;
pub mod roles;
pub mod screens;
pub mod since;
mod terminal;
mod text;
pub mod theme;
pub mod timeline;
pub mod triage;
pub mod verdict;
pub mod waterfall;
mod widgets;

#[cfg(test)]
mod fixtures;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lifecycle::{CancellationToken, Clock, Supervisor, SystemClock, TaskEnded};
use protocol::scaling::ObjectName;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use tokio::sync::watch;
use url::Url;

use crate::app::{App, Message, Place, Screen, Tab};
use crate::feed::backends::{Backend, Backends};
use crate::feed::changes::Changes;
use crate::feed::{Feed, fetch_once};
use crate::heat::HeatWish;
use crate::picture::{Picture, ServiceKey, TraceWish, Wants};
use crate::terminal::{Held, Wiring};
use crate::theme::Theme;

/// What the screen shows and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The collector, or any Prometheus-compatible server.
    pub collector: Backend,
    /// The autoscaler, if there is one.
    pub autoscaler: Option<Backend>,
    /// The file with the token that the autoscaler asks of whoever changes something; read anew for each change.
    pub api_token: Option<PathBuf>,
    /// No colours; `NO_COLOR` does the same.
    pub no_color: bool,
    /// What the first line begins with.
    pub title: String,
}

/// Why the screen ended.
#[derive(Debug, thiserror::Error)]
pub enum TuiError {
    /// There is no terminal.
    #[error("the screen needs a terminal, and standard input or output is none")]
    NoTerminal,
    /// The terminal failed.
    #[error("the terminal failed: {0}")]
    Terminal(io::Error),
    /// Something else in this program panicked, and the terminal was given back for its message.
    #[error("a part of the program panicked")]
    Panicked,
    /// The collector gave no metrics.
    #[error("the collector {url} gives no metrics: {reason}; is it running? name another with --collector")]
    NoCollector {
        /// Its URL.
        url: Url,
        /// Why.
        reason: String,
    },
    /// The way to the collector is closed, or it gave no metrics.
    #[error("the collector cannot be reached: {reason}")]
    NoWay {
        /// Why, with the remedy.
        reason: String,
    },
    /// A part of the screen ended by itself.
    #[error(transparent)]
    Task(#[from] TaskEnded),
}

/// How long the tasks may take to end; they only wait for answers, which nobody needs any more.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(2);

/// Runs the screen until the user quits or `shutdown` is cancelled. `shutdown` itself is left alone.
///
/// # Errors
/// If there is no terminal, or it fails.
pub async fn run(options: Options, shutdown: CancellationToken) -> Result<(), TuiError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let held = Held::take()?;
    let shutdown = shutdown.child_token();
    let backends = Backends::of(options.collector.clone(), options.autoscaler.clone());
    let backends = backends.with_api_token(options.api_token.clone());
    let (sender, changes, answers) = Changes::new(backends.clone(), shutdown.clone());
    let (wants, wanted) = watch::channel(Wants::default());
    let (feed, pictures) = Feed::new(backends, Arc::clone(&clock), wanted, shutdown.clone());
    let mut supervisor = Supervisor::new(shutdown.clone()).with_deadline(SHUTDOWN_DEADLINE);
    feed.spawn_into(&mut supervisor);
    supervisor.spawn("changes", sender.run());
    let size = crossterm::terminal::size().map_err(TuiError::Terminal)?;
    let app = new_app(options, clock.now_ms(), size);
    crossterm::style::force_color_output(app.theme.color);
    let wiring = Wiring { pictures, wants, changes, answers, clock, shutdown };
    supervisor.spawn("screen", terminal::run(held, app, wiring));
    supervisor.run().await?;
    Ok(())
}

fn new_app(options: Options, now_ms: i64, size: (u16, u16)) -> App {
    let theme = Theme::from_environment(options.no_color, |name| std::env::var(name).ok());
    App::new(options.title, options.collector.place, theme, now_ms, size)
}

/// What a snapshot shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum View {
    /// All services.
    Services,
    /// One service; of any namespace where none is said.
    Service(ServiceKey),
    /// Who calls whom.
    Graph,
    /// What the autoscaler decided.
    Decisions,
    /// What steers each workload.
    Policies,
    /// One policy.
    Policy(ObjectName),
    /// Who is suspected, and by what evidence.
    Suspects,
    /// Latencies of a service over time.
    Latencies(ServiceKey),
    /// What began, ended and changed.
    Timeline,
    /// Whom a service can hurt.
    Radius(ServiceKey),
    /// Traces, of all services or of one, all or with errors only.
    Traces(TraceWish),
}

/// Asks every source once and gives a screen of `size` (columns, rows) as text: what `run` would show at that moment.
///
/// # Errors
/// If the collector gave no metrics: there is nothing to show.
pub async fn snapshot(options: Options, view: View, size: (u16, u16)) -> Result<String, TuiError> {
    let clock = SystemClock;
    let backends = Backends::of(options.collector.clone(), options.autoscaler.clone());
    let wants = match &view {
        View::Service(name) => {
            Wants { service: Some(name.clone()), traces: Some(TraceWish::errors_of(&name.name)), ..Wants::default() }
        }
        View::Latencies(name) => Wants { heat: Some(HeatWish::of(name.clone())), ..Wants::default() },
        View::Timeline => Wants { timeline: true, ..Wants::default() },
        View::Traces(wish) => Wants { traces: Some(wish.clone()), ..Wants::default() },
        View::Policy(name) => Wants { policy: Some(name.clone()), ..Wants::default() },
        View::Services | View::Graph | View::Decisions | View::Policies | View::Suspects | View::Radius(_) => {
            Wants::default()
        }
    };
    let picture = fetch_once(&backends, &wants, &clock).await;
    if picture.metrics.data.is_none() {
        let (url, way) = (options.collector.url.clone(), options.collector.way.is_some());
        let reason = picture.metrics.trouble_text().to_owned();
        return Err(if way { TuiError::NoWay { reason } } else { TuiError::NoCollector { url, reason } });
    }
    let mut app = new_app(options, clock.now_ms(), size);
    app.places = vec![Place::at(match view {
        View::Services => Screen::Services,
        View::Service(name) => Screen::Service(name),
        View::Graph => Tab::Graph.into(),
        View::Decisions => Tab::Decisions.into(),
        View::Policies => Tab::Policies.into(),
        View::Policy(name) => Screen::Policy(name),
        View::Suspects => Tab::Suspects.into(),
        View::Timeline => Tab::Timeline.into(),
        View::Radius(name) => Screen::Radius(name),
        View::Latencies(name) => Screen::Heatmap(HeatWish::of(name)),
        View::Traces(wish) => {
            app.trace_wish = wish;
            Screen::Traces
        }
    })];
    show(&mut app, picture, clock.now_ms());
    Ok(render(&app))
}

fn show(app: &mut App, picture: Picture, now_ms: i64) {
    app::update(app, Message::Tick(now_ms));
    app::update(app, Message::Picture(Box::new(picture)));
}

/// The screen as text, one line a row, without trailing blanks.
pub fn render(app: &App) -> String {
    let backend = TestBackend::new(app.size.0, app.size.1);
    let Ok(mut terminal) = Terminal::new(backend);
    let Ok(frame) = terminal.draw(|frame| screens::draw(app, frame));
    let buffer = frame.buffer;
    let mut text = String::new();
    for y in 0..buffer.area.height {
        let mut row = String::new();
        let mut hidden = 0;
        for x in 0..buffer.area.width {
            if hidden > 0 {
                hidden -= 1;
                continue;
            }
            let symbol = buffer[(x, y)].symbol();
            row.push_str(symbol);
            hidden = text::width(symbol).saturating_sub(1);
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

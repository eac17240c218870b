//! The real terminal: raw mode and alternate screen, given back on every way out; the loop that turns keys, pictures and
//! time into messages and draws at most so often. Decides nothing about the screen's contents.

use std::io::{self, IsTerminal, Stdout};
use std::sync::Arc;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossterm::event::{Event, EventStream};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use crossterm::{cursor, execute};
use futures::StreamExt;
use lifecycle::{CancellationToken, Clock};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use crate::TuiError;
use crate::app::{self, App, Effect, Message};
use crate::change::{Answer, Change};
use crate::keys::Key;
use crate::picture::{Picture, Wants};
use crate::screens;

/// New data is drawn at most ten times a second: faster than anybody reads.
const FRAME_FOR_DATA: Duration = Duration::from_millis(100);
/// Keys are answered within a frame of a 60 Hz display; a key that repeats faster is drawn once.
const FRAME_FOR_KEYS: Duration = Duration::from_millis(16);
/// The clock and the ages move each second.
const TICK: Duration = Duration::from_secs(1);

/// Whether the terminal is ours now; the panic hook and the loop both look.
static IS_OURS: AtomicBool = AtomicBool::new(false);
static PANIC_HOOK: Once = Once::new();

/// Holds the terminal; gives it back when dropped.
pub struct Held {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Held {
    /// Takes the terminal.
    ///
    /// # Errors
    /// If there is none, or it cannot be switched.
    pub fn take() -> Result<Self, TuiError> {
        if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
            return Err(TuiError::NoTerminal);
        }
        restore_on_panic();
        IS_OURS.store(true, Ordering::SeqCst);
        let taken = enable_raw_mode()
            .and_then(|()| execute!(io::stdout(), EnterAlternateScreen, cursor::Hide))
            .and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        match taken {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                give_back();
                Err(TuiError::Terminal(error))
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        give_back();
    }
}

/// Gives the terminal back once; what cannot be undone is left, as there is nobody to tell.
fn give_back() {
    if IS_OURS.swap(false, Ordering::SeqCst) {
        let _ = execute!(io::stdout(), LeaveAlternateScreen, cursor::Show);
        let _ = disable_raw_mode();
    }
}

/// A panic's message must be readable: the terminal is given back before it is printed.
fn restore_on_panic() {
    PANIC_HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
    });
}

/// What the loop is connected to.
pub struct Wiring {
    /// From the feed.
    pub pictures: watch::Receiver<Picture>,
    /// To the feed.
    pub wants: watch::Sender<Wants>,
    /// What the user changes.
    pub changes: mpsc::Sender<Change>,
    /// What came of it.
    pub answers: mpsc::Receiver<Answer>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Ends the loop; the loop cancels it when the user quits.
    pub shutdown: CancellationToken,
}

/// Runs until the user quits or shutdown is asked for.
///
/// # Errors
/// If the terminal fails.
pub async fn run(mut held: Held, mut app: App, mut wiring: Wiring) -> Result<(), TuiError> {
    let mut events = EventStream::new();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut drawn_at = Instant::now();
    // When the next frame is due; `None` when nothing changed.
    let mut due = Some(drawn_at);
    loop {
        if due.is_some_and(|due| due <= Instant::now()) {
            if !IS_OURS.load(Ordering::SeqCst) {
                return Err(TuiError::Panicked);
            }
            held.terminal.draw(|frame| screens::draw(&app, frame)).map_err(TuiError::Terminal)?;
            drawn_at = Instant::now();
            due = None;
        }
        let (message, frame) = tokio::select! {
            biased;
            () = wiring.shutdown.cancelled() => break,
            event = events.next() => match event {
                Some(Ok(event)) => (message_of(&event), FRAME_FOR_KEYS),
                Some(Err(error)) => return Err(TuiError::Terminal(error)),
                None => break,
            },
            () = sleep_until(due) => continue,
            changed = wiring.pictures.changed() => {
                if changed.is_err() {
                    break;
                }
                let picture = wiring.pictures.borrow_and_update().clone();
                (Some(Message::Picture(Box::new(picture))), FRAME_FOR_DATA)
            },
            answer = wiring.answers.recv() => match answer {
                Some(answer) => (Some(Message::Changed(answer)), FRAME_FOR_KEYS),
                None => break,
            },
            _ = ticks.tick() => (Some(Message::Tick(wiring.clock.now_ms())), FRAME_FOR_DATA),
        };
        let Some(message) = message else { continue };
        let next = drawn_at + frame;
        due = Some(due.map_or(next, |due| due.min(next)));
        for effect in app::update(&mut app, message) {
            match effect {
                Effect::Quit => wiring.shutdown.cancel(),
                Effect::Want(wants) => _ = wiring.wants.send(*wants),
                // There is room: the screen asks for one change at a time.
                Effect::Change(change) => _ = wiring.changes.try_send(change),
            }
        }
    }
    wiring.shutdown.cancel();
    Ok(())
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

fn message_of(event: &Event) -> Option<Message> {
    match event {
        Event::Key(key) => Key::from_event(key).map(Message::Key),
        Event::Resize(columns, rows) => Some(Message::Resize(*columns, *rows)),
        _ => None,
    }
}

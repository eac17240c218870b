//! Claims about the table of keys: what it lists works, what works is listed.

use crossterm::event::KeyCode;

use super::*;
use crate::app::{Message, update};
use crate::fixtures::{self, blame};
use crate::render;

/// A character that no screen gives a meaning.
const UNBOUND: [char; 6] = ['x', 'z', 'u', 'v', '9', '%'];

fn press(app: &mut App, keys: &str) {
    for c in keys.chars() {
        let code = match c {
            '\n' => KeyCode::Enter,
            '\t' => KeyCode::Tab,
            '\u{1b}' => KeyCode::Esc,
            c => KeyCode::Char(c),
        };
        update(app, Message::Key(Key::plain(code)));
    }
}

/// Every screen and mode, with a cursor that can move both ways.
fn states() -> Vec<(&'static str, App)> {
    let with = |keys: &str, picture| {
        let mut app = fixtures::app(picture, (80, 24));
        press(&mut app, keys);
        app
    };
    let heat = |operation| blame::with_heat(blame::payment_blamed(), "payment", operation);
    let service = || fixtures::with_detail(fixtures::payment_failing(), "payment");
    vec![
        ("services", with("j", fixtures::payment_failing())),
        ("services, filtered", with("/e\nj", fixtures::payment_failing())),
        ("service", with("\nj", service())),
        ("graph", with("2j", fixtures::healthy())),
        ("decisions", with("3j", fixtures::healthy())),
        ("decision", with("3\n", fixtures::healthy())),
        ("traces", with("4", fixtures::payment_failing())),
        ("trace", with("4j\n", fixtures::payment_failing())),
        ("suspects", with("\tj", blame::payment_blamed())),
        ("evidence", with("\tj\nj", blame::payment_blamed())),
        ("radius", with("bj", blame::payment_blamed())),
        ("timeline", with("tj", blame::payment_blamed())),
        ("latencies", with("l", heat(None))),
        ("latencies of an operation", with("l+n", heat(Some("GET /products")))),
        ("policies", with("7j", fixtures::steering::picture())),
        ("policy", with("7j\nj", fixtures::steering::picture())),
        ("a cluster's services", with("j", fixtures::kubernetes::picture())),
        ("empty", with("", crate::picture::Picture::default())),
        ("foreign", with("2", fixtures::foreign())),
        ("filter", with("/pay", fixtures::healthy())),
        ("palette", with(":e", fixtures::healthy())),
        ("help", with("?", fixtures::healthy())),
        ("question", with("7jP", fixtures::steering::picture())),
    ]
}

#[test]
fn every_key_that_is_listed_does_something() {
    for (name, app) in states() {
        let input = app.mode.input();
        for binding in working(&app, input) {
            for key in binding.keys {
                let is_typed = typing(&app, input) && matches!(key.code, KeyCode::Char(_)) && !key.ctrl;
                if is_typed {
                    continue;
                }
                // Up and down cannot both do something at an end: from the last row then.
                let does = |mut before: App| {
                    let picture = render(&before);
                    let place = before.place().clone();
                    let effects = update(&mut before, Message::Key(*key));
                    !effects.is_empty() || render(&before) != picture || *before.place() != place
                };
                let mut at_end = app.clone();
                update(&mut at_end, Message::Key(Key::plain(KeyCode::End)));
                let mut at_last = app.clone();
                update(&mut at_last, Message::Key(Key::plain(KeyCode::Down)));
                assert!(
                    does(app.clone()) || does(at_end) || does(at_last),
                    "{key:?} is listed on {name} and does nothing"
                );
            }
        }
    }
}

#[test]
fn a_key_that_is_not_listed_does_nothing() {
    for (name, app) in states() {
        let input = app.mode.input();
        let all_keys = BINDINGS.iter().flat_map(|b| b.keys.iter().copied()).chain(UNBOUND.map(Key::char));
        for key in all_keys {
            let is_listed = working(&app, input).any(|b| b.keys.contains(&key));
            let types = typing(&app, input) && matches!(key.code, KeyCode::Char(_)) && !key.ctrl;
            assert_eq!(action(&app, key).is_some(), is_listed || types, "{key:?} on {name}");
        }
    }
}

#[test]
fn every_row_of_the_table_works_somewhere() {
    let states = states();
    for binding in BINDINGS {
        let somewhere = states.iter().any(|(_, app)| (binding.works)(app, app.mode.input()));
        assert!(somewhere, "{} ({}) works nowhere", binding.shown, binding.help);
    }
}

#[test]
fn no_two_rows_want_the_same_key_at_the_same_time() {
    for (name, app) in states() {
        let input = app.mode.input();
        let rows: Vec<_> = working(&app, input).collect();
        for (at, binding) in rows.iter().enumerate() {
            for other in &rows[at + 1..] {
                let clash = binding.keys.iter().any(|key| other.keys.contains(key));
                assert!(!clash || binding.action == other.action, "{} on {name}", binding.shown);
            }
        }
    }
}

#[test]
fn the_help_lists_what_works_here_and_nothing_else() {
    for (name, mut app) in states().into_iter().take(18) {
        app.size = (100, 60);
        let listed: Vec<&str> = working(&app, Input::Screen).map(|b| b.help).collect();
        press(&mut app, "?");
        let shown = render(&app);
        for binding in BINDINGS {
            let is_listed = listed.contains(&binding.help);
            assert_eq!(
                shown.contains(&format!("{} {}", binding.shown, binding.help)),
                is_listed,
                "{} on {name}\n{shown}",
                binding.shown
            );
        }
    }
}

#[test]
fn typed_letters_are_text_and_no_commands() {
    let mut app = fixtures::app(fixtures::healthy(), (80, 24));
    press(&mut app, "/quit");
    assert_eq!(app.place().filter, "quit");
    press(&mut app, "\u{1b}:gjq");
    assert_eq!(app.typed(), "gjq");
}

#[test]
fn releases_and_alt_are_no_keys() {
    let mut event = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::ALT);
    assert_eq!(Key::from_event(&event), None);
    event.modifiers = KeyModifiers::NONE;
    event.kind = KeyEventKind::Release;
    assert_eq!(Key::from_event(&event), None);
    event.kind = KeyEventKind::Press;
    assert_eq!(Key::from_event(&event), Some(Key::char('q')));
}

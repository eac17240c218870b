//! Every screen at every size it must work at, as pictures in `snapshots`; and what no picture can show.

use crossterm::event::KeyCode;
use insta::assert_snapshot;

use crate::app::{App, Message, update};
use crate::fixtures;
use crate::keys::Key;
use crate::picture::Picture;
use crate::theme::Theme;
use crate::{render, text};

const SIZES: [(u16, u16); 2] = [(80, 24), (140, 40)];

fn press(app: &mut App, keys: &str) {
    for c in keys.chars() {
        let code = if c == '\n' { KeyCode::Enter } else { KeyCode::Char(c) };
        update(app, Message::Key(Key::plain(code)));
    }
}

fn shown(picture: Picture, size: (u16, u16), keys: &str) -> String {
    let mut app = fixtures::app(picture, size);
    press(&mut app, keys);
    render(&app)
}

#[test]
fn services() {
    let pictures = [
        ("empty", Picture::default()),
        ("healthy", fixtures::healthy()),
        ("overloaded", fixtures::overloaded()),
        ("payment_failing", fixtures::payment_failing()),
        ("disconnected", fixtures::disconnected()),
        ("foreign", fixtures::foreign()),
        ("kubernetes", fixtures::kubernetes::picture()),
        ("no_way", fixtures::kubernetes::no_way()),
    ];
    for (name, picture) in pictures {
        for size in SIZES {
            assert_snapshot!(format!("services_{name}_{}x{}", size.0, size.1), shown(picture.clone(), size, ""));
        }
    }
    assert_snapshot!("services_payment_failing_40x12", shown(fixtures::payment_failing(), (40, 12), ""));
}

#[test]
fn a_service() {
    let picture = || fixtures::with_detail(fixtures::payment_failing(), "payment");
    for size in SIZES {
        assert_snapshot!(format!("service_{}x{}", size.0, size.1), shown(picture(), size, "\n"));
    }
    let on_kubernetes = || fixtures::with_detail(fixtures::kubernetes::picture(), "order");
    for size in SIZES {
        let page = shown(on_kubernetes(), size, ":service shop/order\n");
        assert_snapshot!(format!("service_kubernetes_{}x{}", size.0, size.1), page);
    }
    assert_snapshot!("service_kubernetes_80x70", shown(on_kubernetes(), (80, 70), ":service shop/order\n"));
    let crashing = fixtures::with_detail(fixtures::overloaded(), "review");
    assert_snapshot!("service_crashing_80x60", shown(crashing, (80, 60), ":service review\n"));
    assert_snapshot!("service_40x12", shown(picture(), (40, 12), "\n"));
}

#[test]
fn the_other_screens() {
    for size in SIZES {
        let name = |screen: &str| format!("{screen}_{}x{}", size.0, size.1);
        assert_snapshot!(name("graph"), shown(fixtures::payment_failing(), size, "2"));
        assert_snapshot!(name("decisions"), shown(fixtures::healthy(), size, "3"));
        assert_snapshot!(name("decision"), shown(fixtures::healthy(), size, "3jj\n"));
        assert_snapshot!(name("traces"), shown(fixtures::payment_failing(), size, "4"));
        assert_snapshot!(name("trace"), shown(fixtures::payment_failing(), size, "4j\n"));
        assert_snapshot!(name("help"), shown(fixtures::healthy(), size, "?"));
    }
    assert_snapshot!("palette_80x24", shown(fixtures::healthy(), (80, 24), ":pay"));
    assert_snapshot!("filter_80x24", shown(fixtures::payment_failing(), (80, 24), "/!healthy"));
}

#[test]
fn what_another_prometheus_has_not_is_said_plainly() {
    for (key, words) in [
        ("2", "this server has no service graph"),
        ("3", "no autoscaler is connected"),
        ("4", "this server keeps no traces"),
    ] {
        let screen = shown(fixtures::foreign(), (80, 24), key);
        assert!(screen.contains(words), "{screen}");
    }
}

#[test]
fn last_good_data_stays_with_its_age_when_a_source_is_down() {
    for (key, name, age) in [("1", "payment", "12s"), ("2", "payment", "13s"), ("3", "order", "90s")] {
        let screen = shown(fixtures::disconnected(), (80, 24), key);
        assert!(screen.contains(name) && screen.contains(&format!("stale {age}")), "{screen}");
    }
}

#[test]
fn names_of_any_kind_keep_the_columns_in_line() {
    let mut picture = fixtures::healthy();
    let mut metrics = picture.metrics.data.as_deref().cloned().unwrap();
    let service = metrics.services[&fixtures::key("order")].clone();
    let names =
        ["x".repeat(200), "支払いサービスの長い名前です".to_owned(), "a\u{1b}[31mb".to_owned(), "سلة".to_owned()];
    for name in names {
        metrics.services.insert(fixtures::key(&name), service.clone());
    }
    picture.metrics.answered(metrics, fixtures::NOW_MS);
    for size in [(40, 12), (80, 24), (140, 40)] {
        let screen = shown(picture.clone(), size, "");
        let columns: Vec<usize> = screen
            .lines()
            .filter_map(|line| line.split_once(" ● Healthy").map(|(before, _)| text::width(before)))
            .collect();
        assert!(columns.len() >= 6 && columns.iter().all(|c| *c == columns[0]), "{screen}");
        assert!(screen.lines().all(|line| text::width(line) <= size.0.into()), "{screen}");
        assert!(!screen.contains('\u{1b}'));
    }
}

#[test]
fn a_few_calls_that_fail_are_no_failing_edge() {
    let mut picture = fixtures::payment_failing();
    let mut graph = picture.graph.data.as_deref().cloned().unwrap();
    for (at, edge) in graph.edges.iter_mut().filter(|e| e.client == "order").enumerate() {
        (edge.red.rate, edge.red.error_ratio) = ((at + 1) as f64 * 2.0 / graph.window_seconds, 1.0);
    }
    picture.graph.answered(graph, fixtures::NOW_MS);
    let screen = shown(picture, (140, 40), "2");
    let word = |callee: &str| {
        let line = screen.lines().find(|line| line.contains(&format!("─ {callee} "))).unwrap();
        (line.contains("few calls"), line.contains("FAILING: 100% of the calls from order"))
    };
    assert_eq!(
        [word("inventory"), word("notification"), word("payment")],
        [(true, false), (false, true), (false, true)]
    );
}

#[test]
fn no_size_is_too_small() {
    for size in [(0, 0), (1, 1), (2, 5), (10, 3), (20, 8), (40, 12), (300, 5), (5, 100)] {
        for keys in ["", "\n", "2", "3", "3\n", "4", "4\n", "?", ":", "/x"] {
            shown(fixtures::payment_failing(), size, keys);
        }
    }
}

#[test]
fn without_utf8_everything_is_ascii_and_still_told_apart() {
    let mut app = fixtures::app(fixtures::payment_failing(), (80, 24));
    app.theme = Theme { color: false, ascii: true };
    for key in ["1", "2", "3", "4", "1\n"] {
        press(&mut app, key);
        let screen = render(&app);
        assert!(screen.is_ascii(), "{screen}");
    }
    press(&mut app, "1");
    let screen = render(&app);
    assert!(screen.contains("X Failing") && screen.contains("o Healthy"), "{screen}");
}

#[test]
fn the_words_are_on_screen_at_both_sizes() {
    for size in SIZES {
        let screen = shown(fixtures::payment_failing(), size, "");
        let flat = screen.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains("payment is failing"), "{screen}");
        assert!(flat.contains("browse, search, sign-in and track are well"), "{screen}");
        assert!(flat.contains("orders wait for payment (pending)"), "{screen}");
    }
}

/// The screen's promise is 50 ms from key to frame with 500 services; unoptimised and on a busy machine it gets this.
const KEY_TO_FRAME_UNOPTIMISED: std::time::Duration = std::time::Duration::from_millis(500);

#[test]
fn five_hundred_services_do_not_slow_the_keys() {
    let mut app = fixtures::app(fixtures::crowd(), (140, 40));
    let mut slowest_of: Vec<(String, std::time::Duration)> = Vec::new();
    for key in ["j", "s", "2", "j", "1", "/", "5", "\n", "\n", ":", "s", "v"] {
        let took = (0..3).map(|_| {
            let mut again = app.clone();
            let began = std::time::Instant::now();
            press(&mut again, key);
            render(&again);
            began.elapsed()
        });
        slowest_of.push((key.to_owned(), took.min().unwrap()));
        press(&mut app, key);
    }
    println!("{slowest_of:?}");
    let began = std::time::Instant::now();
    update(&mut app, Message::Tick(fixtures::NOW_MS + 1));
    println!("judging: {:?}", began.elapsed());
    assert!(slowest_of.iter().all(|(_, took)| *took < KEY_TO_FRAME_UNOPTIMISED), "{slowest_of:?}");
}

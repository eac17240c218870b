//! Every screen at every size it must work at, as pictures in `snapshots`; and what no picture can show.

use crossterm::event::KeyCode;
use insta::assert_snapshot;

use crate::app::{App, Message, update};
use crate::fixtures::{self, blame, steering};
use crate::keys::Key;
use crate::picture::Picture;
use crate::theme::Theme;
use crate::{render, text};

const SIZES: [(u16, u16); 2] = [(80, 24), (140, 40)];

fn press(app: &mut App, keys: &str) {
    for c in keys.chars() {
        let code = match c {
            '\n' => KeyCode::Enter,
            '\t' => KeyCode::Tab,
            c => KeyCode::Char(c),
        };
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
        ("blamed", blame::payment_blamed()),
        ("database_slow", blame::database_slow()),
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
fn what_steers_the_workloads() {
    for size in SIZES {
        let name = |screen: &str| format!("{screen}_{}x{}", size.0, size.1);
        assert_snapshot!(name("policies"), shown(steering::picture(), size, "7"));
        assert_snapshot!(name("policy"), shown(steering::picture(), size, "7j\n"));
        assert_snapshot!(name("policies_disconnected"), shown(steering::disconnected(), size, "7"));
        assert_snapshot!(name("question_pause"), shown(steering::picture(), size, "7jj\nP"));
    }
    assert_snapshot!("policy_80x60", shown(steering::picture(), (80, 60), "7j\n"));
    assert_snapshot!("policy_asking_80x60", shown(steering::picture(), (80, 60), "7\n"));
    assert_snapshot!("policies_40x12", shown(steering::picture(), (40, 12), "7"));
    assert_snapshot!("policy_40x12", shown(steering::picture(), (40, 12), "7j\n"));
    assert_snapshot!("question_40x12", shown(steering::picture(), (40, 12), "7jP"));
}

#[test]
fn a_policy_of_which_little_is_known_is_shown_all_the_same() {
    for (picture, keys, words) in [
        (Picture::default(), "7", "asking"),
        (fixtures::foreign(), "7", "no autoscaler is connected"),
        (steering::picture(), "7/nobody\n", "no policy passes the filter"),
        (steering::picture(), "7G\n", "It has decided nothing yet"),
        (steering::disconnected(), "7j\n", "connection refused"),
    ] {
        let screen = shown(picture, (100, 50), keys);
        assert!(screen.contains(words), "{screen}");
    }
    let mut app = fixtures::app(steering::picture(), (100, 50));
    press(&mut app, "7j\n");
    update(&mut app, Message::Picture(Box::new(fixtures::foreign())));
    assert!(render(&app).contains("no autoscaler is connected"));
    let mut none = steering::picture();
    none.scaling.answered(crate::picture::Scaling::default(), fixtures::NOW_MS);
    assert!(shown(none.clone(), (100, 50), "7").contains("the autoscaler has no policies"));
    update(&mut app, Message::Picture(Box::new(none)));
    assert!(render(&app).contains("there is no policy shop/order any more"));
}

#[test]
fn the_keys_of_a_question_are_on_screen_at_every_size_that_has_room() {
    for size in [(20, 8), (40, 12), (60, 9), (80, 24), (140, 40)] {
        let screen = shown(steering::picture(), size, "7jP");
        let is_in_box = |line: &str| line.contains('│') && line.contains("y yes");
        assert!(screen.lines().any(is_in_box), "{size:?}\n{screen}");
    }
}

#[test]
fn whom_the_collector_blames() {
    for size in SIZES {
        let name = |screen: &str| format!("{screen}_{}x{}", size.0, size.1);
        assert_snapshot!(name("suspects"), shown(blame::payment_blamed(), size, "\t"));
        assert_snapshot!(name("suspects_two"), shown(blame::database_slow(), size, "\tj"));
        assert_snapshot!(name("evidence"), shown(blame::payment_blamed(), size, "\tjj\n"));
        assert_snapshot!(name("radius"), shown(blame::payment_blamed(), size, "b"));
        assert_snapshot!(name("radius_not_suspected"), shown(fixtures::healthy(), size, "jb"));
        assert_snapshot!(name("timeline"), shown(blame::payment_blamed(), size, "t"));
        let heat = blame::with_heat(blame::payment_blamed(), "payment", None);
        assert_snapshot!(name("latencies"), shown(heat, size, "l"));
        assert_snapshot!(name("service_victim"), shown(blame::payment_blamed(), size, "j\n"));
        assert_snapshot!(name("graph_roles"), shown(blame::payment_blamed(), size, "2"));
    }
    assert_snapshot!("timeline_foreign_80x24", shown(fixtures::foreign(), (80, 24), "t"));
    assert_snapshot!("timeline_40x12", shown(blame::payment_blamed(), (40, 12), "t"));
    assert_snapshot!("suspects_40x12", shown(blame::payment_blamed(), (40, 12), "\t"));
    assert_snapshot!("suspects_none_80x24", shown(fixtures::healthy(), (80, 24), "\t"));
    assert_snapshot!("suspects_missing_80x24", shown(fixtures::foreign(), (80, 24), "\t"));
}

#[test]
fn latencies_are_read_without_colours_and_on_any_terminal() {
    let of_operation = blame::with_heat(blame::payment_blamed(), "payment", Some("GET /search"));
    let mut app = fixtures::app(blame::with_heat(blame::payment_blamed(), "payment", None), (80, 24));
    press(&mut app, "ln");
    app.theme = Theme { color: false, ascii: true, many_colors: false };
    update(&mut app, crate::app::Message::Picture(Box::new(of_operation)));
    press(&mut app, "n");
    let screen = render(&app);
    assert!(screen.is_ascii() && screen.contains("GET /search, the last 5 min"), "{screen}");
    assert!(screen.contains("#") && screen.contains("operation 2 of 2"), "{screen}");
    assert!(screen.contains("is failing since 14:02:10"), "{screen}");
    let narrow = shown(blame::with_heat(blame::payment_blamed(), "payment", None), (40, 12), "l");
    assert_snapshot!("latencies_40x12", narrow);
    let mut none = blame::with_heat(blame::payment_blamed(), "payment", None);
    let mut heat = none.heat.data.as_deref().cloned().unwrap();
    heat.bands.clear();
    none.heat.answered(heat, fixtures::NOW_MS);
    assert!(shown(none, (80, 24), "l").contains("no latencies of payment"));
    assert!(shown(blame::payment_blamed(), (80, 24), "l").contains("asking"));
}

#[test]
fn who_judged_is_said_on_the_opening_screen() {
    let mut down = fixtures::healthy();
    down.faults = crate::picture::Source::default();
    down.faults.failed(crate::picture::Trouble::Down("connection refused".to_owned()));
    let mut blind = fixtures::healthy();
    let faults = protocol::faults::Faults { verdict: "no span has come".to_owned(), ..Default::default() };
    blind.faults.answered(faults, fixtures::NOW_MS);
    for (picture, words) in [
        (fixtures::foreign(), "judged by this screen alone: this server has no /api/v1/faults"),
        (fixtures::healthy(), "suspects: nothing to blame: 10 services are watched"),
        (
            fixtures::disconnected(),
            "judged by this screen alone: the collector's verdict is 12s old (connection refused)",
        ),
        (down, "judged by this screen alone: connection refused"),
        (blind, "judged by this screen alone: no span has come"),
        (Picture::default(), "suspects: asking"),
    ] {
        let screen = shown(picture, (140, 40), "");
        assert!(screen.contains(words), "{screen}");
    }
}

#[test]
fn roles_are_words_without_colour_too() {
    let mut app = fixtures::app(blame::payment_blamed(), (80, 24));
    app.theme = Theme { color: false, ascii: true, many_colors: false };
    for key in ["1", "2"] {
        press(&mut app, key);
        let screen = render(&app);
        let has = |service: &str, role: &str| {
            screen.lines().any(|line| line.contains(&format!("{service} ")) && line.contains(role))
        };
        let told = [("payment", "culprit"), ("order", "victim"), ("gateway", "isolated"), ("search", "unaffected")];
        assert!(told.iter().all(|(service, role)| has(service, role)), "{screen}");
        assert!(screen.is_ascii());
    }
}

#[test]
fn the_panel_leaves_room_for_the_table_and_the_best_suspects() {
    for height in [16, 20, 24, 40, 60] {
        let screen = shown(blame::crowd_blamed(), (80, height), "");
        let rows = screen.lines().filter(|line| line.starts_with("service-")).count();
        assert!(rows >= usize::from(height) / 3, "{screen}");
        assert!(screen.contains(" 1 service-007"), "{screen}");
    }
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
        for keys in ["", "\n", "2", "3", "3\n", "4", "4\n", "5", "5j\n", "b", "t", "tj\n", "l", "?", ":", "/x"] {
            shown(blame::with_heat(blame::payment_blamed(), "payment", None), size, keys);
        }
        for keys in ["7", "7j\n", "7jP", "7jPy"] {
            shown(steering::picture(), size, keys);
        }
    }
}

#[test]
fn without_utf8_everything_is_ascii_and_still_told_apart() {
    let mut app = fixtures::app(fixtures::payment_failing(), (80, 24));
    app.theme = Theme { color: false, ascii: true, many_colors: false };
    for key in ["1", "2", "3", "4", "1\n"] {
        press(&mut app, key);
        let screen = render(&app);
        assert!(screen.is_ascii(), "{screen}");
    }
    update(&mut app, Message::Picture(Box::new(steering::picture())));
    for (key, words) in
        [("7", "PAUSED"), ("j\n", "PAUSED by an operator"), ("P", "resume order?"), ("y", "resuming order")]
    {
        press(&mut app, key);
        let screen = render(&app);
        assert!(screen.is_ascii() && screen.contains(words), "{screen}");
    }
    update(&mut app, Message::Picture(Box::new(fixtures::payment_failing())));
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

#[test]
fn a_trace_of_ten_thousand_spans_scrolls_like_any_other() {
    let spans = (0..10_000u64).map(|at| {
        let parent = (at > 0).then(|| format!("{:x}", at / 3));
        fixtures::span(&format!("{at:x}"), parent.as_deref(), "order", at, 30_000 - at)
    });
    let mut picture = fixtures::healthy();
    let traces = vec![fixtures::trace("big", spans.collect())];
    picture.traces.answered(crate::picture::TraceList { wish: Default::default(), traces }, fixtures::NOW_MS);
    let mut app = fixtures::app(picture, (140, 40));
    press(&mut app, "4\n");
    let first = render(&app);
    let began = std::time::Instant::now();
    press(&mut app, "jjjjjjjjjj");
    let last = render(&app);
    let took = began.elapsed() / 10;
    println!("a key: {took:?}");
    assert!(first.contains("10000 spans") && first != last, "{first}");
    assert!(took < KEY_TO_FRAME_UNOPTIMISED, "{took:?}");
}

/// The screen's promise is 50 ms from key to frame with 500 services; unoptimised and on a busy machine it gets this.
const KEY_TO_FRAME_UNOPTIMISED: std::time::Duration = std::time::Duration::from_millis(500);

#[test]
fn five_hundred_services_do_not_slow_the_keys() {
    let mut app = fixtures::app(blame::crowd_blamed(), (140, 40));
    let mut slowest_of: Vec<(String, std::time::Duration)> = Vec::new();
    for key in ["j", "s", "2", "j", "5", "j", "\n", "t", "j", "1", "/", "5", "\n", "\n", ":", "s", "v"] {
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

//! Claims about how the state changes.

use crossterm::event::KeyCode;
use proptest::prelude::*;

use super::*;
use crate::fixtures::{self, NOW_MS, blame, steering};
use crate::heat::HeatWish;
use crate::keys::BINDINGS;
use crate::picture::CurveWish;
use crate::render;

fn press(app: &mut App, keys: &str) -> Vec<Effect> {
    let key = |c| match c {
        '\n' => Key::plain(KeyCode::Enter),
        '\t' => Key::plain(KeyCode::Tab),
        '\u{1b}' => Key::plain(KeyCode::Esc),
        c => Key::plain(KeyCode::Char(c)),
    };
    keys.chars().flat_map(|c| update(app, Message::Key(key(c)))).collect()
}

fn want(wants: Wants) -> Effect {
    Effect::Want(Box::new(wants))
}

fn healthy() -> App {
    fixtures::app(fixtures::healthy(), (80, 24))
}

#[test]
fn quits_on_q_and_on_ctrl_c_even_while_typing() {
    assert_eq!(press(&mut healthy(), "q"), [Effect::Quit]);
    let mut app = healthy();
    press(&mut app, "/q");
    let ctrl_c = Key { code: KeyCode::Char('c'), ctrl: true };
    assert_eq!(update(&mut app, Message::Key(ctrl_c)), [Effect::Quit]);
}

#[test]
fn the_cursor_stays_on_the_service_when_rows_move() {
    let mut app = healthy();
    press(&mut app, "jj");
    let chosen = app.service_at_cursor().unwrap();
    assert_eq!(chosen, fixtures::key("notification"));
    update(&mut app, Message::Picture(Box::new(fixtures::payment_failing())));
    assert_eq!(app.service_at_cursor(), Some(chosen));
    assert_ne!(app.place().index, 2);
}

#[test]
fn before_the_user_moves_the_cursor_is_on_the_worst() {
    let mut app = healthy();
    update(&mut app, Message::Picture(Box::new(fixtures::payment_failing())));
    assert_eq!(app.service_at_cursor(), Some(fixtures::key("payment")));
}

#[test]
fn enter_goes_in_and_escape_comes_back_to_the_same_row() {
    let mut app = healthy();
    press(&mut app, "jjj\n");
    assert_eq!(*app.screen(), Screen::Service(fixtures::key("order")));
    press(&mut app, "\u{1b}");
    assert_eq!((app.screen(), app.service_at_cursor()), (&Screen::Services, Some(fixtures::key("order"))));
}

#[test]
fn a_service_on_screen_has_its_details_and_error_traces_fetched() {
    let mut app = healthy();
    let effects = press(&mut app, "jjj\n");
    let traces = Some(TraceWish::errors_of("order"));
    assert_eq!(effects, [want(Wants { service: Some(fixtures::key("order")), traces, ..Wants::default() })]);
    let effects = press(&mut app, "\u{1b}");
    assert_eq!(effects, [want(Wants::default())]);
}

#[test]
fn refresh_asks_again_though_nothing_else_changed() {
    let mut app = healthy();
    assert_eq!(press(&mut app, "r"), [want(Wants { refresh: 1, ..Wants::default() })]);
}

#[test]
fn traces_are_those_of_the_chosen_service_and_then_of_the_next() {
    let mut app = healthy();
    press(&mut app, "jjjT");
    assert_eq!(app.trace_wish, TraceWish::of("order"));
    press(&mut app, "ne");
    assert_eq!(app.trace_wish, TraceWish::errors_of("payment"));
    press(&mut app, "N");
    assert_eq!(app.trace_wish.service, "order");
}

#[test]
fn a_frozen_picture_stays_and_the_newest_comes_after() {
    let mut app = healthy();
    press(&mut app, "p");
    let before = app.rows.clone();
    update(&mut app, Message::Picture(Box::new(fixtures::payment_failing())));
    update(&mut app, Message::Tick(NOW_MS + 60_000));
    assert_eq!(app.rows, before);
    assert!(render(&app).contains("FROZEN at 14:02:40"));
    update(&mut app, Message::Tick(NOW_MS));
    press(&mut app, "p");
    assert!(app.verdict.text.starts_with("payment is failing"));
}

#[test]
fn a_filter_narrows_and_escape_first_drops_it_then_goes_back() {
    let mut app = healthy();
    press(&mut app, "2\u{1b}1/!o\n");
    assert_eq!(
        app.row_ids(),
        ["gateway", "payment", "review", "search", "user"]
            .map(|name| format!("shop/{name}"))
            .iter()
            .filter(|n| !n[5..].contains('o'))
            .cloned()
            .collect::<Vec<_>>()
    );
    press(&mut app, "\u{1b}");
    assert_eq!(app.row_ids().len(), 10);
    assert!(!app.can_go_back());
}

#[test]
fn giving_up_a_filter_puts_the_old_one_back() {
    let mut app = healthy();
    press(&mut app, "/order\n/xyz\u{1b}");
    assert_eq!(app.place().filter, "order");
}

#[test]
fn the_palette_leads_to_a_service_and_quits() {
    let mut app = healthy();
    press(&mut app, ":service pay\n");
    assert_eq!(*app.screen(), Screen::Service(fixtures::key("payment")));
    assert_eq!(press(&mut app, ":quit\n"), [Effect::Quit]);
}

#[test]
fn sorting_goes_round_and_reverses() {
    let mut app = healthy();
    press(&mut app, "ss");
    assert_eq!(app.row_ids()[0], "shop/user");
    press(&mut app, "S");
    assert_eq!(app.row_ids()[0], "shop/gateway");
    press(&mut app, "Ssssss");
    assert_eq!(app.service_sort, (ServiceSort::Health, false));
}

#[test]
fn services_of_one_name_have_pages_and_cursors_of_their_own() {
    let mut app = fixtures::app(fixtures::kubernetes::picture(), (140, 40));
    assert_eq!(app.service_at_cursor(), Some(ServiceKey::new("staging", "order")));
    press(&mut app, "\n");
    let page = render(&app);
    assert!(page.contains("services › staging/order") && page.contains("Unhealthy"), "{page}");
    assert!(!page.contains("HorizontalPodAutoscaler"), "{page}");
    press(&mut app, "\u{1b}:service shop/order\n");
    let page = render(&app);
    assert!(page.contains("HorizontalPodAutoscaler") && !page.contains("Unhealthy"), "{page}");
}

#[test]
fn workloads_that_nobody_calls_are_a_key_away() {
    let mut app = fixtures::app(fixtures::kubernetes::picture(), (140, 40));
    let text = render(&app);
    assert!(text.contains("and 2 other workloads (w)") && !text.contains("plimsoll-collector"), "{text}");
    press(&mut app, "w");
    let text = render(&app);
    assert!(text.contains("plimsoll-collector") && text.contains("all workloads (w)"), "{text}");
    press(&mut app, "w");
    assert!(!render(&app).contains("plimsoll-collector"));
    press(&mut app, ":service coll\n");
    assert_eq!(*app.screen(), Screen::Service(ServiceKey::new("plimsoll", "plimsoll-collector")));
}

#[test]
fn a_changed_number_of_replicas_is_pointed_out_for_a_while() {
    let mut app = healthy();
    let mut picture = fixtures::healthy();
    let mut workloads = picture.workloads.data.as_deref().cloned().unwrap();
    workloads[3].desired = 3;
    picture.workloads.answered(workloads, NOW_MS);
    update(&mut app, Message::Picture(Box::new(picture)));
    assert_eq!((app.trend(&fixtures::key("order")), app.trend(&fixtures::key("user"))), (Some(true), None));
    assert!(render(&app).contains("2/3 ↑"));
    update(&mut app, Message::Tick(NOW_MS + TREND_SHOWN_MS + 1));
    assert_eq!(app.trend(&fixtures::key("order")), None);
}

#[test]
fn since_is_when_the_state_began_not_when_it_was_last_seen() {
    let mut app = healthy();
    update(&mut app, Message::Tick(NOW_MS + 1_000));
    update(&mut app, Message::Picture(Box::new(fixtures::payment_failing())));
    update(&mut app, Message::Tick(NOW_MS + 3_000));
    assert_eq!(app.since.of(&fixtures::key("payment")).unwrap().words(), "since 14:02:41");
}

fn blamed() -> App {
    fixtures::app(blame::payment_blamed(), (80, 24))
}

#[test]
fn enter_on_evidence_shows_its_numbers_and_then_its_traces() {
    let mut app = blamed();
    press(&mut app, "\tj");
    let effects = press(&mut app, "\n");
    let curves = Some(CurveWish { query: blame::ERRORS.to_owned(), since_ms: blame::SINCE_MS });
    assert_eq!(effects, [want(Wants { curves, ..Wants::default() })]);
    assert!(render(&app).contains("evidence against payment"));
    press(&mut app, "T");
    let between_us = (1_763_906_500_000_000, 1_763_906_554_000_000);
    assert_eq!(app.trace_wish, TraceWish { between_us, ..TraceWish::errors_of("payment") });
    assert!(matches!(app.screen(), Screen::Traces));
    press(&mut app, "\u{1b}\u{1b}");
    assert!(matches!(app.screen(), Screen::Suspects));
}

#[test]
fn enter_opens_what_a_row_leads_to_and_nothing_where_there_is_nothing() {
    let opened = |downs: usize| {
        let mut app = blamed();
        press(&mut app, &format!("\t{}\n", "j".repeat(downs)));
        match app.screen() {
            Screen::Service(key) => key.name.clone(),
            Screen::Evidence(exhibit) => exhibit.evidence.kind.clone(),
            Screen::Traces => "traces".to_owned(),
            _ => "-".to_owned(),
        }
    };
    let all: Vec<String> = (0..9).map(opened).collect();
    assert_eq!(all, ["payment", "ends_here", "own_errors", "-", "-", "traces", "order", "gateway", "-"]);
}

#[test]
fn b_shows_whom_the_chosen_service_can_hurt_from_any_screen() {
    for (keys, expected) in
        [("b", "payment"), ("jb", "order"), ("2jjb", "inventory"), ("\tjb", "payment"), ("4b", "gateway")]
    {
        let mut app = blamed();
        press(&mut app, keys);
        assert!(matches!(app.screen(), Screen::Radius(key) if key.name == expected), "{keys:?}");
        press(&mut app, "\n");
        assert!(matches!(app.screen(), Screen::Radius(_)));
    }
}

#[test]
fn the_timeline_is_fetched_while_it_shows_narrowed_to_a_page_and_leads_to_services() {
    let mut app = blamed();
    assert_eq!(press(&mut app, "t"), [want(Wants { timeline: true, ..Wants::default() })]);
    press(&mut app, "j\n");
    assert_eq!(*app.screen(), Screen::Service(fixtures::key("payment")));
    press(&mut app, "t");
    assert_eq!(app.place().filter, "payment");
    assert!(app.row_ids().len() == 4 && app.row_ids().iter().all(|id| id.contains("payment")), "{:?}", app.row_ids());
    press(&mut app, "\u{1b}\u{1b}\u{1b}");
    assert_eq!(press(&mut app, "\u{1b}"), [want(Wants::default())]);
}

#[test]
fn latencies_go_through_operations_and_longer_times() {
    let mut app = fixtures::app(blame::with_heat(blame::payment_blamed(), "payment", None), (80, 24));
    let wish = |app: &App| match app.screen() {
        Screen::Heatmap(wish) => (wish.operation.as_ref().map(|(_, one)| one.name()), wish.window),
        other => panic!("{other:?}"),
    };
    let heat = HeatWish::of(fixtures::key("payment"));
    assert_eq!(press(&mut app, "l"), [want(Wants { heat: Some(heat), ..Wants::default() })]);
    press(&mut app, "n+");
    assert_eq!(wish(&app), (Some("GET /products".to_owned()), 1));
    press(&mut app, "n++++");
    assert_eq!(wish(&app), (Some("GET /search".to_owned()), 3));
    press(&mut app, "nN--");
    assert_eq!(wish(&app), (Some("GET /search".to_owned()), 1));
    assert_eq!(app.service_at_cursor(), Some(fixtures::key("payment")));
}

#[test]
fn tab_leads_to_the_suspects_and_back() {
    let mut app = blamed();
    press(&mut app, "2\t");
    assert!(matches!(app.screen(), Screen::Suspects));
    press(&mut app, "\t");
    assert!(matches!(app.screen(), Screen::Graph));
    press(&mut app, "5\t");
    assert!(matches!(app.screen(), Screen::Services));
}

#[test]
fn evidence_stays_on_screen_when_the_suspect_is_cleared() {
    let mut app = blamed();
    press(&mut app, "\tj\n");
    update(&mut app, Message::Picture(Box::new(fixtures::healthy())));
    let text = render(&app);
    assert!(text.contains("payment was suspected since 14:02:10, and is not any more"), "{text}");
    assert!(text.contains("96 % of what fails ends here"), "{text}");
}

#[test]
fn an_opened_trace_stays_when_the_list_forgets_it() {
    let mut app = fixtures::app(fixtures::payment_failing(), (80, 24));
    press(&mut app, "4j\n");
    let shown = render(&app);
    assert!(shown.contains("payment POST"), "{shown}");
    let mut picture = fixtures::healthy();
    picture.traces = crate::picture::Source::default();
    update(&mut app, Message::Picture(Box::new(picture)));
    assert!(render(&app).contains("payment POST"));
}

#[test]
fn escape_forgets_only_what_is_too_long_ago() {
    let mut app = healthy();
    for _ in 0..50 {
        press(&mut app, ":service order\n");
    }
    assert_eq!(app.places.len(), PLACES_MAX);
    for _ in 0..PLACES_MAX {
        press(&mut app, "\u{1b}");
    }
    assert_eq!((app.places.len(), app.screen()), (1, &Screen::Services));
}

fn steered() -> App {
    fixtures::app(steering::picture(), (100, 40))
}

fn order() -> ObjectName {
    ObjectName { namespace: "shop".to_owned(), name: "order".to_owned() }
}

fn answered(app: &mut App, pause: bool, result: Result<(), String>) -> Vec<Effect> {
    update(app, Message::Changed(Answer { change: Change { policy: order(), pause }, result }))
}

#[test]
fn policies_that_cannot_decide_come_first_then_the_paused_ones() {
    let mut app = steered();
    press(&mut app, "7");
    let names = ["search", "order", "gateway", "user", "product", "payment"].map(|name| format!("shop/{name}"));
    assert_eq!(app.row_ids(), names);
    // What was decided long ago is not decided any more.
    update(&mut app, Message::Tick(NOW_MS + 600_000));
    assert_eq!(app.row_ids()[..2], ["shop/gateway", "shop/order"]);
    update(&mut app, Message::Tick(NOW_MS));
    press(&mut app, "/paused\n");
    assert_eq!(app.row_ids(), ["shop/order"]);
    assert_eq!(app.service_at_cursor(), Some(fixtures::key("order")));
}

#[test]
fn what_would_change_a_decision_is_wanted_while_the_page_is_on_the_way() {
    let mut app = steered();
    let wanted = want(Wants { policy: Some(order()), ..Wants::default() });
    assert_eq!(press(&mut app, "7j\n"), [wanted]);
    assert_eq!(*app.screen(), Screen::Policy(order()));
    assert_eq!(press(&mut app, "\u{1b}"), [want(Wants::default())]);
    assert_eq!(app.row_ids()[app.place().index], "shop/order");
}

#[test]
fn the_policy_of_a_service_and_of_a_decision_is_a_key_away_and_leads_to_its_decisions() {
    for keys in [":service order\no", "3o", "3\no", ":policy order\n"] {
        let mut app = steered();
        press(&mut app, keys);
        assert_eq!(*app.screen(), Screen::Policy(order()), "{keys:?}");
        press(&mut app, "oa");
        assert!(matches!(app.screen(), Screen::Decisions) && app.place().filter == "order", "{keys:?}");
    }
    let mut app = steered();
    press(&mut app, ":service review\no");
    assert_eq!(*app.screen(), Screen::Service(fixtures::key("review")), "no policy steers it");
}

#[test]
fn nothing_is_changed_before_it_is_confirmed() {
    for keys in ["7jP", "7j\nP", ":resume order\n"] {
        let mut app = steered();
        press(&mut app, keys);
        let question = Change { policy: order(), pause: false };
        assert_eq!(app.mode, Mode::Question(question.clone()), "{keys:?}");
        let asked = render(&app);
        assert!(asked.contains("resume order?") && asked.contains("y yes"), "{asked}");
        for key in ["n", "\u{1b}"] {
            let mut left = app.clone();
            assert_eq!(press(&mut left, key), []);
            assert_eq!((&left.mode, &left.change), (&Mode::Screen, &None));
        }
        assert_eq!(press(&mut app.clone(), "\nPjx"), [], "Enter is no yes");
        assert_eq!(press(&mut app, "y"), [Effect::Change(question)]);
    }
}

#[test]
fn nothing_is_sent_twice_and_what_came_of_it_is_told() {
    let mut app = steered();
    assert_eq!(press(&mut app, "7jPy").len(), 1);
    assert_eq!(press(&mut app, "yPyy:resume order\n\u{1b}"), [], "one is under way");
    assert!(render(&app).contains("resuming order …"));
    press(&mut app, "\u{1b}1");
    assert!(render(&app).contains("resuming order …"), "on every screen");
    let fetched = want(Wants { refresh: 1, ..Wants::default() });
    assert_eq!(answered(&mut app, false, Ok(())), [fetched]);
    assert!(render(&app).contains("order was resumed"));
    update(&mut app, Message::Tick(NOW_MS + 61_000));
    assert!(!render(&app).contains("order was resumed"));
}

#[test]
fn why_a_change_was_refused_is_told_until_the_next_one_though_the_picture_is_frozen() {
    let mut app = steered();
    press(&mut app, "7pjPy");
    answered(&mut app, false, Err("this autoscaler was started with --dry-run: it writes nothing".to_owned()));
    update(&mut app, Message::Tick(NOW_MS + 600_000));
    let text = render(&app);
    assert!(text.contains("order was NOT resumed: this autoscaler was started with --dry-run"), "{text}");
    press(&mut app, "Py");
    assert!(!render(&app).contains("dry-run"));
}

fn any_message() -> impl Strategy<Value = Message> {
    let bound: Vec<Key> = BINDINGS.iter().flat_map(|b| b.keys.iter().copied()).collect();
    let typed = proptest::char::any().prop_map(|c| Key::plain(KeyCode::Char(c)));
    let pictures: [fn() -> Picture; 10] = [
        fixtures::healthy,
        fixtures::payment_failing,
        blame::payment_blamed,
        blame::database_slow,
        fixtures::overloaded,
        fixtures::disconnected,
        fixtures::foreign,
        steering::picture,
        steering::disconnected,
        Picture::default,
    ];
    let picture = (0..pictures.len()).prop_map(move |at| pictures[at]());
    prop_oneof![
        12 => proptest::sample::select(bound).prop_map(Message::Key),
        2 => typed.prop_map(Message::Key),
        1 => picture.prop_map(|picture| Message::Picture(Box::new(picture))),
        1 => (0i64..4_000_000_000_000).prop_map(Message::Tick),
        1 => any::<bool>().prop_map(|fails| Message::Changed(Answer {
            change: Change { policy: order(), pause: fails },
            result: if fails { Err("no".to_owned()) } else { Ok(()) },
        })),
        1 => (0u16..160, 0u16..50).prop_map(|(columns, rows)| Message::Resize(columns, rows)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn no_sequence_of_keys_pictures_and_sizes_panics(
        messages in proptest::collection::vec(any_message(), 0..40)
    ) {
        let mut app = fixtures::app(blame::payment_blamed(), (80, 24));
        for message in messages {
            update(&mut app, message);
            render(&app);
            prop_assert!(app.place().index < app.extent().max(1));
        }
    }
}

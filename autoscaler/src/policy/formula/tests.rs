//! The unit tests of formulas: what they give, what is refused in which words, and what holds of every one.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn inputs(names: &[(&str, &str)]) -> Vec<(String, Option<Unit>)> {
    names.iter().map(|(name, unit)| ((*name).to_owned(), Unit::parse(unit))).collect()
}

/// Over a, b, c without units.
fn read(text: &str) -> Result<Formula, FormulaError> {
    let used: Vec<(&str, &str)> = ["a", "b", "c"].into_iter().filter(|n| text.contains(n)).map(|n| (n, "")).collect();
    Formula::parse(text, &inputs(&used), None)
}

fn input(value: f64) -> Option<Input> {
    Some(Input { value, at_ms: 1_000 })
}

/// With a = 6, b = 2, and no data for c.
fn number(text: &str) -> Option<f64> {
    let all = inputs(&[("a", ""), ("b", ""), ("c", "")]);
    let padded = format!("({text}) + 0 * (a + b + (c ?? 0))");
    Formula::parse(&padded, &all, None).unwrap().evaluate(&[input(6.0), input(2.0), None]).map(|value| value.number)
}

#[test]
fn formulas_give_what_they_say() {
    for (text, expected) in [
        ("max(a, b * 2)", Some(6.0)),
        ("min(a, b * 2)", Some(4.0)),
        ("max(a, b, 7)", Some(7.0)),
        ("a - b - 1", Some(3.0)),
        ("a - (b - 1)", Some(5.0)),
        ("a / b / 3", Some(1.0)),
        ("a + b * 2", Some(10.0)),
        ("-a + b", Some(-4.0)),
        ("ceil(a / 4) * 10", Some(20.0)),
        ("abs(b - a)", Some(4.0)),
        ("1.5e1 + .5", Some(15.5)),
        ("c ?? 3", Some(3.0)),
        ("c ?? b ?? 3", Some(2.0)),
        ("max(a, c) ?? 3", Some(3.0)),
        // As in KEDA: the right side of the sum only.
        ("a + c ?? 3", Some(9.0)),
        ("c + a", None),
        ("a / (b - 2)", None),
        ("a / (b - 2) ?? 1", None),
        ("(a / (b - 2)) ?? 1", Some(1.0)),
        ("a * 1e308 * 1e10", None),
        ("(a * 1e308 * 1e10) ?? 5", Some(5.0)),
    ] {
        assert_eq!(number(text), expected, "{text}");
    }
}

#[test]
fn a_value_is_as_old_as_its_oldest_data_and_says_what_is_made_up() {
    let old = Some(Input { value: 6.0, at_ms: 500 });
    let value = |text: &str, inputs: &[Option<Input>]| read(text).unwrap().evaluate(inputs).unwrap();
    let sum = value("a + b", &[old, input(1.0)]);
    assert_eq!((sum.at_ms, sum.made_up), (Some(500), false));
    let other = value("a ?? b", &[None, input(1.0)]);
    assert_eq!((other.at_ms, other.made_up), (Some(1_000), false), "data of another input is not made up");
    let made_up = value("(a ?? 0) + b", &[None, input(1.0)]);
    assert_eq!((made_up.at_ms, made_up.made_up), (Some(1_000), true));
    assert!(value("max(a, b) ?? 3", &[None, input(1.0)]).made_up);
    assert!(!value("(a ?? 0) + b", &[old, input(1.0)]).made_up);
}

#[test]
fn no_input_makes_more_than_a_finite_number() {
    let formula = read("a + b").unwrap();
    for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(formula.evaluate(&[input(wrong), input(1.0)]), None);
    }
    assert_eq!(formula.evaluate(&[input(1.0)]), None, "an input that was not handed in has no data");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (text, expected) in [
        ("", "the formula ends here, expected a number, a query's name, a function or ( (at character 1)"),
        ("a +", "the formula ends here, expected a number, a query's name, a function or ( (at character 4)"),
        ("(a", "expected ) to the bracket that was opened (at character 3)"),
        ("a b", "found 'b', expected + - * / ?? or the end (at character 3)"),
        (
            "a > b",
            "> is not known here, expected + - * / ?? or the end; of comparisons max and min say most (at character 3)",
        ),
        (
            "a ** 2",
            "** is not known here, expected + - * / ?? or the end; of comparisons max and min say most (at character 3)",
        ),
        (
            "a ? 1 : 2",
            "? is not known here, expected + - * / ?? or the end; of comparisons max and min say most (at character 3)",
        ),
        ("avg(a)", "there is no function avg, expected one of max, min, ceil, abs (at character 1)"),
        ("ceil(a, 2)", "ceil takes one number, found 2 (at character 1)"),
        ("max(a; 2)", "expected , or ) in the call of max (at character 6)"),
        ("a / 0", "it is divided by 0, which gives no number ever (at character 3)"),
        ("a / (2 - 2)", "it is divided by 0, which gives no number ever (at character 3)"),
        ("a + 1e300 * 1e300", "the numbers here give none that is finite (at character 11)"),
        ("a + 1e999", "1e999 is too large to be a number (at character 5)"),
        ("a + .", "\".\" is no number (at character 5)"),
        ("a + x", "there is no query x, expected one of a (at character 5)"),
        ("ä", "found 'ä', expected a number, a query's name, a function or ( (at character 1)"),
    ] {
        assert_eq!(read(text).unwrap_err().to_string(), expected, "{text}");
    }
    let two = inputs(&[("a", ""), ("b", "")]);
    let message = Formula::parse("a", &two, None).unwrap_err().what;
    assert_eq!(message, "the query b is not in the formula: use it or remove it");
    assert!(read(&format!("{}a{}", "(".repeat(40), ")".repeat(40))).unwrap_err().what.contains("more than 32 deep"));
    assert!(read(&"-".repeat(300)).unwrap_err().what.contains("more than 32 deep"));
    assert!(read(&format!("a{}", " + 1".repeat(200))).unwrap_err().what.contains("expected at most 512"));
}

#[test]
fn units_must_agree_where_they_are_known() {
    let all = inputs(&[("rate", "requests/s"), ("bytes", "bytes"), ("time", "s"), ("plain", "")]);
    let judged = |text: &str, result: &str| {
        let used: Vec<_> = all.iter().filter(|(name, _)| text.contains(name.as_str())).cloned().collect();
        Formula::parse(text, &used, Unit::parse(result).as_ref()).map_err(|error| error.what)
    };
    for (text, result) in [
        ("rate + 5", "requests/s"),
        ("rate * time", "requests"),
        ("2 * rate", "requests/seconds"),
        ("1 / time", "1/s"),
        ("rate + plain", "requests/s"),
        ("rate * plain", "bytes"),
        ("max(rate, 3) ?? rate", "requests/s"),
        ("time / time", "1"),
        ("rate / (rate * time)", "1/s"),
    ] {
        assert!(judged(text, result).is_ok(), "{text}: {:?}", judged(text, result));
    }
    assert_eq!(
        judged("rate + bytes", ""),
        Err("+ has requests/seconds on one side and bytes on the other: bring both to one unit first".to_owned())
    );
    assert!(judged("max(rate, time)", "").is_err_and(|what| what.starts_with("max has requests/seconds")));
    assert!(judged("rate ?? bytes", "").is_err_and(|what| what.starts_with("?? has")));
    assert_eq!(
        judged("rate * time", "bytes"),
        Err("the formula gives requests, and its unit is said to be bytes: change the one or the other".to_owned())
    );
    for wrong in ["", "re quests", "/s", "s//s", "5", "m²"] {
        assert_eq!(Unit::parse(wrong), None, "{wrong:?}");
    }
}

/// The best of many runs, so that a busy machine does not matter; a debug build is slower than what users run.
#[test]
fn evaluation_takes_microseconds() {
    let formula = read("max(a, b * 2, c + a / 4) ?? ceil(abs(b - a) * 1.5) ?? 3").unwrap();
    let inputs = [input(6.0), input(2.0), None];
    let best = (0..200)
        .map(|_| {
            let begun = Instant::now();
            for _ in 0..100 {
                std::hint::black_box(formula.evaluate(std::hint::black_box(&inputs)));
            }
            begun.elapsed() / 100
        })
        .min();
    assert!(best.is_some_and(|best| best <= Duration::from_micros(5)), "{best:?}");
}

fn any_node() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        (0.0f64..1e9).prop_map(Node::Number),
        (0u32..100).prop_map(|n| Node::Number(f64::from(n))),
        Just(Node::Number(1e-9)),
        (0usize..3).prop_map(Node::Input),
    ];
    leaf.prop_recursive(4, 12, 3, |part| {
        let operator = prop_oneof![
            Just(Operator::Add),
            Just(Operator::Subtract),
            Just(Operator::Multiply),
            Just(Operator::Divide),
            Just(Operator::Else)
        ];
        prop_oneof![
            part.clone().prop_map(|part| Node::Negated(Box::new(part))),
            (operator, part.clone(), part.clone()).prop_map(|(operator, left, right)| Node::Binary(
                operator,
                Box::new(left),
                Box::new(right)
            )),
            proptest::collection::vec(part.clone(), 1..4).prop_map(|parts| Node::Call(Function::Max, parts)),
            part.prop_map(|part| Node::Call(Function::Ceil, vec![part])),
        ]
    })
}

fn names() -> Vec<String> {
    ["a", "b", "c"].map(str::to_owned).to_vec()
}

fn uses(node: &Node, place: usize) -> bool {
    match node {
        Node::Number(_) => false,
        Node::Input(own) => *own == place,
        Node::Negated(part) => uses(part, place),
        Node::Binary(_, left, right) => uses(left, place) || uses(right, place),
        Node::Call(_, parts) => parts.iter().any(|part| uses(part, place)),
    }
}

fn any_input() -> impl Strategy<Value = Option<Input>> {
    let value = prop_oneof![any::<f64>(), Just(0.0), 0.0f64..1000.0];
    proptest::option::of((value, any::<i64>()).prop_map(|(value, at_ms)| Input { value, at_ms }))
}

proptest! {
    #[test]
    fn reading_never_panics(text in ".{0,80}", formula in "[abc0-9.eE()+*/?,<>=! maxincel-]{0,60}") {
        let _ = read(&text);
        let _ = read(&formula);
    }

    #[test]
    fn what_is_written_is_read_as_the_same(root in any_node()) {
        // All names are used beside it, so that none is refused as unused.
        let all = inputs(&[("a", ""), ("b", ""), ("c", "")]);
        let beside = Node::Call(Function::Max, vec![root, Node::Input(0), Node::Input(1), Node::Input(2)]);
        let formula = Formula { root: beside, names: names() };
        let text = formula.to_string();
        match Formula::parse(&text, &all, None) {
            Ok(read) => prop_assert_eq!(read, formula, "{}", text),
            // Constants that give no number, and what is divided by 0, are refused.
            Err(error) => prop_assert!(
                error.what.contains("divided by 0") || error.what.contains("none that is finite") || text.len() > FORMULA_BYTES_MAX,
                "{}: {}", text, error
            ),
        }
    }

    #[test]
    fn what_is_evaluated_is_finite_and_knows_its_data(root in any_node(), given in proptest::collection::vec(any_input(), 3)) {
        let formula = Formula { root, names: names() };
        if let Some(value) = formula.evaluate(&given) {
            prop_assert!(value.number.is_finite());
            let has_data = (0..3).any(|place| uses(&formula.root, place) && given[place].is_some());
            prop_assert!(value.at_ms.is_none() || has_data);
        }
    }
}

//! Templates: what they make, and how they fail. A case is a line of data. The same lines are given to a real Prometheus by
//! `tests/it/rules_beside.rs`.

use super::*;

/// A template, `=>`, what it makes; what fails begins with `!`.
const CASES: &str = include_str!("tests/cases.txt");

struct Answers;

impl Queries for Answers {
    fn query(&self, query: &str) -> Result<Vec<(Labels, Number)>, String> {
        match query {
            "two" => Ok(vec![
                (Labels::new([("__name__", "m"), ("instance", "b:1")]), Number::Float(21.0)),
                (Labels::new([("__name__", "m"), ("instance", "a:1")]), Number::Float(11.5)),
            ]),
            "none" => Ok(Vec::new()),
            other => Err(format!("no such query: {other}")),
        }
    }
}

fn expand(text: &str) -> Result<String, TemplateError> {
    let texts = |pairs: &[(&str, &str)]| {
        Rc::new(pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect::<Texts>())
    };
    let facts = Facts {
        labels: texts(&[("instance", "h.example.com:9100"), ("job", "node"), ("empty", "")]),
        value: Number::Float(1234.5678),
        external_labels: texts(&[("site", "x")]),
        external_url: Rc::new(url::Url::parse("http://testhost:9090/prefix").unwrap()),
        now_ms: 1_700_000_000_500,
    };
    Template::parse("t", text)?.expand(&facts, &Answers)
}

#[test]
fn templates_make_what_go_makes() {
    for line in CASES.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (text, wanted) = line.split_once(" => ").unwrap_or_else(|| panic!("no => in {line}"));
        let (text, wanted) = (text.replace("\\n", "\n"), wanted.replace("\\n", "\n").replace("\\u0020", " "));
        let found = match expand(&text) {
            Ok(made) => made,
            Err(error) => format!("!{error}"),
        };
        let fits = if let Some(error) = wanted.strip_prefix('!') {
            found.starts_with('!') && found.ends_with(error)
        } else {
            found == wanted
        };
        assert!(fits, "{text}\n  made   {found}\n  wanted {wanted}");
    }
}

#[test]
fn an_error_has_gos_place() {
    let column = PREFIX.len() + 21;
    let error = expand("{{ query \"none\"    | first }}").unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "error executing template t: template: t:1:{column}: executing \"t\" at <first>: error calling first: first() \
             called on vector with no elements"
        )
    );
}

#[test]
fn a_template_is_bounded() {
    for (text, message) in [
        ("{{ range 1000 }}{{ range 1000 }}{{ end }}{{ end }}", "takes more than 100000 steps"),
        ("{{ $x := \"aaaaaaaa\" }}{{ range 60 }}{{ $x = print $x $x }}{{ end }}", "makes more than 1048576 bytes"),
        ("{{ $x := args \"a\" }}{{ range 60 }}{{ $x = args $x $x }}{{ end }}{{ $x }}", "makes more than 1048576 bytes"),
        ("{{ $x := args 1 }}{{ range 90000 }}{{ $x = args $x }}{{ end }}", "makes more than 1048576 bytes"),
        (
            "{{ $x := \"aaaaaaaa\" }}{{ range 15 }}{{ $x = print $x $x }}{{ end }}{{ print $x $x $x $x $x }}",
            "makes more than 1048576 bytes",
        ),
        (
            "{{ $x := \"aaaaaaaa\" }}{{ range 15 }}{{ $x = print $x $x }}{{ end }}{{ reReplaceAll \"\" $x $x }}",
            "what is put in are too long together",
        ),
        ("{{ define \"x\" }}{{ template \"x\" }}{{ end }}{{ template \"x\" }}", "call each other more than 50 deep"),
    ] {
        let error = expand(text).unwrap_err().to_string();
        assert!(error.contains(message), "{text}: {error}");
    }
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(5_000), ")".repeat(5_000));
    assert!(expand(&deep).unwrap_err().to_string().contains("nests deeper than 100 levels"));
    let ifs = "{{ if true }}".repeat(5_000) + &"{{ end }}".repeat(5_000);
    assert!(expand(&ifs).unwrap_err().to_string().contains("nests deeper than 100 levels"));
}

proptest::proptest! {
    #[test]
    fn nothing_makes_it_panic(parts in proptest::collection::vec(0usize..PIECES.len(), 0..24)) {
        let text: String = parts.into_iter().map(|part| PIECES[part]).collect();
        let _ = expand(&text);
    }

    #[test]
    fn no_text_makes_it_panic(text in ".{0,60}") {
        let _ = expand(&format!("{{{{{text}}}}}"));
        let _ = expand(&format!("{{{{ printf {text:?} 1 \"a\" 2.5 }}}}"));
    }
}

const PIECES: [&str; 40] = [
    "{{",
    "}}",
    "{{-",
    "-}}",
    " ",
    "\n",
    "$value",
    "$labels",
    ".instance",
    ".",
    "|",
    "(",
    ")",
    "if",
    "else",
    "end",
    "range",
    "with",
    "define",
    "template",
    "break",
    "query",
    "\"two\"",
    "first",
    "value",
    "printf",
    "\"%5.2f\"",
    "1",
    "-2.5",
    ":=",
    "=",
    ",",
    "$x",
    "humanize",
    "toTime",
    ".Format",
    "'a'",
    "`b`",
    "nil",
    "/*",
];

//! A template of an alert's text: it is refused, fails in words, or makes a text, all of it soon and in little memory.
//!
//! Input: the template, in which a piece may be repeated (`input::repeated`).

use std::rc::Rc;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use collector::rules::file::Texts;
use collector::rules::template::{Facts, Number, Queries, Template};
use collector::series::Labels;
use url::Url;

use crate::input::repeated;
use crate::stored::NOW_MS;

/// The longest text that may come out: what templates may make in all.
const BYTES_MAX: usize = 1 << 20;

/// The longest that any template may take, on a machine that does other things as well.
const EXPANSION_MAX: Duration = Duration::from_secs(5);

static EXTERNAL_URL: LazyLock<Url> = LazyLock::new(|| Url::parse("http://fuzz:9090/prefix").expect("it is a URL"));

/// Templates.
pub fn seeds() -> Vec<Vec<u8>> {
    const TEMPLATES: [&str; 24] = [
        "{{ $labels.instance }} of {{ .Labels.job }} has {{ $value }}",
        "{{ range query \"two\" }}{{ .Labels.instance }}={{ .Value | humanize }} {{ else }}none{{ end }}",
        "{{ with query \"two\" | first }}{{ . | value | humanize1024 }} {{ . | label \"instance\" }}{{ end }}",
        "{{ if and (gt $value 1.0) (not (eq $labels.job \"x\")) }}a{{ else if lt 1 2 }}b{{ else }}c{{ end }}",
        "{{ define \"t\" }}<{{ . }}>{{ end }}{{ template \"t\" 5 }}{{ template \"t\" args 1 \"a\" }}",
        "{{ printf \"%5.2f|%-8s|%x|%q|%v|%+d|%e|%t|%%|%c|%U|%[2]*.[1]*f\" 1.5 \"a\" 255 \"q\" . 3 1e9 true 65 8984 }}",
        "{{ reReplaceAll \"(.*):(\\\\d+)\" \"$2-${1}\" $labels.instance | title | toUpper | toLower }}",
        "{{ match \"h.*\" $labels.instance }} {{ stripPort \"[::1]:80\" }} {{ stripDomain \"a.b.c:80\" }}",
        "{{ humanizeDuration 98765.4321 }} {{ humanizeDuration \"-1e-9\" }} {{ humanizeTimestamp 1700000000.5 }}",
        "{{ parseDuration \"1h2m3s\" }} {{ humanizePercentage 0.12345 }} {{ now }} {{ toTime 1e300 }}",
        "{{ (toTime $value).Format \"2006-01-02T15:04:05.000Z07:00 Mon Jan _2\" }}",
        "{{ range $i, $x := query \"two\" | sortByLabel \"instance\" }}{{ if $i }}, {{ end }}{{ $x.Value }}{{ break }}{{ end }}",
        "{{ $x := 1 }}{{ range 5 }}{{ $x = print $x $x }}{{ continue }}{{ end }}{{ $x | len }}",
        "{{- /* a comment */ -}} text {{- \" x\" -}}",
        "{{ tableLink \"a b\" }} {{ graphLink \"up{a=\\\"b\\\"}\" }} {{ pathPrefix }} {{ externalURL }} {{ urlQueryEscape \"a&b\" }}",
        "{{ index .Labels \"job\" }} {{ slice \"abcdef\" 1 3 }} {{ html \"<a>\" }} {{ js \"'x'\" }} {{ urlquery \"a b\" }}",
        "{{ $labels }} {{ $externalLabels }} {{ . }} {{ nil }} {{ true }} {{ 'a' }} {{ 0x1p-2 }} {{ 1i }} {{ `raw` }}",
        "{{ range 100000 }}{{ range 100000 }}{{ end }}{{ end }}",
        "{{ strvalue (query \"two\" | first) }} {{ safeHtml \"<b>\" }} {{ query \"none\" | first }}",
        "{{ eq 1 1.0 }} {{ lt \"a\" 1 }} {{ eq .Labels .Labels }} {{ or 0 \"\" nil }} {{ call nil }}",
        "\x1e\x0a{{ if true }}\x1e",
        "{{ \x1e\x0b(\x1e 1",
        "{{ define \"r\" }}{{ template \"r\" }}{{ end }}{{ template \"r\" }}",
        "{{ printf \"\x1e\x08%999999999d\x1e\" 1 }}",
    ];
    TEMPLATES.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// See the file's head.
pub fn run(bytes: &[u8]) {
    let text = repeated(bytes);
    let text = String::from_utf8_lossy(&text);
    let began = Instant::now();
    let made = Template::parse("__alert_fuzz", &text).and_then(|template| template.expand(&facts(), &Answers));
    let took = began.elapsed();
    assert!(took < EXPANSION_MAX, "{text:?} took {took:?}");
    match made {
        Ok(made) => assert!(made.len() <= BYTES_MAX + text.len(), "{text:?} makes {} bytes", made.len()),
        Err(error) => assert!(!error.to_string().is_empty(), "a failure is said in words"),
    }
}

fn facts() -> Facts {
    let texts = |pairs: &[(&str, &str)]| {
        Rc::new(pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect::<Texts>())
    };
    Facts {
        labels: texts(&[("instance", "h.example.com:9100"), ("job", "node"), ("empty", ""), ("\u{e9}", "\u{1f600}")]),
        value: Number::Float(1234.5678),
        external_labels: texts(&[("site", "x")]),
        external_url: Rc::new(EXTERNAL_URL.clone()),
        now_ms: NOW_MS,
    }
}

struct Answers;

impl Queries for Answers {
    fn query(&self, query: &str) -> Result<Vec<(Labels, Number)>, String> {
        match query {
            "two" => Ok(vec![
                (Labels::new([("__name__", "m"), ("instance", "b:1")]), Number::Float(21.0)),
                (Labels::new([("__name__", "m"), ("instance", "a:1")]), Number::Histogram("{count:1, sum:2}".into())),
            ]),
            "none" => Ok(Vec::new()),
            other => Err(format!("no such query: {other}")),
        }
    }
}

//! Rule files: what is read, and the exact words for what is wrong.

use super::*;

const DEFAULTS: Defaults = Defaults { interval: Duration::from_secs(60), query_offset: Duration::from_secs(3) };

fn read_text(text: &str) -> Result<Vec<RuleGroup>, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rules.yml");
    std::fs::write(&path, text).unwrap();
    read(&path, DEFAULTS).map_err(|error| error.to_string().replace(&dir.path().display().to_string(), "DIR"))
}

fn texts(pairs: &[(&str, &str)]) -> Texts {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn a_group_has_all_that_prometheus_knows() {
    let groups = read_text(
        "groups:\n- name: a\n  interval: 15s\n  limit: 10\n  query_offset: 1m30s\n  labels: { team: x, site: y }\n  rules:\n  \
         - record: job:up:sum\n    expr: sum by(job)(up)\n    labels: { team: z, number: 7 }\n  \
         - alert: Down\n    expr: up   == 0\n    for: 5m\n    keep_firing_for: 1h\n    labels: { severity: page }\n    \
         annotations: { summary: '{{ $labels.instance }} is down' }\n- name: b\n  rules: []\n- name: c\n",
    )
    .unwrap();
    let names: Vec<&str> = groups.iter().map(|group| &*group.name).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let a = &groups[0];
    assert_eq!((a.interval.as_secs(), a.query_offset.as_secs(), a.limit), (15, 90, 10));
    assert_eq!(
        (groups[1].interval, groups[1].query_offset, groups[1].limit),
        (DEFAULTS.interval, DEFAULTS.query_offset, 0)
    );
    assert_eq!((&*a.rules[0].name, &*a.rules[0].query), ("job:up:sum", "sum by (job) (up)"));
    assert_eq!(a.rules[0].labels, texts(&[("team", "z"), ("site", "y"), ("number", "7")]));
    assert_eq!(a.rules[0].kind, RuleKind::Recording);
    assert_eq!((&*a.rules[1].name, &*a.rules[1].query), ("Down", "up == 0"));
    assert_eq!(a.rules[1].labels, texts(&[("team", "x"), ("site", "y"), ("severity", "page")]));
    let (hold, keep_firing) = (Duration::from_secs(300), Duration::from_secs(3600));
    let annotations = texts(&[("summary", "{{ $labels.instance }} is down")]);
    assert_eq!(a.rules[1].kind, RuleKind::Alerting { hold, keep_firing, annotations });
    assert!(read_text("# nothing\n").unwrap().is_empty() && read_text("groups:\n").unwrap().is_empty());
}

#[test]
fn says_file_place_and_what_is_wrong() {
    let rule = |rule: &str| format!("groups:\n- name: a\n  rules:\n  - {{ record: r, expr: up }}\n  - {{ {rule} }}\n");
    for (text, message) in [
        (
            rule("record: r, alert: a, expr: up"),
            "groups[0].rules[1].record: and alert may not both be given; make them two",
        ),
        (rule("expr: up"), "groups[0].rules[1].record: is missing; a rule has a name in record or in alert"),
        (rule("record: r"), "groups[0].rules[1].expr: is missing; a rule needs a PromQL expression"),
        (rule("record: r, expr: 'sum('"), "groups[0].rules[1].expr: parse error: "),
        (rule("record: r, expr: up, for: 1m"), "groups[0].rules[1].for: is for alerts only; a rule with record cannot"),
        (rule("record: r, expr: up, keep_firing_for: 1m"), "groups[0].rules[1].keep_firing_for: is for alerts only"),
        (rule("record: r, expr: up, annotations: { a: b }"), "groups[0].rules[1].annotations: is for alerts only"),
        (
            rule("record: 'r{a=\"b\"}', expr: up"),
            "groups[0].rules[1].record: \"r{a=\\\"b\\\"}\" has braces, which no metric's",
        ),
        (
            rule("record: r, expr: up, labels: { __name__: b }"),
            "groups[0].rules[1].labels: __name__ cannot be set; the",
        ),
        (rule("record: r, expr: up, labels: { '': b }"), "groups[0].rules[1].labels: has an empty name"),
        (rule("alert: r, expr: up, annotations: { '': b }"), "groups[0].rules[1].annotations: has an empty name"),
        (
            rule("alert: r, expr: up, for: 5"),
            "groups[0].rules[1].for: \"5\" is not a duration: write a number with a unit",
        ),
        (rule("alert: r, expr: up, fore: 5m"), "groups[0].rules[1].fore: unknown field"),
        (
            rule("alert: r, expr: up, annotations: { a: '{{ $value' }"),
            "groups[0].rules[1].annotations.a: template: __alert_r:1: unclosed action",
        ),
        (
            rule("alert: r, expr: up, labels: { a: '{{ humanise 1 }}' }"),
            "groups[0].rules[1].labels.a: template: __alert_r:1: function \"humanise\" not defined",
        ),
        ("group: []\n".to_owned(), "group: unknown field"),
        ("groups:\n- rules: []\n".to_owned(), "groups[0].name: is empty; a group needs a name of its own"),
        ("groups:\n- name: a\n- name: a\n".to_owned(), "groups[1].name: the name \"a\" is used twice in this file"),
        ("groups:\n- name: a\n  labels: { __name__: b }\n".to_owned(), "groups[0].labels: __name__ cannot be set"),
        ("groups: []\n---\ngroups: []\n".to_owned(), "a rule file is one document; remove the second"),
    ] {
        let found = read_text(&text).unwrap_err();
        assert!(found.contains(message), "{text}: {found}");
        assert!(found.starts_with("DIR/rules.yml: document "), "{found}");
    }
}

#[test]
fn files_are_read_in_order_of_name_and_each_once() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    for (name, group) in [("b.yml", "b"), ("a.yml", "a"), ("sub/c.yaml", "c"), ("d.txt", "d")] {
        std::fs::write(dir.path().join(name), format!("groups: [{{ name: {group} }}]\n")).unwrap();
    }
    let names = |patterns: &[&str]| {
        let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        let groups = load(&patterns, dir.path(), DEFAULTS).unwrap();
        groups.into_iter().map(|group| group.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&["*.yml", "a.yml", "sub/*"]), ["a", "b", "c"]);
    assert_eq!(names(&["[a-b].y?l", "missing.yml"]), ["a", "b"]);
    let error = load(&["*/a.yml".to_owned()], dir.path(), DEFAULTS).unwrap_err();
    assert!(matches!(error, LoadError::Pattern(0, message) if message.contains("only the last part")));
}

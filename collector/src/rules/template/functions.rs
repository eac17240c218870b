//! The functions of templates, Go's and Prometheus', with how many arguments of which type each takes. What they do is in
//! `builtins` and below; this is the table, and Prometheus' own.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use regex::Regex;

use super::builtins;
use super::exec::{BYTES_MAX, Run};
use super::humanize::{humanize, humanize_1024, humanize_duration, humanize_percentage};
use super::numbers::{float_g, go_float, quote};
use super::time;
use super::value::{Sample, Value};

/// What an argument must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Any,
    Text,
    Samples,
    Sample,
}

impl Kind {
    /// Go's name for it.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Any => "interface {}",
            Self::Text => "string",
            Self::Samples => "template.queryResult",
            Self::Sample => "*template.sample",
        }
    }
}

/// A function: its name, the arguments that it needs, whether more like the last may follow, and what it does.
pub(super) struct Function {
    pub name: &'static str,
    pub args: &'static [Kind],
    pub is_variadic: bool,
    pub call: fn(&Run<'_>, &[Value]) -> Result<Value, String>,
}

const fn fixed(
    name: &'static str,
    args: &'static [Kind],
    call: fn(&Run<'_>, &[Value]) -> Result<Value, String>,
) -> Function {
    Function { name, args, is_variadic: false, call }
}

/// The last of `args` may come as often as one likes, also never.
const fn variadic(
    name: &'static str,
    args: &'static [Kind],
    call: fn(&Run<'_>, &[Value]) -> Result<Value, String>,
) -> Function {
    Function { name, args, is_variadic: true, call }
}

/// The length of a text times that of its replacement: a page of each, and never much more than a text may have.
const REPLACED_MAX: usize = 16 * BYTES_MAX;

use Kind::{Any, Text};

/// All functions. `and` and `or` stand here to be known; they look at no more arguments than they need.
const FUNCTIONS: &[Function] = &[
    variadic("and", &[Any, Any], |_, _| Ok(Value::Nil)),
    variadic("or", &[Any, Any], |_, _| Ok(Value::Nil)),
    fixed("not", &[Any], |_, args| Ok(Value::Bool(!args[0].is_true()))),
    variadic("eq", &[Any, Any], |_, args| builtins::eq(args).map(Value::Bool)),
    fixed("ne", &[Any, Any], |_, args| builtins::eq(args).map(|equal| Value::Bool(!equal))),
    fixed("lt", &[Any, Any], |_, args| builtins::lt(&args[0], &args[1]).map(Value::Bool)),
    fixed("le", &[Any, Any], |_, args| builtins::le(&args[0], &args[1]).map(Value::Bool)),
    fixed("gt", &[Any, Any], |_, args| builtins::le(&args[0], &args[1]).map(|le| Value::Bool(!le))),
    fixed("ge", &[Any, Any], |_, args| builtins::lt(&args[0], &args[1]).map(|lt| Value::Bool(!lt))),
    fixed("len", &[Any], |_, args| builtins::len(&args[0])),
    variadic("index", &[Any, Any], |_, args| builtins::index(args)),
    variadic("slice", &[Any, Any], |_, args| builtins::slice(args)),
    variadic("print", &[Any], |_, args| Ok(super::fmt::sprint(args).into())),
    variadic("println", &[Any], |_, args| Ok(super::fmt::sprintln(args).into())),
    variadic("printf", &[Text, Any], |_, args| Ok(super::fmt::sprintf(text(&args[0]), &args[1..]).into())),
    variadic("html", &[Any], |_, args| Ok(builtins::html(args).into())),
    variadic("js", &[Any], |_, args| Ok(builtins::js(args).into())),
    variadic("urlquery", &[Any], |_, args| Ok(builtins::url_query(&builtins::joined(args)).into())),
    variadic("call", &[Any, Any], |_, args| Err(format!("non-function of type {}", args[0].type_name()))),
    fixed("query", &[Text], |run, args| run.query(text(&args[0]))),
    fixed("first", &[Kind::Samples], |_, args| match samples(&args[0]).first() {
        Some(first) => Ok(Value::Sample(first.clone())),
        None => Err("first() called on vector with no elements".to_owned()),
    }),
    fixed("label", &[Text, Kind::Sample], |_, args| Ok(label(&args[1], text(&args[0])))),
    fixed("strvalue", &[Kind::Sample], |_, args| Ok(label(&args[0], "__value__"))),
    fixed("value", &[Kind::Sample], |_, args| sample(&args[0]).map(|sample| Value::from(&sample.value))),
    fixed("sortByLabel", &[Text, Kind::Samples], |_, args| Ok(sorted(text(&args[0]), samples(&args[1])))),
    variadic("args", &[Any], |_, args| {
        let named = args.iter().enumerate().map(|(i, value)| (format!("arg{i}"), value.clone()));
        Ok(Value::Args(Rc::new(named.collect::<BTreeMap<_, _>>())))
    }),
    fixed("reReplaceAll", &[Text, Text, Text], |_, args| {
        let pattern = text(&args[0]);
        let regex = Regex::new(pattern).map_err(|error| {
            format!("regexp: Compile({}): error parsing regexp: {}", quote(pattern), first_line(&error))
        })?;
        let (replacement, text) = (text(&args[1]), text(&args[2]));
        // As often as the text is long, and each time with all of it.
        if replacement.len().saturating_mul(text.len()) > REPLACED_MAX {
            return Err("the text and what is put in are too long together".to_owned());
        }
        Ok(regex.replace_all(text, replacement).into_owned().into())
    }),
    fixed("match", &[Text, Text], |_, args| {
        let regex = Regex::new(text(&args[0]));
        let regex = regex.map_err(|error| format!("error parsing regexp: {}", first_line(&error)))?;
        Ok(Value::Bool(regex.is_match(text(&args[1]))))
    }),
    fixed("title", &[Text], |_, args| Ok(builtins::title(text(&args[0])).into())),
    fixed("toUpper", &[Text], |_, args| Ok(text(&args[0]).to_uppercase().into())),
    fixed("toLower", &[Text], |_, args| Ok(text(&args[0]).to_lowercase().into())),
    fixed("safeHtml", &[Text], |_, args| Ok(args[0].clone())),
    fixed("graphLink", &[Text], |_, args| Ok(graph_link(text(&args[0])).into())),
    fixed("tableLink", &[Text], |_, args| Ok(table_link(text(&args[0])).into())),
    fixed("stripPort", &[Text], |_, args| Ok(strip_port(text(&args[0])).to_owned().into())),
    fixed("stripDomain", &[Text], |_, args| Ok(strip_domain(text(&args[0])).into())),
    fixed("humanize", &[Any], |_, args| number(&args[0]).map(|value| humanize(value).into())),
    fixed("humanize1024", &[Any], |_, args| number(&args[0]).map(|value| humanize_1024(value).into())),
    fixed("humanizeDuration", &[Any], |_, args| number(&args[0]).map(|value| humanize_duration(value).into())),
    fixed("humanizePercentage", &[Any], |_, args| number(&args[0]).map(|value| humanize_percentage(value).into())),
    fixed("humanizeTimestamp", &[Any], |_, args| match number(&args[0])? {
        value if !value.is_finite() => Ok(float_g(value, Some(4)).into()),
        value => time::from_seconds(value).map(|millis| time::text(millis).into()),
    }),
    fixed("toTime", &[Any], |_, args| match number(&args[0])? {
        value if !value.is_finite() => Err("value is NaN or Inf".to_owned()),
        value => time::from_seconds(value).map(Value::Time),
    }),
    #[expect(clippy::cast_possible_truncation, reason = "what is absurd saturates")]
    fixed("toDuration", &[Any], |_, args| number(&args[0]).map(|value| Value::Duration((value * 1e9) as i64))),
    #[expect(clippy::cast_precision_loss, reason = "times that matter are far below 2^53 ms")]
    fixed("now", &[], |run, _| Ok(Value::Float(run.now_ms() as f64 / 1000.0))),
    fixed("pathPrefix", &[], |run, _| Ok(run.external_url().path().trim_end_matches('/').to_owned().into())),
    fixed("externalURL", &[], |run, _| Ok(super::shown(run.external_url()).to_owned().into())),
    fixed("parseDuration", &[Text], |_, args| parse_duration(text(&args[0])).map(Value::Float)),
    fixed("urlQueryEscape", &[Text], |_, args| Ok(builtins::url_query(text(&args[0])).into())),
];

pub(super) fn is_function(name: &str) -> bool {
    find(name).is_some()
}

pub(super) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

fn text(value: &Value) -> &str {
    if let Value::Text(text) = value { text } else { "" }
}

fn samples(value: &Value) -> &[Rc<Sample>] {
    if let Value::Samples(samples) = value { samples } else { &[] }
}

fn sample(value: &Value) -> Result<&Sample, String> {
    match value {
        Value::Sample(sample) => Ok(sample),
        _ => Err("runtime error: invalid memory address or nil pointer dereference".to_owned()),
    }
}

fn label(value: &Value, name: &str) -> Value {
    let found = sample(value).ok().and_then(|sample| sample.labels.get(name));
    found.cloned().unwrap_or_default().into()
}

fn sorted(by: &str, samples: &[Rc<Sample>]) -> Value {
    let mut sorted = samples.to_vec();
    sorted.sort_by(|a, b| a.labels.get(by).map_or("", String::as_str).cmp(b.labels.get(by).map_or("", String::as_str)));
    Value::Samples(Rc::new(sorted))
}

/// A number from whatever stands for one.
fn number(value: &Value) -> Result<f64, String> {
    #[expect(clippy::cast_precision_loss, reason = "what Go does, too")]
    match value {
        Value::Float(value) => Ok(*value),
        Value::Int(value) => Ok(*value as f64),
        Value::Text(text) => {
            go_float(text).ok_or_else(|| format!("strconv.ParseFloat: parsing {}: invalid syntax", quote(text)))
        }
        Value::Duration(nanos) => Ok(*nanos as f64 / 1e9),
        other => Err(format!("can't convert {} to float", other.type_name())),
    }
}

fn first_line(error: &regex::Error) -> String {
    error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// A link to a query's graph, below the external URL.
fn graph_link(query: &str) -> String {
    format!("/graph?g0.expr={}&g0.tab=0", builtins::url_query(query))
}

/// A link to a query's result, below the external URL.
pub(super) fn table_link(query: &str) -> String {
    format!("/graph?g0.expr={}&g0.tab=1", builtins::url_query(query))
}

/// Host and port of `host:port` or `[host]:port`.
fn split_host_port(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    if let Some(bracketed) = host.strip_prefix('[') {
        let inside = bracketed.strip_suffix(']')?;
        return (!inside.contains(['[', ']'])).then_some((inside, port));
    }
    (!host.contains([':', '[', ']']) && !port.contains(['[', ']'])).then_some((host, port))
}

fn strip_port(text: &str) -> &str {
    split_host_port(text).map_or(text, |(host, _)| host)
}

fn strip_domain(text: &str) -> String {
    let (host, port) = split_host_port(text).unwrap_or((text, ""));
    if host.parse::<IpAddr>().is_ok() {
        return text.to_owned();
    }
    let host = host.split('.').next().unwrap_or_default();
    match port {
        "" => host.to_owned(),
        port if host.contains(':') => format!("[{host}]:{port}"),
        port => format!("{host}:{port}"),
    }
}

fn parse_duration(text: &str) -> Result<f64, String> {
    let (sign, size) = text.strip_prefix('-').map_or((1.0, text), |size| (-1.0, size));
    match protocol::duration::parse(size) {
        Ok(duration) => Ok(sign * duration.as_secs_f64()),
        Err(_) if text.is_empty() => Err("empty duration string".to_owned()),
        Err(_) => Err(format!("not a valid duration string: {}", quote(text))),
    }
}

//! Fills a template in: walks its tree as Go does, and says what cannot be done in Go's words, with Go's place. Bounded in steps
//! and in what it makes, because a template is a program that somebody wrote.

use std::cell::Cell;
use std::rc::Rc;

use super::functions::{self, Function, Kind};
use super::tree::{Arg, ArgKind, Branch, Command, Node, Pipe, Tree};
use super::value::{Sample, Value};
use super::{Facts, Queries, TemplateError, time};
use crate::rules::file::texts;

/// Steps of one expansion: hundreds of times what real templates take, and some milliseconds.
const STEPS_MAX: usize = 100_000;

/// Bytes of all texts that one expansion makes: more than any annotation should have, and no danger to memory.
pub(super) const BYTES_MAX: usize = 1 << 20;

/// Templates that call templates, one inside of the other.
const CALLS_MAX: usize = 50;

pub(super) fn run(tree: &Tree, facts: &Facts, queries: &dyn Queries) -> Result<String, TemplateError> {
    let mut run = Run {
        tree,
        facts,
        queries,
        name: tree.name.clone(),
        variables: vec![("$".to_owned(), Value::Facts)],
        written: String::new(),
        steps: 0,
        calls: 0,
        bytes: Cell::new(0),
    };
    run.list(&tree.root, &Value::Facts).map_err(|stop| match stop {
        Stop::Error(message) => TemplateError(message),
        Stop::Break | Stop::Continue => TemplateError("a loop is left that was never entered".to_owned()),
    })?;
    Ok(run.written)
}

/// What ends a list of nodes before its end.
enum Stop {
    Error(String),
    Break,
    Continue,
}

type Done<T> = Result<T, Stop>;

/// One expansion.
pub(super) struct Run<'a> {
    tree: &'a Tree,
    facts: &'a Facts,
    queries: &'a dyn Queries,
    /// Of the template that is filled in, which may be one that the first defines.
    name: String,
    variables: Vec<(String, Value)>,
    written: String,
    steps: usize,
    calls: usize,
    bytes: Cell<usize>,
}

impl<'a> Run<'a> {
    pub fn now_ms(&self) -> i64 {
        self.facts.now_ms
    }

    pub fn external_url(&self) -> &url::Url {
        &self.facts.external_url
    }

    pub fn query(&self, query: &str) -> Result<Value, String> {
        let found = self.queries.query(query)?;
        let samples =
            found.into_iter().map(|(labels, value)| Rc::new(Sample { labels: Rc::new(texts(&labels)), value }));
        Ok(Value::Samples(Rc::new(samples.collect())))
    }

    /// An error with the place and the text of what it is about.
    fn fail<T>(&self, at: usize, context: &str, message: &str) -> Done<T> {
        let before = &self.tree.text[..at];
        let line = 1 + before.matches('\n').count();
        let column = before.rfind('\n').map_or(at, |newline| at - newline - 1);
        let (file, name) = (&self.tree.name, &self.name);
        Err(Stop::Error(format!(
            "error executing template {file}: template: {file}:{line}:{column}: executing {name:?} at <{context}>: {message}"
        )))
    }

    fn fail_at<T>(&self, arg: &Arg, message: &str) -> Done<T> {
        self.fail(arg.at, &arg.to_string(), message)
    }

    fn step(&mut self) -> Done<()> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err(Stop::Error(format!("the template takes more than {STEPS_MAX} steps")));
        }
        Ok(())
    }

    /// Counts a text that was made.
    fn charge(&self, bytes: usize) -> Done<()> {
        self.bytes.set(self.bytes.get().saturating_add(bytes));
        self.affords(self.bytes.get())
    }

    fn affords(&self, bytes: usize) -> Done<()> {
        if bytes > BYTES_MAX {
            return Err(Stop::Error(format!("the template makes more than {BYTES_MAX} bytes")));
        }
        Ok(())
    }

    fn list(&mut self, nodes: &'a [Node], dot: &Value) -> Done<()> {
        nodes.iter().try_for_each(|node| self.node(node, dot))
    }

    fn node(&mut self, node: &'a Node, dot: &Value) -> Done<()> {
        self.step()?;
        match node {
            Node::Text(text) => {
                self.charge(text.len())?;
                self.written.push_str(text);
                Ok(())
            }
            Node::Action(pipe) => {
                let value = self.pipe(pipe, dot)?;
                // As in Go, a declaration prints nothing.
                if pipe.variables.is_empty() {
                    let text = value.printed();
                    self.charge(text.len())?;
                    self.written.push_str(&text);
                }
                Ok(())
            }
            Node::If(branch) => self.scoped(|run| {
                let value = run.pipe(&branch.pipe, dot)?;
                run.list(if value.is_true() { &branch.then } else { &branch.otherwise }, dot)
            }),
            Node::With(branch) => self.scoped(|run| {
                let value = run.pipe(&branch.pipe, dot)?;
                if value.is_true() { run.list(&branch.then, &value) } else { run.list(&branch.otherwise, dot) }
            }),
            Node::Range(branch) => self.scoped(|run| run.range(branch, dot)),
            Node::Break => Err(Stop::Break),
            Node::Continue => Err(Stop::Continue),
            Node::Call { at, name, pipe } => self.call_template(*at, name, pipe.as_ref(), dot),
        }
    }

    /// Variables that are declared inside are forgotten.
    fn scoped<T>(&mut self, inside: impl FnOnce(&mut Self) -> Done<T>) -> Done<T> {
        let known = self.variables.len();
        let result = inside(self);
        self.variables.truncate(known);
        result
    }

    fn range(&mut self, branch: &'a Branch, dot: &Value) -> Done<()> {
        let value = self.pipe(&branch.pipe, dot)?;
        let mut is_empty = true;
        for (key, item) in self.items(&branch.pipe, &value)? {
            is_empty = false;
            let result = self.scoped(|run| {
                match branch.pipe.variables.as_slice() {
                    [name] => run.set(name, item.clone(), branch.pipe.is_assignment),
                    [first, second] => {
                        run.set(first, key, branch.pipe.is_assignment);
                        run.set(second, item.clone(), branch.pipe.is_assignment);
                    }
                    _ => {}
                }
                run.step()?;
                run.list(&branch.then, &item)
            });
            match result {
                Err(Stop::Break) => break,
                Ok(()) | Err(Stop::Continue) => {}
                error => return error,
            }
        }
        if is_empty { self.list(&branch.otherwise, dot) } else { Ok(()) }
    }

    /// What a range goes over: keys or positions, and values.
    fn items(&self, pipe: &Pipe, value: &Value) -> Done<Vec<(Value, Value)>> {
        let position = |i: usize| Value::Int(i64::try_from(i).unwrap_or(i64::MAX));
        Ok(match value {
            Value::Samples(samples) => {
                samples.iter().enumerate().map(|(i, sample)| (position(i), Value::Sample(sample.clone()))).collect()
            }
            Value::Texts(texts) => {
                texts.iter().map(|(name, text)| (name.clone().into(), text.clone().into())).collect()
            }
            Value::Args(args) => args.iter().map(|(name, value)| (name.clone().into(), value.clone())).collect(),
            Value::Int(count) => {
                let count = usize::try_from(*count).unwrap_or(0).min(STEPS_MAX + 1);
                (0..count).map(|i| (position(i), position(i))).collect()
            }
            Value::Nil => Vec::new(),
            other => {
                let message = format!("range can't iterate over {}", other.text());
                return self.fail(pipe.at, &pipe.to_string(), &message);
            }
        })
    }

    fn call_template(&mut self, at: usize, name: &str, pipe: Option<&'a Pipe>, dot: &Value) -> Done<()> {
        let tree = self.tree;
        let Some(nodes) = tree.defined.get(name) else {
            let context =
                format!("{{{{template {name:?}{}}}}}", pipe.map(|pipe| format!(" {pipe}")).unwrap_or_default());
            return self.fail(at, &context, &format!("template {name:?} not defined"));
        };
        let dot = match pipe {
            Some(pipe) => self.pipe(pipe, dot)?,
            None => Value::Nil,
        };
        self.calls += 1;
        if self.calls > CALLS_MAX {
            return Err(Stop::Error(format!("templates call each other more than {CALLS_MAX} deep")));
        }
        let variables = std::mem::replace(&mut self.variables, vec![("$".to_owned(), dot.clone())]);
        let caller = std::mem::replace(&mut self.name, name.to_owned());
        self.list(nodes, &dot)?;
        (self.variables, self.name) = (variables, caller);
        self.calls -= 1;
        Ok(())
    }

    fn set(&mut self, name: &str, value: Value, is_assignment: bool) {
        match self.variables.iter_mut().rev().find(|(known, _)| known == name) {
            Some((_, known)) if is_assignment => *known = value,
            _ => self.variables.push((name.to_owned(), value)),
        }
    }

    fn pipe(&mut self, pipe: &'a Pipe, dot: &Value) -> Done<Value> {
        let mut last = None;
        for command in &pipe.commands {
            last = Some(self.command(command, dot, last)?);
        }
        let value = last.unwrap_or(Value::Nil);
        // In a range, the variables are the items; it sets them itself.
        if let [name] = pipe.variables.as_slice() {
            self.set(name, value.clone(), pipe.is_assignment);
        }
        Ok(value)
    }

    /// `fed` is the result of the command before, which comes last among the arguments.
    fn command(&mut self, command: &'a Command, dot: &Value, fed: Option<Value>) -> Done<Value> {
        self.step()?;
        let first = &command.args[0];
        let has_args = command.args.len() > 1 || fed.is_some();
        match &first.kind {
            ArgKind::Function(name) => return self.function(command, first, name, dot, fed),
            ArgKind::Field(names) => return self.fields(dot.clone(), names, first, command, dot, fed),
            ArgKind::Chain(inner, names) => {
                let receiver = self.arg(inner, dot)?;
                return self.fields(receiver, names, last_read(inner), command, dot, fed);
            }
            ArgKind::Variable(names) if names.len() > 1 => {
                let receiver = self.variable(&names[0]);
                return self.fields(receiver, &names[1..], first, command, dot, fed);
            }
            ArgKind::Nil => return self.fail_at(first, "nil is not a command"),
            _ => {}
        }
        if has_args {
            return self.fail_at(first, &format!("can't give argument to non-function {first}"));
        }
        self.arg(first, dot)
    }

    fn variable(&self, name: &str) -> Value {
        self.variables.iter().rev().find(|(known, _)| known == name).map_or(Value::Nil, |(_, value)| value.clone())
    }

    /// A value that stands alone.
    fn arg(&mut self, arg: &'a Arg, dot: &Value) -> Done<Value> {
        self.step()?;
        Ok(match &arg.kind {
            ArgKind::Bool(value) => Value::Bool(*value),
            ArgKind::Number { text, int, float } => self.ideal(arg, text, *int, *float)?,
            ArgKind::Text { text, .. } => Value::Text(text.as_str().into()),
            ArgKind::Dot => dot.clone(),
            ArgKind::Nil => Value::Nil,
            ArgKind::Variable(names) => {
                let receiver = self.variable(&names[0]);
                self.plain_fields(receiver, &names[1..], arg)?
            }
            ArgKind::Field(names) => self.plain_fields(dot.clone(), names, arg)?,
            ArgKind::Chain(inner, names) => {
                let receiver = self.arg(inner, dot)?;
                self.plain_fields(receiver, names, last_read(inner))?
            }
            ArgKind::Function(name) => {
                let function = functions::find(name);
                match function {
                    Some(function) => self.call(function, &[], arg, &arg.to_string())?,
                    None => return self.fail_at(arg, &format!("{name:?} is not a defined function")),
                }
            }
            ArgKind::Pipe(pipe) => self.pipe(pipe, dot)?,
        })
    }

    /// A literal takes the type that its spelling suggests.
    fn ideal(&self, arg: &Arg, text: &str, int: Option<i64>, float: f64) -> Done<Value> {
        let is_hex = text.to_ascii_lowercase().starts_with("0x");
        let is_float = !text.starts_with('\'') && !is_hex && text.contains(['.', 'e', 'E', 'p', 'P']);
        match int {
            Some(int) if !is_float => Ok(Value::Int(int)),
            None if !is_float => self.fail_at(arg, &format!("{text} overflows int")),
            _ => Ok(Value::Float(float)),
        }
    }

    fn plain_fields(&mut self, receiver: Value, names: &'a [String], arg: &Arg) -> Done<Value> {
        names.iter().try_fold(receiver, |receiver, name| self.field(&receiver, name, arg))
    }

    /// The fields of a command's first word; the last may be a method, which takes the command's arguments.
    fn fields(
        &mut self,
        receiver: Value,
        names: &'a [String],
        first: &'a Arg,
        command: &'a Command,
        dot: &Value,
        fed: Option<Value>,
    ) -> Done<Value> {
        let Some((last, before)) = names.split_last() else { return Ok(receiver) };
        let receiver = self.plain_fields(receiver, before, first)?;
        if command.args.len() == 1 && fed.is_none() {
            return self.field(&receiver, last, first);
        }
        if let (Value::Time(millis), "Format") = (&receiver, last.as_str()) {
            let mut given: Vec<Value> = Vec::new();
            for arg in &command.args[1..] {
                given.push(self.typed_arg(arg, dot, Kind::Text)?);
            }
            given.extend(fed);
            return match given.as_slice() {
                [Value::Text(layout)] => Ok(time::format(*millis, layout).into()),
                other => {
                    let message = format!("wrong number of args for {last}: want 1 got {}", other.len());
                    self.fail_at(first, &message)
                }
            };
        }
        self.fail_at(first, &format!("{last} is not a method but has arguments"))
    }

    fn field(&mut self, receiver: &Value, name: &str, arg: &Arg) -> Done<Value> {
        self.step()?;
        let facts = self.facts;
        match (receiver, name) {
            (Value::Facts, "Labels") => Ok(Value::Texts(facts.labels.clone())),
            (Value::Facts, "ExternalLabels") => Ok(Value::Texts(facts.external_labels.clone())),
            (Value::Facts, "ExternalURL") => Ok(super::shown(&facts.external_url).to_owned().into()),
            (Value::Facts, "Value") => Ok(Value::from(&facts.value)),
            (Value::Sample(sample), "Labels") => Ok(Value::Texts(sample.labels.clone())),
            (Value::Sample(sample), "Value") => Ok(Value::from(&sample.value)),
            (Value::Texts(texts), _) => Ok(texts.get(name).cloned().unwrap_or_default().into()),
            (Value::Args(args), _) => Ok(args.get(name).cloned().unwrap_or(Value::Nil)),
            (Value::Nil, _) => self.fail_at(arg, &format!("nil data; no entry for key {name:?}")),
            (value, name) => match time::method(value, name) {
                Some(result) => Ok(result),
                None => self.fail_at(arg, &format!("can't evaluate field {name} in type {}", value.type_name())),
            },
        }
    }

    fn function(
        &mut self,
        command: &'a Command,
        first: &'a Arg,
        name: &str,
        dot: &Value,
        fed: Option<Value>,
    ) -> Done<Value> {
        let Some(function) = functions::find(name) else {
            return self.fail_at(first, &format!("{name:?} is not a defined function"));
        };
        let given = &command.args[1..];
        let count = given.len() + usize::from(fed.is_some());
        self.check_count(function, count, first)?;
        if name == "and" || name == "or" {
            return self.and_or(name == "and", given, dot, fed);
        }
        let mut args = Vec::with_capacity(count);
        for (i, arg) in given.iter().enumerate() {
            args.push(self.typed_arg(arg, dot, kind(function, i))?);
        }
        if let Some(fed) = fed {
            let kind = kind(function, args.len());
            args.push(self.validated(fed, kind, first)?);
        }
        self.call(function, &args, first, &command.to_string())
    }

    fn check_count(&self, function: &Function, count: usize, first: &Arg) -> Done<()> {
        let name = function.name;
        let (needed, at_least) =
            if function.is_variadic { (function.args.len() - 1, "at least ") } else { (function.args.len(), "") };
        if count < needed || (!function.is_variadic && count > needed) {
            let message = format!("wrong number of args for {name}: want {at_least}{needed} got {count}");
            return self.fail_at(first, &message);
        }
        Ok(())
    }

    /// Looks at no more arguments than it takes to know.
    fn and_or(&mut self, is_and: bool, given: &'a [Arg], dot: &Value, fed: Option<Value>) -> Done<Value> {
        let mut value = Value::Nil;
        for arg in given {
            value = self.typed_arg(arg, dot, Kind::Any)?;
            if value.is_true() != is_and {
                return Ok(value);
            }
        }
        Ok(fed.unwrap_or(value))
    }

    fn call(&mut self, function: &Function, args: &[Value], at: &Arg, context: &str) -> Done<Value> {
        self.check_count(function, args.len(), at)?;
        // Before it is made: one call may join what a thousand variables hold.
        self.affords(args.iter().map(Value::bytes).sum())?;
        match (function.call)(self, args) {
            Ok(value) => {
                if let Value::Text(_) | Value::Args(_) = &value {
                    self.charge(value.bytes())?;
                }
                Ok(value)
            }
            Err(message) => self.fail(at.at, context, &format!("error calling {}: {message}", function.name)),
        }
    }

    fn typed_arg(&mut self, arg: &'a Arg, dot: &Value, kind: Kind) -> Done<Value> {
        let is_literal = matches!(arg.kind, ArgKind::Bool(_) | ArgKind::Number { .. } | ArgKind::Text { .. });
        match (&arg.kind, kind) {
            (ArgKind::Nil, Kind::Text) => return self.fail_at(arg, "cannot assign nil to string"),
            (ArgKind::Text { .. }, Kind::Text) | (_, Kind::Any) => {}
            (_, Kind::Text) if is_literal => return self.fail_at(arg, &format!("expected string; found {arg}")),
            (_, Kind::Samples | Kind::Sample) if is_literal => {
                let message = format!("can't handle {arg} for arg of type {}", kind.type_name());
                return self.fail_at(arg, &message);
            }
            _ => {}
        }
        let value = self.arg(arg, dot)?;
        self.validated(value, kind, arg)
    }

    fn validated(&self, value: Value, kind: Kind, at: &Arg) -> Done<Value> {
        let fits = match kind {
            Kind::Any => true,
            Kind::Text => matches!(value, Value::Text(_)),
            Kind::Samples => matches!(value, Value::Samples(_) | Value::Nil),
            Kind::Sample => matches!(value, Value::Sample(_) | Value::Nil),
        };
        if fits {
            return Ok(value);
        }
        let message = match &value {
            Value::Nil => format!("invalid value; expected {}", kind.type_name()),
            value => format!("wrong type for value; expected {}; got {}", kind.type_name(), value.type_name()),
        };
        self.fail_at(at, &message)
    }
}

/// The type of a function's argument at a position.
fn kind(function: &Function, position: usize) -> Kind {
    function.args.get(position).or(function.args.last()).copied().unwrap_or(Kind::Any)
}

/// What Go has looked at last when it has a value: the place of an error about its fields.
fn last_read(arg: &Arg) -> &Arg {
    match &arg.kind {
        ArgKind::Pipe(pipe) => pipe.commands.last().and_then(|command| command.args.last()).map_or(arg, last_read),
        _ => arg,
    }
}

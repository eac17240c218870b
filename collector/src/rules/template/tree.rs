//! A template as a tree, and how its parts are written in errors. Holds no logic.

use std::collections::HashMap;
use std::fmt;

/// A template with those that it defines.
#[derive(Debug)]
pub(super) struct Tree {
    pub name: String,
    pub text: String,
    pub root: Vec<Node>,
    pub defined: HashMap<String, Vec<Node>>,
}

/// A piece of output or control.
#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    Break,
    Continue,
    Call { at: usize, name: String, pipe: Option<Pipe> },
}

/// Something that depends on a value.
#[derive(Debug)]
pub(super) struct Branch {
    pub pipe: Pipe,
    pub then: Vec<Node>,
    pub otherwise: Vec<Node>,
}

/// Commands, each fed with the result of the one before.
#[derive(Debug)]
pub(super) struct Pipe {
    pub at: usize,
    pub variables: Vec<String>,
    pub is_assignment: bool,
    pub commands: Vec<Command>,
}

/// A function with its arguments, or a single value.
#[derive(Debug)]
pub(super) struct Command {
    pub at: usize,
    pub args: Vec<Arg>,
}

/// A value, with the byte at which it stands.
#[derive(Debug)]
pub(super) struct Arg {
    pub at: usize,
    pub kind: ArgKind,
}

#[derive(Debug)]
pub(super) enum ArgKind {
    Bool(bool),
    Number {
        text: String,
        int: Option<i64>,
        float: f64,
    },
    Text {
        quoted: String,
        text: String,
    },
    Dot,
    Nil,
    /// A variable's name and the fields behind it.
    Variable(Vec<String>),
    Field(Vec<String>),
    Chain(Box<Arg>, Vec<String>),
    Function(String),
    Pipe(Box<Pipe>),
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            write!(f, "{} {} ", self.variables.join(", "), if self.is_assignment { "=" } else { ":=" })?;
        }
        for (i, command) in self.commands.iter().enumerate() {
            write!(f, "{}{command}", if i > 0 { " | " } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, arg) in self.args.iter().enumerate() {
            write!(f, "{}{arg}", if i > 0 { " " } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Arg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ArgKind::Bool(value) => write!(f, "{value}"),
            ArgKind::Number { text, .. } => f.write_str(text),
            ArgKind::Text { quoted, .. } => f.write_str(quoted),
            ArgKind::Dot => f.write_str("."),
            ArgKind::Nil => f.write_str("nil"),
            ArgKind::Variable(names) => f.write_str(&names.join(".")),
            ArgKind::Field(names) => names.iter().try_for_each(|name| write!(f, ".{name}")),
            ArgKind::Chain(arg, names) => {
                write!(f, "{arg}")?;
                names.iter().try_for_each(|name| write!(f, ".{name}"))
            }
            ArgKind::Function(name) => f.write_str(name),
            ArgKind::Pipe(pipe) => write!(f, "({pipe})"),
        }
    }
}

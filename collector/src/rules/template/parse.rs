//! From tokens to a tree, with Go's rules and in Go's words for what is wrong.

use std::collections::HashMap;

use super::TemplateError;
use super::functions::is_function;
use super::lex::{Kind, Token, lex};
use super::numbers;
use super::tree::{Arg, ArgKind, Branch, Command, Node, Pipe, Tree};

/// The deepest nesting that is read, so that reading and filling in stay within a thread's stack.
const DEPTH_MAX: usize = 100;

/// Words that begin or end something.
const KEYWORDS: [&str; 10] = ["if", "else", "end", "range", "with", "define", "block", "template", "break", "continue"];

pub(super) fn parse(name: &str, text: String) -> Result<Tree, TemplateError> {
    let at_line = |at: usize, message: String| {
        let line = 1 + text[..at].matches('\n').count();
        TemplateError(format!("template: {name}:{line}: {message}"))
    };
    let tokens = lex(&text, at_line)?;
    let mut parser = Parser {
        tokens,
        next: 0,
        end: text.len(),
        variables: vec!["$".to_owned()],
        defined: HashMap::new(),
        loops: 0,
        depth: 0,
    };
    let (root, ending) = parser.list(true).map_err(|(at, message)| at_line(at, message))?;
    if let Some((at, ending)) = ending {
        return Err(at_line(at, format!("unexpected {{{{{}}}}}", ending.word())));
    }
    Ok(Tree { name: name.to_owned(), root, defined: parser.defined, text })
}

type Wrong = (usize, String);

/// What ended a list of nodes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Ending {
    End,
    Else,
}

impl Ending {
    fn word(self) -> &'static str {
        match self {
            Self::End => "end",
            Self::Else => "else",
        }
    }
}

/// Nodes, and what ended them and where.
type List = (Vec<Node>, Option<(usize, Ending)>);

/// What an action is, once its braces are closed.
enum Action {
    Node(Node),
    Nothing,
    Ends(Ending),
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    /// The text's length: where errors about its end are.
    end: usize,
    variables: Vec<String>,
    defined: HashMap<String, Vec<Node>>,
    loops: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    fn at(&self) -> usize {
        self.peek().map_or(self.end, |token| token.at)
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.next).cloned();
        self.next += 1;
        token
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|token| token.kind == Kind::Space) {
            self.next += 1;
        }
    }

    fn peek_solid(&mut self) -> Option<Kind> {
        self.skip_space();
        self.peek().map(|token| token.kind.clone())
    }

    fn unexpected<T>(&self, context: &str) -> Result<T, Wrong> {
        let found = self.peek().map_or("EOF".to_owned(), |token| written(&token.kind));
        Err((self.at(), format!("unexpected {found} in {context}")))
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Wrong>) -> Result<T, Wrong> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err((self.at(), format!("the template nests deeper than {DEPTH_MAX} levels")));
        }
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// Nodes up to an `end` or `else`, or to the end of the text.
    fn list(&mut self, is_top: bool) -> Result<List, Wrong> {
        let mut nodes = Vec::new();
        while let Some(token) = self.take() {
            match token.kind {
                Kind::Text(text) => nodes.push(Node::Text(text)),
                Kind::Open => match self.deeper(|parser| parser.action(is_top))? {
                    Action::Node(node) => nodes.push(node),
                    Action::Nothing => {}
                    Action::Ends(ending) => return Ok((nodes, Some((token.at, ending)))),
                },
                kind => return Err((token.at, format!("unexpected {} in input", written(&kind)))),
            }
        }
        Ok((nodes, None))
    }

    fn action(&mut self, is_top: bool) -> Result<Action, Wrong> {
        let at = self.at();
        let keyword = match self.peek_solid() {
            Some(Kind::Word(word)) if KEYWORDS.contains(&&*word) => word,
            _ => {
                // Its variables live on, unlike those of control structures.
                let pipe = self.pipeline("command", &Kind::Close)?;
                return Ok(Action::Node(Node::Action(pipe)));
            }
        };
        self.next += 1;
        match keyword.as_str() {
            "if" => self.branch("if").map(|branch| Action::Node(Node::If(branch))),
            "with" => self.branch("with").map(|branch| Action::Node(Node::With(branch))),
            "range" => self.branch("range").map(|branch| Action::Node(Node::Range(branch))),
            "else" => self.else_word(),
            "end" => self.close("end").map(|()| Action::Ends(Ending::End)),
            "break" | "continue" if self.loops == 0 => Err((at, format!("{{{{{keyword}}}}} outside {{{{range}}}}"))),
            "break" => self.close("{{break}}").map(|()| Action::Node(Node::Break)),
            "continue" => self.close("{{continue}}").map(|()| Action::Node(Node::Continue)),
            "template" => self.call().map(Action::Node),
            "block" => self.block(at).map(Action::Node),
            _ if is_top => self.define().map(|()| Action::Nothing),
            _ => Err((at, "unexpected {{define}}".to_owned())),
        }
    }

    fn close(&mut self, context: &str) -> Result<(), Wrong> {
        match self.peek_solid() {
            Some(Kind::Close) => {
                self.next += 1;
                Ok(())
            }
            _ => self.unexpected(context),
        }
    }

    /// `{{else}}`, or the first word of `{{else if ..}}` and `{{else with ..}}`, which are branches inside of an else.
    fn else_word(&mut self) -> Result<Action, Wrong> {
        match self.peek_solid() {
            Some(Kind::Word(word)) if word == "if" || word == "with" => Ok(Action::Ends(Ending::Else)),
            _ => self.close("else").map(|()| Action::Ends(Ending::Else)),
        }
    }

    fn branch(&mut self, context: &'static str) -> Result<Branch, Wrong> {
        let known = self.variables.len();
        let pipe = self.pipeline(context, &Kind::Close)?;
        self.loops += usize::from(context == "range");
        let (then, ending) = self.list(false)?;
        self.loops -= usize::from(context == "range");
        let otherwise = match ending {
            None => return Err((self.end, "unexpected EOF".to_owned())),
            Some((_, Ending::End)) => Vec::new(),
            Some((_, Ending::Else)) => self.otherwise(context)?,
        };
        self.variables.truncate(known);
        Ok(Branch { pipe, then, otherwise })
    }

    fn otherwise(&mut self, context: &'static str) -> Result<Vec<Node>, Wrong> {
        match self.peek_solid() {
            Some(Kind::Word(word)) if word == "if" || word == "with" => {
                if word != context {
                    return self.unexpected("else");
                }
                self.next += 1;
                let branch = self.deeper(|parser| parser.branch(context))?;
                Ok(vec![if context == "if" { Node::If(branch) } else { Node::With(branch) }])
            }
            _ => match self.list(false)? {
                (_, None) => Err((self.end, "unexpected EOF".to_owned())),
                (nodes, Some((_, Ending::End))) => Ok(nodes),
                (_, Some((at, Ending::Else))) => Err((at, "expected end; found {{else}}".to_owned())),
            },
        }
    }

    fn name(&mut self, context: &str) -> Result<String, Wrong> {
        match self.peek_solid() {
            Some(Kind::Quoted(quoted)) => {
                let at = self.at();
                self.next += 1;
                numbers::unquote(&quoted).ok_or((at, "invalid syntax".to_owned()))
            }
            _ => self.unexpected(context),
        }
    }

    fn call(&mut self) -> Result<Node, Wrong> {
        self.skip_space();
        let at = self.at();
        let name = self.name("template clause")?;
        let pipe = match self.peek_solid() {
            Some(Kind::Close) => self.close("template clause").map(|()| None)?,
            _ => Some(self.pipeline("template clause", &Kind::Close)?),
        };
        Ok(Node::Call { at, name, pipe })
    }

    fn block(&mut self, at: usize) -> Result<Node, Wrong> {
        let name = self.name("block clause")?;
        let pipe = self.pipeline("block clause", &Kind::Close)?;
        self.body(&name)?;
        Ok(Node::Call { at, name, pipe: Some(pipe) })
    }

    fn define(&mut self) -> Result<(), Wrong> {
        let name = self.name("define clause")?;
        self.close("define clause")?;
        self.body(&name)
    }

    fn body(&mut self, name: &str) -> Result<(), Wrong> {
        let outer = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let loops = std::mem::take(&mut self.loops);
        match self.list(false)? {
            (nodes, Some((_, Ending::End))) => self.defined.insert(name.to_owned(), nodes),
            (_, Some((at, Ending::Else))) => return Err((at, "unexpected {{else}} in define clause".to_owned())),
            (_, None) => return Err((self.end, "unexpected EOF".to_owned())),
        };
        (self.variables, self.loops) = (outer, loops);
        Ok(())
    }

    fn pipeline(&mut self, context: &str, end: &Kind) -> Result<Pipe, Wrong> {
        self.skip_space();
        let at = self.at();
        let (variables, is_assignment) = self.declaration(context)?;
        let mut commands = Vec::new();
        loop {
            let is_end = self.peek_solid().as_ref() == Some(end);
            if is_end {
                self.next += 1;
                check_pipeline(&commands, context, at)?;
                // What is declared is known from here on, not in its own declaration.
                if !is_assignment {
                    self.variables.extend(variables.iter().cloned());
                }
                return Ok(Pipe { at, variables, is_assignment, commands });
            }
            match self.peek_solid() {
                Some(
                    Kind::Close
                    | Kind::RightParen
                    | Kind::Pipe
                    | Kind::Comma
                    | Kind::Declare
                    | Kind::Assign
                    | Kind::Other(_),
                )
                | None => {
                    return self.unexpected(context);
                }
                Some(_) => {
                    let command = self.command()?;
                    commands.push(command);
                }
            }
        }
    }

    /// `$x :=`, `$x =`, and in ranges `$i, $x :=`.
    fn declaration(&mut self, context: &str) -> Result<(Vec<String>, bool), Wrong> {
        let (start, mut variables) = (self.next, Vec::new());
        while let Some(Kind::Variable(name)) = self.peek_solid() {
            self.next += 1;
            variables.push(name);
            match self.peek_solid() {
                Some(Kind::Declare) => {
                    self.next += 1;
                    return Ok((variables, false));
                }
                Some(Kind::Assign) => {
                    self.next += 1;
                    for name in &variables {
                        self.known(name)?;
                    }
                    return Ok((variables, true));
                }
                Some(Kind::Comma) if context == "range" && variables.len() < 2 => self.next += 1,
                Some(Kind::Comma) => return Err((self.at(), format!("too many declarations in {context}"))),
                _ => break,
            }
        }
        self.next = start;
        Ok((Vec::new(), false))
    }

    fn known(&self, name: &str) -> Result<(), Wrong> {
        if self.variables.iter().any(|known| known == name) {
            return Ok(());
        }
        Err((self.at(), format!("undefined variable {name:?}")))
    }

    fn command(&mut self) -> Result<Command, Wrong> {
        self.skip_space();
        let (at, mut args) = (self.at(), Vec::new());
        loop {
            self.skip_space();
            if let Some(arg) = self.deeper(Self::operand)? {
                args.push(arg);
            }
            match self.peek().map(|token| &token.kind) {
                Some(Kind::Space) => continue,
                Some(Kind::Close | Kind::RightParen) => {}
                Some(Kind::Pipe) => {
                    self.next += 1;
                    if matches!(self.peek_solid(), Some(Kind::Close | Kind::RightParen) | None) {
                        return Err((self.at(), "missing value for command".to_owned()));
                    }
                }
                _ => return self.unexpected("operand"),
            }
            break;
        }
        if args.is_empty() {
            return Err((at, "empty command".to_owned()));
        }
        Ok(Command { at, args })
    }

    fn operand(&mut self) -> Result<Option<Arg>, Wrong> {
        let Some(arg) = self.term()? else { return Ok(None) };
        // As in Go, what has fields is where the first of them is.
        let fields_at = self.at();
        let mut names = Vec::new();
        while let Some(Token { kind: Kind::Field(name), .. }) = self.peek() {
            names.push(name.clone());
            self.next += 1;
        }
        if names.is_empty() {
            return Ok(Some(arg));
        }
        let at = arg.at;
        let kind = match arg.kind {
            ArgKind::Field(before) => ArgKind::Field(before.into_iter().chain(names).collect()),
            ArgKind::Variable(before) => ArgKind::Variable(before.into_iter().chain(names).collect()),
            ArgKind::Bool(_) | ArgKind::Text { .. } | ArgKind::Number { .. } | ArgKind::Nil | ArgKind::Dot => {
                return Err((at, format!("unexpected . after term {:?}", arg.to_string())));
            }
            _ => ArgKind::Chain(Box::new(arg), names),
        };
        Ok(Some(Arg { at: fields_at, kind }))
    }

    fn term(&mut self) -> Result<Option<Arg>, Wrong> {
        self.skip_space();
        let at = self.at();
        let Some(kind) = self.peek().map(|token| token.kind.clone()) else { return Ok(None) };
        let kind = match kind {
            Kind::Word(word) => match word.as_str() {
                "true" | "false" => ArgKind::Bool(word == "true"),
                "nil" => ArgKind::Nil,
                word if KEYWORDS.contains(&word) => return self.unexpected("operand"),
                word if is_function(word) => ArgKind::Function(word.to_owned()),
                word => return Err((at, format!("function {word:?} not defined"))),
            },
            Kind::Dot => ArgKind::Dot,
            Kind::Variable(name) => {
                self.known(&name)?;
                ArgKind::Variable(vec![name])
            }
            Kind::Field(name) => ArgKind::Field(vec![name]),
            Kind::Number(text) | Kind::Char(text) => {
                let (int, float) = numbers::number(&text).ok_or((at, format!("bad number syntax: {text:?}")))?;
                ArgKind::Number { text, int, float }
            }
            Kind::Quoted(quoted) => {
                let text = numbers::unquote(&quoted).ok_or((at, "invalid syntax".to_owned()))?;
                ArgKind::Text { quoted, text }
            }
            Kind::LeftParen => {
                self.next += 1;
                let pipe = self.deeper(|parser| parser.pipeline("parenthesized pipeline", &Kind::RightParen))?;
                return Ok(Some(Arg { at, kind: ArgKind::Pipe(Box::new(pipe)) }));
            }
            _ => return Ok(None),
        };
        self.next += 1;
        Ok(Some(Arg { at, kind }))
    }
}

/// A pipeline needs a command, and only its first may be a plain value.
fn check_pipeline(commands: &[Command], context: &str, at: usize) -> Result<(), Wrong> {
    if commands.is_empty() {
        return Err((at, format!("missing value for {context}")));
    }
    for (i, command) in commands.iter().enumerate().skip(1) {
        let is_value = matches!(
            command.args[0].kind,
            ArgKind::Bool(_) | ArgKind::Dot | ArgKind::Nil | ArgKind::Number { .. } | ArgKind::Text { .. }
        );
        if is_value {
            return Err((command.at, format!("non executable command in pipeline stage {}", i + 1)));
        }
    }
    Ok(())
}

/// A token as errors show it.
fn written(kind: &Kind) -> String {
    match kind {
        Kind::Text(text) => format!("{text:?}"),
        Kind::Open => "\"{{\"".to_owned(),
        Kind::Close => "\"}}\"".to_owned(),
        Kind::Space => "\" \"".to_owned(),
        Kind::Word(word) if KEYWORDS.contains(&&**word) => format!("<{word}>"),
        Kind::Word(text) | Kind::Variable(text) | Kind::Number(text) | Kind::Char(text) | Kind::Quoted(text) => {
            format!("{text:?}")
        }
        Kind::Field(name) => format!("{:?}", format!(".{name}")),
        Kind::Dot => "\".\"".to_owned(),
        Kind::Pipe => "\"|\"".to_owned(),
        Kind::Comma => "\",\"".to_owned(),
        Kind::LeftParen => "\"(\"".to_owned(),
        Kind::RightParen => "\")\"".to_owned(),
        Kind::Declare => "\":=\"".to_owned(),
        Kind::Assign => "\"=\"".to_owned(),
        Kind::Other(c) => format!("{:?}", c.to_string()),
    }
}

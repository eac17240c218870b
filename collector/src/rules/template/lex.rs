//! From a template's text to tokens, as Go's `text/template/parse` cuts it. Knows nothing of what the tokens mean together.

use super::TemplateError;

/// A token and the byte at which it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub at: usize,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// Outside of braces.
    Text(String),
    Open,
    Close,
    Space,
    /// A function, a keyword, `true`, `false` or `nil`.
    Word(String),
    /// `.name`, without the point.
    Field(String),
    /// `$name`, with the dollar.
    Variable(String),
    Number(String),
    Char(String),
    /// A text with its quotes.
    Quoted(String),
    Dot,
    Pipe,
    Comma,
    LeftParen,
    RightParen,
    Declare,
    Assign,
    /// What means nothing here.
    Other(char),
}

/// Cuts a template; `error` makes an error at a byte.
pub(super) fn lex(text: &str, error: impl Fn(usize, String) -> TemplateError) -> Result<Vec<Token>, TemplateError> {
    let mut lexer = Lexer { text, at: 0, tokens: Vec::new() };
    lexer.all().map_err(|(at, message)| error(at, message))?;
    Ok(lexer.tokens)
}

type Wrong = (usize, String);

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<Token>,
}

const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn push(&mut self, bytes: usize, kind: Kind) {
        self.tokens.push(Token { at: self.at, kind });
        self.at += bytes;
    }

    fn all(&mut self) -> Result<(), Wrong> {
        let mut trims_left = false;
        loop {
            let rest = self.rest();
            let end = rest.find("{{").unwrap_or(rest.len());
            let is_last = end == rest.len();
            let opens_trimming = !is_last && is_trim_after(&rest[end + 2..]);
            let mut plain = &rest[..end];
            if trims_left {
                plain = plain.trim_start_matches(SPACES);
            }
            if opens_trimming {
                plain = plain.trim_end_matches(SPACES);
            }
            if !plain.is_empty() {
                let token = Token { at: self.at, kind: Kind::Text(plain.to_owned()) };
                self.tokens.push(token);
            }
            self.at += end;
            if is_last {
                return Ok(());
            }
            trims_left = self.action(opens_trimming)?;
        }
    }

    /// From the opening braces to behind the closing ones; whether those trim what follows.
    fn action(&mut self, opens_trimming: bool) -> Result<bool, Wrong> {
        let began = self.at;
        let opening = if opens_trimming { 4 } else { 2 };
        if self.text[self.at + opening..].starts_with("/*") {
            return self.comment(opening);
        }
        self.push(2, Kind::Open);
        self.at += opening - 2;
        let mut parens = 0usize;
        loop {
            let rest = self.rest();
            if let Some(trims) = closes(rest) {
                if parens > 0 {
                    return Err((self.at, "unclosed left paren".to_owned()));
                }
                self.at += if trims { 2 } else { 0 };
                self.push(2, Kind::Close);
                return Ok(trims);
            }
            match rest.chars().next() {
                None => return Err((began, "unclosed action".to_owned())),
                Some('(') => parens += 1,
                Some(')') => {
                    parens = parens.checked_sub(1).ok_or_else(|| (self.at, "unexpected right paren".to_owned()))?;
                }
                Some(_) => {}
            }
            self.token()?;
        }
    }

    fn comment(&mut self, opening: usize) -> Result<bool, Wrong> {
        let began = self.at;
        let inside = &self.text[began + opening..];
        let end = inside.find("*/").ok_or_else(|| (began, "unclosed comment".to_owned()))? + 2;
        let trims =
            closes(&inside[end..]).ok_or_else(|| (began, "comment ends before closing delimiter".to_owned()))?;
        self.at = began + opening + end + if trims { 4 } else { 2 };
        Ok(trims)
    }

    fn token(&mut self) -> Result<(), Wrong> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(()) };
        let second = rest[first.len_utf8()..].chars().next();
        match first {
            c if SPACES.contains(&c) => {
                let spaces = rest.len() - rest.trim_start_matches(SPACES).len();
                // The space of a closing " -}}" belongs to it.
                let spaces = if rest[spaces..].starts_with("-}}") { spaces - 1 } else { spaces };
                self.push(spaces.max(1), Kind::Space);
            }
            ':' if second == Some('=') => self.push(2, Kind::Declare),
            ':' => return Err((self.at, "expected :=".to_owned())),
            '=' => self.push(1, Kind::Assign),
            '|' => self.push(1, Kind::Pipe),
            ',' => self.push(1, Kind::Comma),
            '(' => self.push(1, Kind::LeftParen),
            ')' => self.push(1, Kind::RightParen),
            '"' => self.quoted('"', "unterminated quoted string", Kind::Quoted)?,
            '`' => self.raw()?,
            '\'' => self.quoted('\'', "unterminated character constant", Kind::Char)?,
            '$' => {
                let name = word(&rest[1..]);
                let variable = format!("${name}");
                self.ends(1 + name.len())?;
                self.push(variable.len(), Kind::Variable(variable));
            }
            '.' if !second.is_some_and(|c| c.is_ascii_digit()) => self.field()?,
            c if c == '+' || c == '-' || c == '.' || c.is_ascii_digit() => self.number()?,
            c if is_letter(c) => {
                let name = word(rest).to_owned();
                self.ends(name.len())?;
                self.push(name.len(), Kind::Word(name));
            }
            c if c.is_ascii_graphic() => self.push(1, Kind::Other(c)),
            c => {
                return Err((
                    self.at,
                    format!("unrecognized character in action: U+{:04X} {}", u32::from(c), shown(c)),
                ));
            }
        }
        Ok(())
    }

    fn field(&mut self) -> Result<(), Wrong> {
        let name = word(&self.rest()[1..]).to_owned();
        self.ends(1 + name.len())?;
        if name.is_empty() {
            self.push(1, Kind::Dot);
        } else {
            self.push(1 + name.len(), Kind::Field(name));
        }
        Ok(())
    }

    /// A word must not run into something else.
    fn ends(&self, bytes: usize) -> Result<(), Wrong> {
        let rest = &self.rest()[bytes..];
        match rest.chars().next() {
            None => Ok(()),
            Some(c) if SPACES.contains(&c) || ".,|:=()".contains(c) || rest.starts_with("}}") => Ok(()),
            Some(c) => Err((self.at, format!("bad character U+{:04X} {}", u32::from(c), shown(c)))),
        }
    }

    fn number(&mut self) -> Result<(), Wrong> {
        let rest = self.rest();
        let unsigned = rest.strip_prefix(['+', '-']).unwrap_or(rest);
        let is_hex = unsigned.starts_with("0x") || unsigned.starts_with("0X");
        let mut end = rest.len() - unsigned.len() + if is_hex { 2 } else { 0 };
        let mut previous = ' ';
        for c in rest[end..].chars() {
            let exponent = if is_hex { ['p', 'P'] } else { ['e', 'E'] };
            let is_sign = (c == '+' || c == '-') && exponent.contains(&previous);
            if !(c.is_ascii_alphanumeric() || c == '.' || c == '_' || is_sign) {
                break;
            }
            (end, previous) = (end + c.len_utf8(), c);
        }
        let text = rest[..end].to_owned();
        self.push(end, Kind::Number(text));
        Ok(())
    }

    fn quoted(&mut self, quote: char, message: &str, kind: fn(String) -> Kind) -> Result<(), Wrong> {
        let rest = self.rest();
        let mut escaped = false;
        for (i, c) in rest.char_indices().skip(1) {
            match c {
                '\n' => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                c if c == quote => {
                    let text = rest[..=i].to_owned();
                    self.push(i + 1, kind(text));
                    return Ok(());
                }
                _ => {}
            }
        }
        Err((self.at, message.to_owned()))
    }

    fn raw(&mut self) -> Result<(), Wrong> {
        let end = self.rest()[1..].find('`').ok_or_else(|| (self.at, "unterminated raw quoted string".to_owned()))?;
        let text = self.rest()[..end + 2].to_owned();
        self.push(text.len(), Kind::Quoted(text));
        Ok(())
    }
}

/// Whether what follows the opening braces is `- `.
fn is_trim_after(rest: &str) -> bool {
    rest.starts_with('-') && rest[1..].starts_with(SPACES)
}

/// Whether the action ends here, and trims what follows: ` -}}`.
fn closes(rest: &str) -> Option<bool> {
    let trimming = rest.strip_prefix(SPACES).is_some_and(|rest| rest.starts_with("-}}"));
    if trimming { Some(true) } else { rest.starts_with("}}").then_some(false) }
}

fn is_letter(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn word(rest: &str) -> &str {
    &rest[..rest.find(|c| !is_letter(c)).unwrap_or(rest.len())]
}

/// A character as Go's `%#U` shows it.
fn shown(c: char) -> String {
    if c.is_control() || c.is_whitespace() { String::new() } else { format!("'{c}'") }
}

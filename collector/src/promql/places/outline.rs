//! Reads a query just so far as to know where its functions, parentheses and operands begin. Judges nothing: the query has
//! been parsed before. Start at `read`.

use super::{Placed, Token, tokens};
use crate::promql::histogram::Kept;

/// What a part of a query is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A function or an aggregation.
    Call,
    Paren,
    /// A number, a text or a selector.
    Leaf,
}

/// A part of a query.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub kind: Kind,
    pub start: usize,
    /// Where the signs before it begin; its own start if there are none.
    pub sign: usize,
    /// Where each argument of a call begins.
    pub arguments: Vec<usize>,
}

/// A query as far as its outline goes, all in order of the text.
#[derive(Debug, Default)]
pub(super) struct Outline {
    pub parts: Vec<Part>,
    /// Of each operator between two operands, what it trims if it does.
    pub operators: Vec<Option<Kept>>,
}

/// Reads a query; nothing if it is not understood.
pub(super) fn read(query: &str) -> Option<Outline> {
    let mut reader = Reader { query, tokens: tokens(query), at: 0, parts: Vec::new(), operators: Vec::new() };
    reader.expression()?;
    let all = reader.at == reader.tokens.len();
    all.then_some(Outline { parts: reader.parts, operators: reader.operators })
}

struct Reader<'a> {
    query: &'a str,
    tokens: Vec<Placed>,
    at: usize,
    parts: Vec<Part>,
    operators: Vec<Option<Kept>>,
}

impl Reader<'_> {
    /// Operands with operators between them.
    fn expression(&mut self) -> Option<()> {
        loop {
            self.operand()?;
            self.modifiers()?;
            if !self.operator()? {
                return Some(());
            }
        }
    }

    fn operand(&mut self) -> Option<()> {
        let sign = self.start()?;
        while matches!(self.token(), Some(Token::Other(b'+' | b'-'))) {
            self.at += 1;
        }
        let start = self.start()?;
        let mut part = Part { kind: Kind::Leaf, start, sign, arguments: Vec::new() };
        match self.token()? {
            Token::Open => {
                part.kind = Kind::Paren;
                self.parts.push(part);
                self.at += 1;
                self.expression()?;
                self.expect(Token::Close)
            }
            Token::Word if self.begins_call() => {
                part.kind = Kind::Call;
                self.call(part)
            }
            Token::Word | Token::Other(b'.') => {
                self.parts.push(part);
                self.number_or_name();
                self.braces()
            }
            Token::Other(b'{') => {
                self.parts.push(part);
                self.braces()
            }
            Token::Other(b'"' | b'\'' | b'`') => {
                self.parts.push(part);
                self.at += 1;
                Some(())
            }
            _ => None,
        }
    }

    /// Whether a word is followed by arguments, after a grouping or not.
    fn begins_call(&self) -> bool {
        match self.tokens.get(self.at + 1).map(|token| token.0) {
            Some(Token::Open) => true,
            Some(Token::Word) => {
                self.is_word(self.at + 1, &["by", "without"])
                    && self.tokens.get(self.at + 2).is_some_and(|token| token.0 == Token::Open)
            }
            _ => false,
        }
    }

    fn call(&mut self, part: Part) -> Option<()> {
        let place = self.parts.len();
        self.parts.push(part);
        self.at += 1;
        self.grouping()?;
        self.expect(Token::Open)?;
        while self.token()? != Token::Close {
            let start = self.start()?;
            self.parts[place].arguments.push(start);
            self.expression()?;
            if self.token()? == Token::Comma {
                self.at += 1;
            }
        }
        self.expect(Token::Close)?;
        self.grouping()
    }

    fn grouping(&mut self) -> Option<()> {
        if self.is_word(self.at, &["by", "without"]) {
            self.at += 1;
            self.balanced(Token::Open, Token::Close)?;
        }
        Some(())
    }

    /// A word; of a number such as `1.5e-3` or `.5`, all its tokens.
    fn number_or_name(&mut self) {
        let dotted = self.token() == Some(Token::Other(b'.'));
        self.at += 1 + usize::from(dotted);
        let Some((_, start, end)) = self.tokens.get(self.at - 1) else { return };
        let word = &self.query[*start..*end];
        let decimal = word.starts_with(|c: char| c.is_ascii_digit()) && !word.starts_with("0x");
        let signed = matches!(self.token(), Some(Token::Other(b'+' | b'-'))) && self.start() == Some(*end);
        if decimal && word.ends_with(['e', 'E']) && signed {
            self.at += 2;
        }
    }

    fn braces(&mut self) -> Option<()> {
        if self.token() == Some(Token::Other(b'{')) {
            self.balanced(Token::Other(b'{'), Token::Other(b'}'))?;
        }
        Some(())
    }

    /// Ranges, `offset` and `@`.
    fn modifiers(&mut self) -> Option<()> {
        loop {
            match self.token() {
                Some(Token::Other(b'[')) => self.balanced(Token::Other(b'['), Token::Other(b']'))?,
                Some(Token::Other(b'@')) => self.time()?,
                Some(Token::Word) if self.is_word(self.at, &["offset"]) => self.time()?,
                Some(Token::Word) if self.is_word(self.at, &["anchored", "smoothed"]) => self.at += 1,
                _ => return Some(()),
            }
        }
    }

    /// `@` or `offset` with the time after it.
    fn time(&mut self) -> Option<()> {
        self.at += 1;
        while matches!(self.token(), Some(Token::Other(b'+' | b'-'))) {
            self.at += 1;
        }
        if matches!(self.token(), Some(Token::Word | Token::Other(b'.'))) {
            self.number_or_name();
        }
        if self.token() == Some(Token::Open) {
            self.balanced(Token::Open, Token::Close)?;
        }
        Some(())
    }

    /// An operator with its own modifiers, if there is one.
    fn operator(&mut self) -> Option<bool> {
        const MODIFIERS: [&str; 8] =
            ["bool", "on", "ignoring", "group_left", "group_right", "fill", "fill_left", "fill_right"];
        let mut trims = None;
        match self.token() {
            Some(Token::Other(b'+' | b'-' | b'*' | b'/' | b'%' | b'^')) => self.at += 1,
            Some(Token::Other(first @ (b'=' | b'!' | b'<' | b'>'))) => {
                self.at += 1;
                match self.token() {
                    Some(Token::Other(b'=')) => self.at += 1,
                    Some(Token::Other(b'/')) => {
                        self.at += 1;
                        trims = Some(if first == b'<' { Kept::Below } else { Kept::Above });
                    }
                    _ => {}
                }
            }
            Some(Token::Word) if self.is_word(self.at, &["and", "or", "unless", "atan2"]) => self.at += 1,
            _ => return Some(false),
        }
        self.operators.push(trims);
        while self.is_word(self.at, &MODIFIERS) {
            let bare = self.is_word(self.at, &["bool", "group_left", "group_right"]);
            let own = !self.is_word(self.at, &["bool"]);
            self.at += 1;
            if own && self.token() == Some(Token::Open) {
                self.balanced(Token::Open, Token::Close)?;
            } else if !bare {
                return None;
            }
        }
        Some(true)
    }

    /// Everything from an opening token to the one that closes it.
    fn balanced(&mut self, open: Token, close: Token) -> Option<()> {
        let mut depth = 0usize;
        loop {
            let token = self.token()?;
            self.at += 1;
            if token == open {
                depth += 1;
            } else if token == close {
                depth = depth.checked_sub(1)?;
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    fn expect(&mut self, token: Token) -> Option<()> {
        (self.token()? == token).then(|| self.at += 1)
    }

    fn token(&self) -> Option<Token> {
        self.tokens.get(self.at).map(|token| token.0)
    }

    fn start(&self) -> Option<usize> {
        self.tokens.get(self.at).map(|token| token.1)
    }

    fn is_word(&self, at: usize, words: &[&str]) -> bool {
        self.tokens.get(at).is_some_and(|(token, start, end)| {
            *token == Token::Word && words.iter().any(|word| word.eq_ignore_ascii_case(&self.query[*start..*end]))
        })
    }
}

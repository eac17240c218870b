//! Attributes and their values, as far as a span has room for them. Nested values become JSON, down to a depth.

use crate::traces::interner::Interner;
use crate::traces::span::{Attribute, Value};
use crate::wire::{Field, Fields, Malformed};

use super::{TEXT_BYTES_MAX, cut, text};

/// Attributes of one span, event or resource; OpenTelemetry's SDKs keep 128 a span by default.
const ATTRIBUTES_MAX: usize = 128;

/// Bytes of keys and values of one span, its events and all: four texts of the largest size. Ordinary spans have some hundred.
const SPAN_BYTES_MAX: usize = 64 << 10;

/// Lists inside of lists; nobody reads deeper, and the stack has its end.
const DEPTH_MAX: u32 = 32;

/// What one span may still take, and whether something found no room.
pub(super) struct Room {
    left: usize,
    pub is_cut: bool,
}

impl Default for Room {
    fn default() -> Self {
        Self { left: SPAN_BYTES_MAX, is_cut: false }
    }
}

impl Room {
    /// Takes so many bytes of a text, or those that are left when it is cut, if there is room.
    pub fn take(&mut self, bytes: usize) -> bool {
        self.is_cut |= bytes > TEXT_BYTES_MAX;
        let bytes = bytes.min(TEXT_BYTES_MAX);
        let has_room = bytes <= self.left;
        if has_room {
            self.left -= bytes;
        } else {
            self.is_cut = true;
        }
        has_room
    }

    /// The attributes that a message has in a field; about so many.
    pub fn attributes(
        &mut self,
        message: &[u8],
        (number, about): (u32, usize),
        interner: &mut Interner,
    ) -> Result<Box<[Attribute]>, Malformed> {
        let mut attributes = Vec::with_capacity(about.min(ATTRIBUTES_MAX));
        for field in Fields(message) {
            let field = field?;
            if field.number != number {
                continue;
            }
            if attributes.len() >= ATTRIBUTES_MAX {
                self.is_cut = true;
                break;
            }
            attributes.extend(self.attribute(field.bytes()?, interner)?);
        }
        Ok(attributes.into())
    }

    fn attribute(&mut self, pair: &[u8], interner: &mut Interner) -> Result<Option<Attribute>, Malformed> {
        let (mut key, mut any): (_, &[u8]) = (Default::default(), &[]);
        for field in Fields(pair) {
            let field = field?;
            match field.number {
                1 => key = text(&field)?,
                2 => any = field.bytes()?,
                _ => {}
            }
        }
        if !self.take(key.len()) {
            return Ok(None);
        }
        let Some(value) = self.value(any, interner)? else { return Ok(None) };
        Ok(Some(Attribute { key: interner.text(cut(&key)), value }))
    }

    /// A value; none if there is no room for it.
    fn value(&mut self, any: &[u8], interner: &mut Interner) -> Result<Option<Value>, Malformed> {
        let Some(field) = one_of(any)? else { return Ok(Some(Value::Text(interner.text("")))) };
        Ok(Some(match field.number {
            1 => {
                let found = text(&field)?;
                if !self.take(found.len()) {
                    return Ok(None);
                }
                Value::Text(interner.text(cut(&found)))
            }
            2 => Value::Bool(field.uint64()? != 0),
            3 => Value::Int(field.int64()?),
            4 => Value::Double(field.double()?),
            5 | 6 => {
                // What is too large is not made into a text first.
                let words =
                    if field.bytes()?.len() > SPAN_BYTES_MAX { None } else { Some(json(&field, 0)?.to_string()) };
                let Some(words) = words.filter(|words| self.take(words.len())) else {
                    self.is_cut = true;
                    return Ok(None);
                };
                Value::Json(interner.text(cut(&words)))
            }
            7 => {
                let bytes = field.bytes()?;
                if !self.take(bytes.len()) {
                    return Ok(None);
                }
                Value::Bytes(bytes[..bytes.len().min(TEXT_BYTES_MAX)].into())
            }
            // An index into the string table of profiles; spans have no such table.
            _ => Value::Text(interner.text("")),
        }))
    }
}

/// The field that an `AnyValue` has: the last one counts.
fn one_of(any: &[u8]) -> Result<Option<Field<'_>>, Malformed> {
    let mut found = None;
    for field in Fields(any) {
        let field = field?;
        if (1..=8).contains(&field.number) {
            found = Some(field);
        }
    }
    Ok(found)
}

/// Nested values as JSON.
fn json(field: &Field<'_>, depth: u32) -> Result<serde_json::Value, Malformed> {
    Ok(match field.number {
        1 => text(field)?.into(),
        2 => (field.uint64()? != 0).into(),
        3 => field.int64()?.into(),
        4 => field.double()?.into(),
        5 | 6 if depth >= DEPTH_MAX => serde_json::Value::Null,
        5 => {
            let mut list = Vec::new();
            for value in Fields(field.bytes()?) {
                let value = value?;
                if value.number == 1 {
                    list.push(json_of(value.bytes()?, depth)?);
                }
            }
            list.into()
        }
        6 => {
            let mut map = serde_json::Map::new();
            for pair in Fields(field.bytes()?) {
                let pair = pair?;
                if pair.number == 1 {
                    let (key, value) = json_pair(pair.bytes()?, depth)?;
                    map.insert(key, value);
                }
            }
            map.into()
        }
        7 => field.bytes()?.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into(),
        _ => serde_json::Value::Null,
    })
}

fn json_of(any: &[u8], depth: u32) -> Result<serde_json::Value, Malformed> {
    one_of(any)?.map_or(Ok(serde_json::Value::Null), |field| json(&field, depth + 1))
}

fn json_pair(pair: &[u8], depth: u32) -> Result<(String, serde_json::Value), Malformed> {
    let (mut key, mut value) = (String::new(), serde_json::Value::Null);
    for field in Fields(pair) {
        let field = field?;
        match field.number {
            1 => key = text(&field)?.into_owned(),
            2 => value = json_of(field.bytes()?, depth)?,
            _ => {}
        }
    }
    Ok((key, value))
}

//! Protobuf's wire format, read without copying; `put` writes it. The messages of remote write and of targets are read this way
//! because structures made of them take up to a hundred times the memory of their bytes; here nothing is allocated. Knows no message, but for
//! two in `alike`.

pub mod alike;
pub mod put;

/// Why bytes are no protobuf message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A field says that it is longer than what is left.
    #[error("the message is cut short")]
    Short,
    /// A number has more than 64 bits.
    #[error("a number is longer than 64 bits")]
    Varint,
    /// Groups, which are no longer in use, and types that do not exist.
    #[error("a field has the wire type {0}, which is not in use")]
    WireType(u8),
    /// A known field has another type than it should.
    #[error("field {0} has the wrong type")]
    Type(u32),
    /// A text is not UTF-8.
    #[error("field {0} is not UTF-8")]
    Utf8(u32),
}

/// The same in words that are always the same, for who says the place himself.
impl From<Malformed> for &'static str {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::Short => "the message is cut short",
            Malformed::Varint => "a number is longer than 64 bits",
            Malformed::WireType(_) => "a field has a wire type that is not in use",
            Malformed::Type(_) => "a field has the wrong type",
            Malformed::Utf8(_) => "a text is not UTF-8",
        }
    }
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// A number of variable length.
    Varint(u64),
    /// Eight bytes.
    Fixed64(u64),
    /// Text, bytes, a message, or numbers in a row.
    Bytes(&'a [u8]),
    /// Four bytes.
    Fixed32(u32),
}

/// A field with its number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field<'a> {
    /// The field's number.
    pub number: u32,
    /// What it holds.
    pub value: Value<'a>,
}

impl<'a> Field<'a> {
    fn wrong(&self) -> Malformed {
        Malformed::Type(self.number)
    }

    /// A message or bytes.
    pub fn bytes(&self) -> Result<&'a [u8], Malformed> {
        if let Value::Bytes(bytes) = self.value { Ok(bytes) } else { Err(self.wrong()) }
    }

    /// A text.
    pub fn text(&self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed::Utf8(self.number))
    }

    /// `uint64`, and what else is written as it is.
    pub fn uint64(&self) -> Result<u64, Malformed> {
        if let Value::Varint(value) = self.value { Ok(value) } else { Err(self.wrong()) }
    }

    /// `int64`.
    pub fn int64(&self) -> Result<i64, Malformed> {
        self.uint64().map(u64::cast_signed)
    }

    /// `uint32`, `int32` and enumerations: of a longer number the low half counts.
    pub fn uint32(&self) -> Result<u32, Malformed> {
        self.uint64().map(low)
    }

    /// `sint32`.
    pub fn sint32(&self) -> Result<i32, Malformed> {
        let zigzag = self.uint32()?;
        Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }

    /// `double`.
    pub fn double(&self) -> Result<f64, Malformed> {
        if let Value::Fixed64(bits) = self.value { Ok(f64::from_bits(bits)) } else { Err(self.wrong()) }
    }

    /// One of a repeated number of variable length, or many in a row.
    pub fn varints(&self, mut each: impl FnMut(u64)) -> Result<(), Malformed> {
        match self.value {
            Value::Varint(value) => each(value),
            Value::Bytes(mut row) => {
                while !row.is_empty() {
                    each(varint(&mut row)?);
                }
            }
            Value::Fixed64(_) | Value::Fixed32(_) => return Err(self.wrong()),
        }
        Ok(())
    }

    /// One of a repeated `double`, or many in a row.
    pub fn doubles(&self, mut each: impl FnMut(f64)) -> Result<(), Malformed> {
        match self.value {
            Value::Fixed64(bits) => each(f64::from_bits(bits)),
            Value::Bytes(row) => {
                let (doubles, rest) = row.as_chunks::<8>();
                if !rest.is_empty() {
                    return Err(Malformed::Short);
                }
                doubles.iter().for_each(|bytes| each(f64::from_le_bytes(*bytes)));
            }
            Value::Varint(_) | Value::Fixed32(_) => return Err(self.wrong()),
        }
        Ok(())
    }
}

/// The low half of a number, as protobuf reads a 32-bit one.
pub fn low(value: u64) -> u32 {
    u32::try_from(value & u64::from(u32::MAX)).expect("the high half is masked")
}

/// `sint64`.
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Takes a number of variable length off the front.
pub fn varint(rest: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0u64;
    for (i, byte) in rest.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        if i == 9 && bits > 1 {
            return Err(Malformed::Varint);
        }
        value |= bits << (7 * i);
        if byte & 0x80 == 0 {
            *rest = &rest[i + 1..];
            return Ok(value);
        }
    }
    Err(if rest.len() < 10 { Malformed::Short } else { Malformed::Varint })
}

fn take<'a>(rest: &mut &'a [u8], length: u64) -> Result<&'a [u8], Malformed> {
    let length = usize::try_from(length).map_err(|_| Malformed::Short)?;
    let (taken, after) = rest.split_at_checked(length).ok_or(Malformed::Short)?;
    *rest = after;
    Ok(taken)
}

/// Takes a message off the front whose length stands before it.
pub fn delimited<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let length = varint(rest)?;
    take(rest, length)
}

/// The fields of a message, in the order in which they stand.
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    fn read(&mut self) -> Result<Field<'a>, Malformed> {
        let rest = &mut self.0;
        let key = varint(rest)?;
        let number = low(key >> 3);
        let value = match key & 7 {
            0 => Value::Varint(varint(rest)?),
            1 => Value::Fixed64(u64::from_le_bytes(*take(rest, 8)?.first_chunk().ok_or(Malformed::Short)?)),
            2 => Value::Bytes(delimited(rest)?),
            5 => Value::Fixed32(u32::from_le_bytes(*take(rest, 4)?.first_chunk().ok_or(Malformed::Short)?)),
            other => return Err(Malformed::WireType(u8::try_from(other).unwrap_or(u8::MAX))),
        };
        Ok(Field { number, value })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests;

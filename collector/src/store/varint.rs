//! Numbers and texts as bytes: LEB128, signed ones zigzag, texts after their length. Reading gives `None` where the bytes are
//! something else, and never panics.

pub(crate) fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

pub(crate) fn write_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

pub(crate) fn write_signed(out: &mut Vec<u8>, value: i64) {
    write_number(out, ((value << 1) ^ (value >> 63)) as u64);
}

pub(crate) fn read_signed(bytes: &mut &[u8]) -> Option<i64> {
    read_number(bytes).map(|raw| ((raw >> 1) as i64) ^ -((raw & 1) as i64))
}

pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    write_number(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

pub(crate) fn read_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::try_from(read_number(bytes)?).ok()?;
    std::str::from_utf8(take(bytes, length)?).ok()
}

/// All 8 bytes of a float.
pub(crate) fn write_float(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

pub(crate) fn read_float(bytes: &mut &[u8]) -> Option<f64> {
    let raw = take(bytes, 8)?.try_into().ok()?;
    Some(f64::from_bits(u64::from_le_bytes(raw)))
}

/// How many of something follow; never more than there are bytes.
pub(crate) fn read_length(bytes: &mut &[u8]) -> Option<usize> {
    usize::try_from(read_number(bytes)?).ok().filter(|length| *length <= bytes.len())
}

//! Writes protobuf's wire format field by field. A field that has its default value is left out, as its absence means the same.

/// `sint64`, to be written.
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// Writes a number of variable length.
pub fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).expect("seven bits") | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).expect("seven bits"));
}

fn key(out: &mut Vec<u8>, number: u32, wire_type: u64) {
    varint(out, (u64::from(number) << 3) | wire_type);
}

/// Writes a field with a number; 0 is left out, as its absence means the same.
pub fn uint64(out: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        key(out, number, 0);
        varint(out, value);
    }
}

/// Writes an `int64`.
pub fn int64(out: &mut Vec<u8>, number: u32, value: i64) {
    uint64(out, number, value.cast_unsigned());
}

/// Writes a `double` also if it is zero, as a choice between fields needs.
pub fn double_always(out: &mut Vec<u8>, number: u32, value: f64) {
    key(out, number, 1);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Writes text, bytes, a message, or numbers in a row.
pub fn bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    key(out, number, 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
/// Writes a `double`; only plus zero is left out.
pub fn double(out: &mut Vec<u8>, number: u32, value: f64) {
    if value.to_bits() != 0 {
        key(out, number, 1);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// Writes a message made by `fill`. `scratch` is memory for it, empty before and after.
pub fn message(out: &mut Vec<u8>, number: u32, scratch: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    fill(scratch);
    bytes(out, number, scratch);
    scratch.clear();
}

//! Protobuf by hand, and a request of remote write 1.0 in it: snappy without compressing, which every reader of it takes. Sends
//! nothing. Start at `WriteRequest`.

/// A request that is being put together.
#[derive(Debug, Default)]
pub struct WriteRequest {
    message: Vec<u8>,
    series: Vec<u8>,
}

impl WriteRequest {
    /// With room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { message: Vec::with_capacity(bytes), series: Vec::new() }
    }

    /// Adds a series: labels in order of their names, samples by milliseconds and value.
    pub fn series(&mut self, labels: &[(&str, &str)], samples: impl Iterator<Item = (i64, f64)>) {
        self.series.clear();
        for (name, value) in labels {
            let mut label = Vec::with_capacity(name.len() + value.len() + 4);
            field(&mut label, 1, name.as_bytes());
            field(&mut label, 2, value.as_bytes());
            field(&mut self.series, 1, &label);
        }
        for (time_ms, value) in samples {
            let mut sample = Vec::with_capacity(18);
            sample.push(1 << 3 | 1);
            sample.extend(value.to_le_bytes());
            sample.push(2 << 3);
            varint(&mut sample, time_ms.cast_unsigned());
            field(&mut self.series, 2, &sample);
        }
        field(&mut self.message, 1, &self.series);
    }

    /// The body to post.
    pub fn packed(&self) -> Vec<u8> {
        uncompressed(&self.message)
    }
}

/// A field of bytes with its number and length.
pub fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend(bytes);
}

/// A number of protobuf's, seven bits a byte.
pub fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Snappy's block format, of literals only: the length, then pieces of at most 64 KiB with a tag that says how long.
fn uncompressed(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 1_000 + 16);
    varint(&mut out, bytes.len() as u64);
    for piece in bytes.chunks(1 << 16) {
        let last = u16::try_from(piece.len() - 1).expect("a piece has at most 65,536 bytes");
        out.push(61 << 2);
        out.extend(last.to_le_bytes());
        out.extend(piece);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_pieces_are_as_the_formats_say() {
        let mut out = Vec::new();
        varint(&mut out, 300);
        assert_eq!(out, [0xac, 0x02]);
        assert_eq!(uncompressed(b"abc"), [3, 61 << 2, 2, 0, b'a', b'b', b'c']);
        assert_eq!(uncompressed(&[7; 70_000]).len(), 3 + 70_000 + 2 * 3);
    }

    #[test]
    fn a_request_is_as_the_message_says() {
        let mut request = WriteRequest::default();
        request.series(&[("__name__", "a")], [(1, 0.0)].into_iter());
        let label = [10, 13, 10, 8, b'_', b'_', b'n', b'a', b'm', b'e', b'_', b'_', 18, 1, b'a'];
        let sample = [18, 11, 9, 0, 0, 0, 0, 0, 0, 0, 0, 16, 1];
        assert_eq!(request.message, [&[10, 28][..], &label, &sample].concat());
    }
}

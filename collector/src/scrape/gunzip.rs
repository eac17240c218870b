//! Decompresses a text that came as gzip: in one go, into memory that is large enough from the start, so that nothing of it is
//! copied. Members in a row are one text, as Go reads them. Knows nothing of HTTP and of what the text says.

use flate2::{Decompress, FlushDecompress, Status};

use super::apart::{BYTES_APART, apart};

/// Bytes that a byte of gzip comes to at most: whoever says more does not get the memory for it.
const RATIO_MAX: usize = 1_032;

/// Room behind the text: with less than about 260 bytes, decompression goes on byte by byte.
const SPARE: usize = 512;

/// Room that is made at once where a text is longer than was said.
const ROOM_MIN: usize = 16 << 10;

/// The largest window there is: 32 KiB.
const WINDOW_BITS: u8 = 15;

/// Appends what was compressed to a text, as long as that is no longer than `bytes_max`: what comes to more ends one piece later.
///
/// # Errors
/// What is wrong with it.
pub(super) fn gunzip(compressed: &[u8], bytes_max: usize, text: &mut Vec<u8>) -> Result<(), String> {
    let expected = said(compressed).min(bytes_max);
    text.reserve(expected + SPARE);
    // How long it is only the end tells for certain.
    let is_large = expected >= BYTES_APART || compressed.len() >= BYTES_APART / 4;
    if is_large { apart(|| members(compressed, bytes_max, text)) } else { members(compressed, bytes_max, text) }
}

/// How long the text is by its own account: right unless it has several members, or lies.
fn said(compressed: &[u8]) -> usize {
    let said = compressed.last_chunk().map_or(0, |length| u32::from_le_bytes(*length) as usize);
    said.min(compressed.len().saturating_mul(RATIO_MAX))
}

fn members(mut compressed: &[u8], bytes_max: usize, text: &mut Vec<u8>) -> Result<(), String> {
    let mut member = Decompress::new_gzip(WINDOW_BITS);
    while text.len() <= bytes_max {
        if text.capacity() - text.len() < SPARE {
            text.reserve(ROOM_MIN.max(text.len() / 2));
        }
        let (length, taken) = (text.len(), member.total_in());
        let status =
            member.decompress_vec(compressed, text, FlushDecompress::Finish).map_err(|error| error.to_string())?;
        let taken = usize::try_from(member.total_in() - taken).unwrap_or(usize::MAX);
        compressed = compressed.get(taken..).unwrap_or_default();
        match status {
            Status::StreamEnd if compressed.is_empty() => return Ok(()),
            Status::StreamEnd => member = Decompress::new_gzip(WINDOW_BITS),
            Status::Ok | Status::BufError if taken == 0 && text.len() == length => {
                return Err("it ends too early".to_owned());
            }
            Status::Ok | Status::BufError => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn text(length: usize) -> Vec<u8> {
        let lines = (0..).flat_map(|line| format!("metric{{line=\"{line}\"}} {}\n", line * 7_919 % 1_013).into_bytes());
        lines.take(length).collect()
    }

    fn read(compressed: &[u8], bytes_max: usize) -> Result<Vec<u8>, String> {
        let mut found = b"before ".to_vec();
        gunzip(compressed, bytes_max, &mut found)?;
        assert_eq!(&found[..7], b"before ");
        Ok(found.split_off(7))
    }

    #[test]
    fn texts_come_back_whatever_their_length() {
        for length in [0, 1, 259, 511, 512, 513, 20_000, BYTES_APART - 1, BYTES_APART, 3 * BYTES_APART] {
            let text = text(length);
            assert!(read(&gzip(&text), 1 << 30).unwrap() == text, "{length}");
        }
        let zeros = vec![0; 10 << 20];
        assert!(read(&gzip(&zeros), 1 << 30).unwrap() == zeros, "as much as gzip can");
    }

    #[test]
    fn members_in_a_row_are_one_text() {
        let (first, second) = (text(300_000), text(17));
        let both = [gzip(&first), gzip(&second), gzip(b""), gzip(&first)].concat();
        assert!(read(&both, 1 << 30).unwrap() == [&first[..], &second, &first].concat());
    }

    #[test]
    fn what_is_no_gzip_is_refused() {
        let good = gzip(&text(50_000));
        let mut wrong_sum = good.clone();
        let at = wrong_sum.len() - 8;
        wrong_sum[at] ^= 1;
        let mut wrong_length = good.clone();
        *wrong_length.last_mut().unwrap() ^= 0x7f;
        let cut = good[..good.len() - 1].to_vec();
        for (what, bytes) in [
            ("nothing", Vec::new()),
            ("a text", text(100)),
            ("another sum", wrong_sum),
            ("another length", wrong_length),
            ("an end that is missing", cut),
            ("more behind it", [&good[..], b"more"].concat()),
            ("half a header", good[..5].to_vec()),
        ] {
            assert!(read(&bytes, 1 << 30).is_err(), "{what}");
        }
    }

    #[test]
    fn a_text_that_is_too_long_ends_soon_behind_the_limit() {
        let bomb = gzip(&vec![b'x'; 64 << 20]);
        let found = read(&bomb, 100_000).unwrap();
        assert!(found.len() > 100_000, "so that it is seen");
        assert!(found.len() <= 200_000, "{}", found.len());
    }
}

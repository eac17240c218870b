//! The wire format: what is written is read again, and what is no message is said to be none.

use proptest::prelude::*;

use super::*;

fn fields(bytes: &[u8]) -> Result<Vec<Field<'_>>, Malformed> {
    Fields(bytes).collect()
}

#[test]
fn damaged_messages_are_named() {
    let cases: [(&[u8], Malformed); 6] = [
        (&[0x08], Malformed::Short),
        (&[0x0a, 5, 1], Malformed::Short),
        (&[0x09, 1, 2], Malformed::Short),
        (&[0x0b], Malformed::WireType(3)),
        (&[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2], Malformed::Varint),
        (&[0x08, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 1], Malformed::Varint),
    ];
    for (bytes, problem) in cases {
        assert_eq!(fields(bytes), Err(problem), "{bytes:?}");
    }
    assert_eq!(fields(&[0x0a, 1, 0xff]).unwrap()[0].text(), Err(Malformed::Utf8(1)));
    assert_eq!(fields(&[0x08, 1]).unwrap()[0].double(), Err(Malformed::Type(1)));
    assert_eq!(fields(&[0x0a, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9]).unwrap()[0].doubles(|_| ()), Err(Malformed::Short));
}

proptest! {
    #[test]
    fn what_is_written_is_read(number in 1u32..1000, integer: i64, double: f64, text: String) {
        let mut out = Vec::new();
        put::int64(&mut out, number, integer);
        put::double_always(&mut out, number, double);
        put::bytes(&mut out, number, text.as_bytes());
        put::uint64(&mut out, number, put::zigzag(integer));
        let found = fields(&out).unwrap();
        prop_assert!(found.iter().all(|field| field.number == number));
        let found = if integer == 0 { &found[..] } else {
            prop_assert_eq!(found[0].int64(), Ok(integer));
            prop_assert_eq!(found[3].uint64().map(unzigzag), Ok(integer));
            &found[1..]
        };
        prop_assert_eq!(found[0].double().unwrap().to_bits(), double.to_bits());
        prop_assert_eq!(found[1].text(), Ok(&*text));
    }
}

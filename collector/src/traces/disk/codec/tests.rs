//! Claims about the format.

use proptest::prelude::*;

use super::*;
use crate::traces::example::{START_NS, span};
use crate::traces::sampling::Kept;
use crate::traces::span::{CUT, Event, Link};

fn rich() -> Fragment {
    let mut rich = span("order", "POST /orders", Kind::Server, 3, 2).during(20, 80).failing();
    rich.process = Arc::new(Process {
        service: "order".into(),
        attributes: [Attribute { key: "k8s.pod.name".into(), value: "order-0".into() }].into(),
    });
    rich.scope = Some(Arc::new(Scope { name: "shop".into(), version: "1".into() }));
    rich.detail = Some(Box::new(Detail {
        status_message: Some("no stock".into()),
        trace_state: None,
        events: [Event { at_ns: START_NS - 5, name: "retry".into(), attributes: [].into() }].into(),
        links: [Link { trace: u128::MAX, span: 7 }].into(),
        warnings: vec![CUT],
    }));
    let rich = rich.with("n", i64::MIN).with("yes", Value::Bool(true)).with("no", Value::Bool(false));
    let rich = rich.with("d", Value::Double(f64::NAN)).with("b", Value::Bytes([0, 255].into()));
    let rich = rich.with("j", Value::Json("[1]".into()));
    let mut odd = span("gateway", "GET /", Kind::Client, 2, 0xdead);
    (odd.start_ns, odd.duration_ns) = (0, u64::MAX);
    let spans = [span("gateway", "GET /", Kind::Server, 1, 0), rich, odd];
    Fragment { id: 0xabc, kept: Kept { because: Because::Slow, halvings: 3 }, spans: spans.map(Arc::new).into() }
}

fn text(fragments: &[Fragment]) -> String {
    format!("{fragments:?}")
}

#[test]
fn what_is_read_is_what_was_written() {
    let mut writer = BlockWriter::default();
    let (one, mut other) = (rich(), rich());
    other.id = 1;
    assert_eq!((writer.add(&one, 0), writer.add(&other, 0)), (3, 3));
    let found = read(&writer.finish()).unwrap();
    assert_eq!(text(&found), text(&[one, other]));
}

#[test]
fn a_trace_too_large_for_a_block_goes_on_in_the_next() {
    // Parents may come before their children, and, as most exporters send them, behind.
    for parent in [-1, 1] {
        let one = |id: u64| {
            let name = format!("{id}").repeat(200);
            Arc::new(span("a", &name, Kind::Server, id, id.wrapping_add_signed(parent)))
        };
        let kept = Kept { because: Because::Error, halvings: 0 };
        let fragment = Fragment { id: 1, kept, spans: (1..=2_000).map(one).collect() };
        let (mut from, mut spans) = (0, Vec::new());
        while from < fragment.spans.len() {
            let mut writer = BlockWriter::default();
            from += writer.add(&fragment, from);
            assert!(writer.bytes() < BLOCK_BYTES + 4_096);
            spans.extend(read(&writer.finish()).unwrap().into_iter().flat_map(|fragment| fragment.spans));
        }
        assert_eq!(format!("{spans:?}"), format!("{:?}", fragment.spans));
    }
}

#[test]
fn a_span_takes_less_than_53_bytes() {
    let mut writer = BlockWriter::default();
    let mut spans = 0;
    for trace in 0..300u64 {
        let id = |n: u64| (trace * 10 + n).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let one = |n: u64| {
            let kind = if n.is_multiple_of(2) { Kind::Server } else { Kind::Client };
            let one = span(
                ["gateway", "order", "payment"][n as usize % 3],
                "POST /orders",
                kind,
                id(n),
                if n == 0 { 0 } else { id(n - 1) },
            );
            let mut one =
                one.with("http.request.method", "POST").with("http.route", "/orders").with("server.address", "order");
            (one.start_ns, one.duration_ns) = (START_NS + trace * 1_234_567 + n * 345_678, id(n) % 20_000_000);
            Arc::new(one.with("http.response.status_code", 200).with("url.scheme", "http").with("server.port", 8080))
        };
        let kept = Kept { because: Because::Sample, halvings: 0 };
        let fragment =
            Fragment { id: u128::from(id(0)) << 64 | u128::from(id(5)), kept, spans: (0..10).map(one).collect() };
        spans += writer.add(&fragment, 0);
    }
    let bytes = writer.finish().len();
    assert!(spans == 3_000 && bytes < 53 * spans, "{bytes} for {spans}");
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(at in any::<usize>(), byte in any::<u8>(), cut in any::<usize>()) {
        let mut writer = BlockWriter::default();
        writer.add(&rich(), 0);
        let packed = writer.finish();
        let mut plain = snap::raw::Decoder::new().decompress_vec(&packed).unwrap();
        let length = plain.len();
        plain[at % length] = byte;
        plain.truncate(length - cut % length);
        let repacked = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
        let _ = read(&repacked);
        let _ = read(&plain);
    }
}

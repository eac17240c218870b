//! Records come back as they were written, are small, and bytes that are none are refused.

use proptest::prelude::*;

use super::*;

fn labels(i: usize) -> Labels {
    Labels::new([("__name__".to_owned(), "m".to_owned()), ("i".to_owned(), i.to_string())])
}

#[test]
fn every_shape_has_one_number() {
    for trailing in 0..8 {
        for length in 1..=8 - trailing {
            let xor = (u64::MAX >> (64 - 8 * length)) << (8 * trailing);
            let (shape, ..) = shape_of(xor);
            assert!(shape < OTHER_TIME);
            assert_eq!(FIRST_SHAPES[length as usize], first_shape(length));
            assert_eq!(lengths_of(shape), Some((length as usize, trailing)));
        }
    }
}

#[test]
fn an_unchanged_batch_costs_a_byte_a_sample() {
    let mut writer = RecordWriter::default();
    writer.start_segment();
    let mut marks = vec![LogMark::default(); 100];
    let mut sizes = Vec::new();
    for timestamp_ms in [1_700_000_000_000, 1_700_000_001_000] {
        for (i, mark) in marks.iter_mut().enumerate() {
            writer.add(mark, || labels(i), 0.25, Sample { timestamp_ms, value: 0.25 });
        }
        let mut out = Vec::new();
        writer.finish(&mut out);
        sizes.push(out.len());
    }
    assert!(sizes[1] <= 110, "{sizes:?}");
}

#[test]
fn records_of_version_one_are_read() {
    let mut writer = RecordWriter::default();
    writer.start_segment();
    writer.add(&mut LogMark::default(), || labels(0), 0.0, Sample { timestamp_ms: 5, value: 1.5 });
    let mut record = Vec::new();
    writer.finish(&mut record);
    assert_eq!(record.pop(), Some(0), "no histograms");
    let mut found = Vec::new();
    let mut read = |version| RecordReader::new(version).read(&record, |l| l, |_, point| found.push(point));
    assert_eq!((read(Version::One), read(Version::Two)), (Some(()), None));
    assert_eq!(found, [Point::Float(Sample { timestamp_ms: 5, value: 1.5 })], "of half a record nothing is taken");
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(
        batches in prop::collection::vec(
            prop::collection::vec((0usize..20, -5i64..5, any::<u64>()), 1..30), 1..6),
        histograms in any::<bool>(),
    ) {
        let mut writer = RecordWriter::default();
        writer.start_segment();
        let mut marks = vec![LogMark::default(); 20];
        let mut before = [0.0; 20];
        let mut reader = RecordReader::new(Version::Two);
        for batch in batches {
            let mut wanted = Vec::new();
            for (series, time, bits) in batch {
                let sample = Sample { timestamp_ms: 1_000 + time, value: f64::from_bits(bits) };
                if histograms && time < 0 {
                    let histogram = Histogram { sum: sample.value, ..Histogram::default() };
                    let sample = HistogramSample { timestamp_ms: sample.timestamp_ms, histogram: histogram.into() };
                    writer.add_histogram(&mut marks[series], || labels(series), &sample);
                } else {
                    writer.add(&mut marks[series], || labels(series), before[series], sample);
                    before[series] = sample.value;
                }
                wanted.push((labels(series), sample.timestamp_ms, bits));
            }
            let mut record = Vec::new();
            writer.finish(&mut record);
            let mut found = Vec::new();
            let read = reader.read(&record, |l| l, |l, point| match point {
                Point::Float(s) => found.push((l.clone(), s.timestamp_ms, s.value.to_bits())),
                Point::Histogram(s) => found.push((l.clone(), s.timestamp_ms, s.histogram.sum.to_bits())),
            });
            prop_assert_eq!(read, Some(()));
            if histograms {
                // A record has the numbers first.
                wanted.sort_by_key(|(_, at, _)| *at < 1_000);
            }
            prop_assert_eq!(found, wanted);
        }
    }

    #[test]
    fn garbage_is_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = RecordReader::new(Version::One).read(&bytes, |l| l, |_, _| {});
        let _ = RecordReader::new(Version::Two).read(&bytes, |l| l, |_, _| {});
        let _ = read_histogram(&mut &bytes[..]);
    }
}

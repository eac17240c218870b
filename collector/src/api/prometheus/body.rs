//! Writes the answers of queries as JSON, straight into bytes: a dashboard's answer has hundreds of thousands of points, and
//! each would otherwise be made into texts first. Start at `query_body`.

use protocol::prometheus::format_value;

use crate::promql::histogram::{self, Bucket};
use crate::promql::{InstantSample, QueryData};
use crate::series::{HistogramSample, Labels, Point, Sample, SeriesSamples};

/// Bytes of a point, for a first guess at the length of an answer.
const POINT_BYTES: usize = 32;

/// Whole numbers below this are written digit by digit: from 2^53 on not every whole number has a value of its own.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// A successful answer with what is to be said about it.
pub(super) fn query_body(data: &QueryData, warnings: &[String], infos: &[String]) -> Vec<u8> {
    let mut body = Body(Vec::with_capacity(256 + points(data) * POINT_BYTES));
    body.raw(r#"{"status":"success","data":{"resultType":"#);
    match data {
        QueryData::Scalar(sample) => {
            body.raw(r#""scalar","result":"#);
            body.point(*sample);
        }
        QueryData::Text { timestamp_ms, text } => {
            body.raw(r#""string","result":["#);
            body.time(*timestamp_ms);
            body.raw(",");
            body.text(text);
            body.raw("]");
        }
        QueryData::Vector(series) => {
            body.raw(r#""vector","result":"#);
            body.list(series, Body::instant_series);
        }
        QueryData::Matrix(series) => {
            body.raw(r#""matrix","result":"#);
            body.list(series, Body::range_series);
        }
    }
    body.raw("}");
    for (name, notes) in [("warnings", warnings), ("infos", infos)] {
        if !notes.is_empty() {
            body.raw(",\"");
            body.raw(name);
            body.raw("\":");
            body.list(notes, |body, note| body.text(note));
        }
    }
    body.raw("}");
    body.0
}

fn points(data: &QueryData) -> usize {
    match data {
        QueryData::Scalar(_) | QueryData::Text { .. } => 1,
        QueryData::Vector(series) => series.len() * 8,
        QueryData::Matrix(series) => series.iter().map(|one| 8 + one.samples.len()).sum(),
    }
}

struct Body(Vec<u8>);

impl Body {
    fn raw(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.raw("[");
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.raw(",");
            }
            write(self, item);
        }
        self.raw("]");
    }

    fn instant_series(&mut self, one: &InstantSample) {
        self.raw(r#"{"metric":"#);
        self.labels(&one.labels);
        match &one.point {
            Point::Float(sample) => {
                self.raw(r#","value":"#);
                self.point(*sample);
            }
            Point::Histogram(sample) => {
                self.raw(r#","histogram":"#);
                self.histogram_point(sample);
            }
        }
        self.raw("}");
    }

    fn range_series(&mut self, one: &SeriesSamples) {
        self.raw(r#"{"metric":"#);
        self.labels(&one.labels);
        if !one.samples.is_empty() || one.histograms.is_empty() {
            self.raw(r#","values":"#);
            self.list(&one.samples, |body, sample| body.point(*sample));
        }
        if !one.histograms.is_empty() {
            self.raw(r#","histograms":"#);
            self.list(&one.histograms, Self::histogram_point);
        }
        self.raw("}");
    }

    fn labels(&mut self, labels: &Labels) {
        self.raw("{");
        for (index, (name, value)) in labels.iter().enumerate() {
            if index > 0 {
                self.raw(",");
            }
            self.text(name);
            self.raw(":");
            self.text(value);
        }
        self.raw("}");
    }

    fn point(&mut self, sample: Sample) {
        self.raw("[");
        self.time(sample.timestamp_ms);
        self.raw(",\"");
        self.value(sample.value);
        self.raw("\"]");
    }

    fn histogram_point(&mut self, sample: &HistogramSample) {
        let histogram = &*sample.histogram;
        self.raw("[");
        self.time(sample.timestamp_ms);
        self.raw(r#",{"count":""#);
        self.value(histogram.count);
        self.raw(r#"","sum":""#);
        self.value(histogram.sum);
        self.raw("\"");
        let filled: Vec<Bucket> = histogram::ascending(histogram).filter(|bucket| bucket.count != 0.0).collect();
        if !filled.is_empty() {
            self.raw(r#","buckets":"#);
            self.list(&filled, Self::bucket);
        }
        self.raw("}]");
    }

    fn bucket(&mut self, bucket: &Bucket) {
        self.raw(match (bucket.lower_inclusive, bucket.upper_inclusive) {
            (false, true) => "[0,\"",
            (true, false) => "[1,\"",
            (false, false) => "[2,\"",
            (true, true) => "[3,\"",
        });
        self.value(bucket.lower);
        self.raw("\",\"");
        self.value(bucket.upper);
        self.raw("\",\"");
        self.value(bucket.count);
        self.raw("\"]");
    }

    /// Seconds, with milliseconds if there are any.
    fn time(&mut self, timestamp_ms: i64) {
        if timestamp_ms < 0 {
            self.raw("-");
        }
        let millis = timestamp_ms.unsigned_abs();
        self.whole(millis / 1_000);
        if !millis.is_multiple_of(1_000) {
            // Padded by a digit in front, which is then taken away.
            let at = self.0.len();
            self.whole(1_000 + millis % 1_000);
            self.0[at] = b'.';
        }
    }

    /// As Prometheus writes a value: no exponent unless the number is very large or very small.
    fn value(&mut self, value: f64) {
        let size = value.abs();
        if size < WHOLE_MAX && value.fract() == 0.0 {
            if value.is_sign_negative() {
                self.raw("-");
            }
            self.whole(whole(size));
        } else if (1e-4..1e15).contains(&size) {
            // Within these bounds JSON's numbers are written in the same way, and fast.
            serde_json::to_writer(&mut self.0, &value).expect("a finite number goes into a buffer");
        } else {
            self.raw(&format_value(value));
        }
    }

    fn whole(&mut self, mut number: u64) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + u8::try_from(number % 10).expect("a digit");
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.0.extend_from_slice(&digits[at..]);
    }

    fn text(&mut self, text: &str) {
        if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
            self.raw("\"");
            self.raw(text);
            self.raw("\"");
        } else {
            serde_json::to_writer(&mut self.0, text).expect("a text goes into a buffer");
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, not negative and below 2^53")]
fn whole(size: f64) -> u64 {
    size as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn written(write: impl FnOnce(&mut Body)) -> String {
        let mut body = Body(Vec::new());
        write(&mut body);
        String::from_utf8(body.0).unwrap()
    }

    #[test]
    fn values_and_times_are_written_as_prometheus_does() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (-17.0, "-17"),
            (0.1, "0.1"),
            (123_456.789, "123456.789"),
            (9_007_199_254_740_991.0, "9007199254740991"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (0.000_012_5, "0.0000125"),
            (1.25e-7, "1.25e-07"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(written(|body| body.value(value)), text);
        }
        for (millis, text) in [(0, "0"), (1_000, "1"), (1_435_781_451_078, "1435781451.078"), (-1_500, "-1.500")] {
            assert_eq!(written(|body| body.time(millis)), text);
        }
    }

    #[test]
    fn an_answer_is_json_whatever_the_labels_hold() {
        let labels = Labels::new([("__name__", "a\"b"), ("c", "d\\e\nf"), ("ü", "\u{7f}é")]);
        let samples = vec![Sample { timestamp_ms: 1_500, value: 2.5 }];
        let data = QueryData::Matrix(vec![SeriesSamples::floats(labels, samples)]);
        let body: Value = serde_json::from_slice(&query_body(&data, &["w\"".to_owned()], &[])).unwrap();
        let metric = json!({"__name__": "a\"b", "c": "d\\e\nf", "ü": "\u{7f}é"});
        let result = json!([{"metric": metric, "values": [[1.5, "2.5"]]}]);
        let data = json!({"resultType": "matrix", "result": result});
        assert_eq!(body, json!({"status": "success", "data": data, "warnings": ["w\""]}));
    }

    proptest! {
        #[test]
        fn values_are_written_as_elsewhere(bits in any::<u64>(), small in -1e7..1e7f64, whole in any::<i32>()) {
            for value in [f64::from_bits(bits), small, f64::from(whole), small / 1e9, small * 1e9] {
                // Where two texts of the same length are as near, either may be written.
                let (here, there) = (written(|body| body.value(value)), format_value(value));
                let same_number = here.len() == there.len() && here.parse::<f64>() == there.parse::<f64>();
                prop_assert!(here == there || same_number, "{} {}", here, there);
            }
        }
    }
}

//! Writes the answers of queries as JSON, straight into bytes: a dashboard's answer has hundreds of thousands of points, and
//! each would otherwise be made into texts first. Start at `query_body`.

use protocol::number::{self, Exponent};

use crate::promql::histogram::{self, Bucket};
use crate::promql::{InstantSample, QueryData};
use crate::series::{HistogramSample, Labels, Point, Sample, SeriesSamples};

/// Bytes of a point, for a first guess at the length of an answer.
const POINT_BYTES: usize = 32;

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
        number::write_whole(millis / 1_000, &mut self.0);
        if !millis.is_multiple_of(1_000) {
            // Padded by a digit in front, which is then taken away.
            let at = self.0.len();
            number::write_whole(1_000 + millis % 1_000, &mut self.0);
            self.0[at] = b'.';
        }
    }

    fn value(&mut self, value: f64) {
        number::write(value, Exponent::Json, &mut self.0);
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

#[cfg(test)]
mod tests {
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
}

//! Native histograms as the API writes them: buckets with bounds and how many observations are in each. Knows nothing of
//! schemas, which the API does not show.

use serde::{Deserialize, Serialize, Serializer};

/// A native histogram at a time: seconds since the epoch, and the histogram.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct HistogramPoint(pub f64, pub Histogram);

impl Serialize for HistogramPoint {
    /// Whole seconds are written without a point, as Prometheus does.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        super::serialize_pair(self.0, &self.1, serializer)
    }
}

/// A native histogram. Numbers are texts, so that NaN and Inf survive JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// How many observations there are.
    pub count: String,
    /// Their sum.
    pub sum: String,
    /// Buckets that hold something, from the lowest to the highest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buckets: Vec<HistogramBucket>,
}

/// A bucket: which of its bounds belong to it (0 the upper one, 1 the lower one, 2 neither, 3 both), lower bound, upper
/// bound, and how many observations are in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistogramBucket(pub u8, pub String, pub String, pub String);

#[cfg(test)]
mod tests {
    use super::super::{InstantSeries, LabelMap, Point, RangeSeries};
    use super::*;

    #[test]
    fn a_series_of_histograms_is_written_as_prometheus_does_and_read_back() {
        let bucket = HistogramBucket(3, "-0.001".to_owned(), "0.001".to_owned(), "2".to_owned());
        let histogram = Histogram { count: "2".to_owned(), sum: "0".to_owned(), buckets: vec![bucket] };
        let point = HistogramPoint(1_435_781_451.0, histogram);
        let one = InstantSeries { metric: LabelMap::new(), value: Point::absent(), histogram: Some(point.clone()) };
        let text = serde_json::to_string(&one).unwrap();
        let expected = concat!(
            r#"{"metric":{},"histogram":[1435781451,{"count":"2","sum":"0","#,
            r#""buckets":[[3,"-0.001","0.001","2"]]}]}"#
        );
        assert_eq!(text, expected);
        let read: InstantSeries = serde_json::from_str(&text).unwrap();
        assert!(read.value.value().is_nan());
        assert_eq!(read.histogram, Some(point.clone()));
        let series = RangeSeries { metric: LabelMap::new(), values: Vec::new(), histograms: vec![point] };
        let text = serde_json::to_string(&series).unwrap();
        assert!(text.starts_with(r#"{"metric":{},"histograms":[[1435781451,{"#), "{text}");
        assert_eq!(serde_json::from_str::<RangeSeries>(&text).unwrap(), series);
    }
}

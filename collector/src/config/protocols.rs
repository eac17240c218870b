//! In which formats targets are asked for their metrics, and in which forms histograms are taken: Prometheus' scrape protocols and
//! options of native histograms, checked. Asks nobody.

use super::http::Wrong;
use super::raw::protocols as raw;
use crate::exposition::protobuf::HistogramForms;
use crate::exposition::{Format, MediaType};
use crate::series::{SCHEMA_MAX, SCHEMA_MIN};

/// A format that a target may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `PrometheusProto`
    PrometheusProto,
    /// `OpenMetricsText1.0.0`
    OpenMetricsText1_0_0,
    /// `OpenMetricsText0.0.1`
    OpenMetricsText0_0_1,
    /// `PrometheusText1.0.0`
    PrometheusText1_0_0,
    /// `PrometheusText0.0.4`
    PrometheusText0_0_4,
}

/// All protocols, the best first, with their names and what is asked for.
const PROTOCOLS: [(Protocol, &str, &str); 5] = [
    (
        Protocol::PrometheusProto,
        "PrometheusProto",
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
    ),
    (
        Protocol::OpenMetricsText1_0_0,
        "OpenMetricsText1.0.0",
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8",
    ),
    (Protocol::OpenMetricsText0_0_1, "OpenMetricsText0.0.1", "application/openmetrics-text;version=0.0.1"),
    (Protocol::PrometheusText1_0_0, "PrometheusText1.0.0", "text/plain;version=1.0.0;escaping=allow-utf-8"),
    (Protocol::PrometheusText0_0_4, "PrometheusText0.0.4", "text/plain;version=0.0.4"),
];

impl Protocol {
    fn parse(name: &str) -> Result<Self, String> {
        let known = PROTOCOLS.iter().find(|(_, known, _)| *known == name).map(|(protocol, _, _)| *protocol);
        known.ok_or_else(|| {
            let names = PROTOCOLS.map(|(_, name, _)| name).join(", ");
            format!("{name:?} is not a scrape protocol; there are {names}")
        })
    }

    fn header(self) -> &'static str {
        PROTOCOLS.iter().find(|(protocol, _, _)| *protocol == self).map_or("", |(_, _, header)| header)
    }

    /// How an answer in it is read.
    pub fn media_type(self) -> MediaType {
        match self {
            Self::PrometheusProto => MediaType::Protobuf,
            Self::OpenMetricsText1_0_0 | Self::OpenMetricsText0_0_1 => MediaType::Text(Format::OpenMetrics),
            Self::PrometheusText1_0_0 | Self::PrometheusText0_0_4 => MediaType::Text(Format::Text),
        }
    }
}

/// What a target is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiation {
    /// The best first.
    pub protocols: Vec<Protocol>,
    /// How an answer is read that does not say what it is.
    pub fallback: Option<Protocol>,
}

impl Negotiation {
    /// The header `Accept`, with the weights that Prometheus gives.
    pub fn accept(&self) -> String {
        let (mut accept, mut weight) = (String::new(), PROTOCOLS.len() + 1);
        for protocol in &self.protocols {
            accept.push_str(&format!("{};q=0.{weight},", protocol.header()));
            weight -= 1;
        }
        accept.push_str(&format!("*/*;q=0.{weight}"));
        accept
    }
}

/// What becomes of histograms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistogramOptions {
    /// In which forms they are taken.
    pub forms: HistogramForms,
    /// The most buckets of a native one (`native_histogram_bucket_limit`): it is made coarser until it fits, and if it never does
    /// the scrape fails.
    pub buckets_max: Option<usize>,
    /// The finest schema (`native_histogram_min_bucket_factor`): what is finer is made coarser.
    pub schema_max: i32,
}

/// What scrape configurations have from `global` where they say nothing.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    protocols: Option<Vec<Protocol>>,
    forms: HistogramForms,
}

impl Inherited {
    pub fn check(raw: &raw::Protocols) -> Result<Self, Wrong> {
        Ok(Self { protocols: protocols(raw)?, forms: forms(raw, HistogramForms::default()) })
    }
}

/// Checks what a job says.
pub(super) fn check(raw: &raw::Protocols, inherited: &Inherited) -> Result<(Negotiation, HistogramOptions), Wrong> {
    let forms = forms(raw, inherited.forms);
    let fallback = raw.fallback_scrape_protocol.as_deref().filter(|name| !name.is_empty());
    let fallback = fallback.map(Protocol::parse).transpose();
    let protocols = protocols(raw)?.or_else(|| inherited.protocols.clone());
    let negotiation = Negotiation {
        protocols: protocols.unwrap_or_else(|| default_protocols(forms.native)),
        fallback: fallback.map_err(|message| ("fallback_scrape_protocol", message))?,
    };
    let factor = raw.native_histogram_min_bucket_factor.unwrap_or(0.0);
    let buckets_max = raw.native_histogram_bucket_limit.filter(|max| *max > 0);
    Ok((negotiation, HistogramOptions { forms, buckets_max, schema_max: schema_max(factor) }))
}

/// Only the protobuf format has native histograms.
fn default_protocols(native: bool) -> Vec<Protocol> {
    let all = PROTOCOLS.iter().map(|(protocol, _, _)| *protocol);
    all.filter(|protocol| native || *protocol != Protocol::PrometheusProto).collect()
}

fn forms(raw: &raw::Protocols, inherited: HistogramForms) -> HistogramForms {
    HistogramForms {
        native: raw.scrape_native_histograms.unwrap_or(inherited.native),
        classic_always: raw.always_scrape_classic_histograms.unwrap_or(inherited.classic_always),
        custom: raw.convert_classic_histograms_to_nhcb.unwrap_or(inherited.custom),
    }
}

fn protocols(raw: &raw::Protocols) -> Result<Option<Vec<Protocol>>, Wrong> {
    let Some(names) = &raw.scrape_protocols else { return Ok(None) };
    let wrong = |message: String| ("scrape_protocols", message);
    if names.is_empty() {
        return Err(wrong("is empty; remove it, or name a protocol".to_owned()));
    }
    let mut protocols = Vec::with_capacity(names.len());
    for name in names {
        let protocol = Protocol::parse(name).map_err(wrong)?;
        if protocols.contains(&protocol) {
            return Err(wrong(format!("has {name:?} twice; remove one")));
        }
        protocols.push(protocol);
    }
    Ok(Some(protocols))
}

/// The finest schema whose buckets grow by a factor or more.
fn schema_max(factor: f64) -> i32 {
    if factor <= 1.0 {
        return SCHEMA_MAX;
    }
    let schema = (-factor.log2().log2()).floor();
    (SCHEMA_MIN..SCHEMA_MAX).find(|coarse| schema <= f64::from(*coarse)).unwrap_or(SCHEMA_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_is_the_finest_schema_that_grows_by_it() {
        for (factor, schema) in [
            (65_536.0, -4),
            (f64::INFINITY, -4),
            (256.0, -3),
            (16.0, -2),
            (4.0, -1),
            (2.0, 0),
            (1.4, 1),
            (1.1, 2),
            (1.09, 3),
            (1.04, 4),
            (1.02, 5),
            (1.01, 6),
            (1.005, 7),
            (1.002, 8),
            (1.0, 8),
            (0.0, 8),
            (-1.0, 8),
        ] {
            assert_eq!(schema_max(factor), schema, "{factor}");
        }
    }

    #[test]
    fn targets_are_asked_as_prometheus_asks_them() {
        let of = |native| Negotiation { protocols: default_protocols(native), fallback: None }.accept();
        assert_eq!(
            of(false),
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        );
        assert!(of(true).starts_with(
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,"
        ));
        assert!(of(true).ends_with("text/plain;version=0.0.4;q=0.2,*/*;q=0.1"));
        let one = Negotiation { protocols: vec![Protocol::PrometheusText0_0_4], fallback: None };
        assert_eq!(one.accept(), "text/plain;version=0.0.4;q=0.6,*/*;q=0.5");
    }
}

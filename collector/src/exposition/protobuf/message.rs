//! The messages of the protobuf format but for histograms: families, metrics, plain values, summaries. Numbers of fields as in
//! Prometheus' client model.

use super::histogram::WireExemplar;
use super::key::SeriesKey;
use crate::wire::alike::label;
use crate::wire::{Fields, Malformed};

/// The longest summary: 50,000 quantiles.
const SUMMARY_BYTES_MAX: usize = 1 << 20;

/// What the metrics of a family are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FamilyKind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Quantiles, a count and a sum.
    Summary,
    /// Nobody says.
    Untyped,
    /// A histogram, classic or native or both.
    Histogram,
    /// A histogram whose counts may fall.
    GaugeHistogram,
}

/// In the order of the enumeration, with the names of Prometheus' metadata.
const KINDS: [(FamilyKind, &str); 6] = [
    (FamilyKind::Counter, "counter"),
    (FamilyKind::Gauge, "gauge"),
    (FamilyKind::Summary, "summary"),
    (FamilyKind::Untyped, "unknown"),
    (FamilyKind::Histogram, "histogram"),
    (FamilyKind::GaugeHistogram, "gaugehistogram"),
];

impl FamilyKind {
    fn from_wire(wire: u32) -> Option<Self> {
        KINDS.get(usize::try_from(wire).ok()?).map(|(kind, _)| *kind)
    }

    /// Its name in Prometheus' metadata.
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(kind, _)| *kind == self).map_or("unknown", |(_, name)| name)
    }

    /// The field of a metric that holds the value.
    fn field(self) -> u32 {
        match self {
            Self::Gauge => 2,
            Self::Counter => 3,
            Self::Summary => 4,
            Self::Untyped => 5,
            Self::Histogram | Self::GaugeHistogram => 7,
        }
    }
}

/// A family of metrics.
#[derive(Debug, Clone, Copy)]
pub struct Family<'a> {
    /// Its name.
    pub name: &'a str,
    /// Text for people.
    pub help: &'a str,
    /// Such as `seconds`; empty if not given.
    pub unit: &'a str,
    /// What its metrics are.
    pub kind: FamilyKind,
    bytes: &'a [u8],
}

impl<'a> Family<'a> {
    /// Looks at everything but the metrics, which stand between: their places are checked, not what they say.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, (&'a str, &'static str)> {
        let mut family = Self { name: "", help: "", unit: "", kind: FamilyKind::Counter, bytes };
        match family.fields() {
            Ok(()) if family.name.is_empty() => Err(("", "the family has no name")),
            Ok(()) => Ok(family),
            Err(reason) => Err((family.name, reason)),
        }
    }

    fn fields(&mut self) -> Result<(), &'static str> {
        for field in Fields(self.bytes) {
            let field = field?;
            match field.number {
                1 => self.name = field.text()?,
                2 => self.help = field.text()?,
                3 => self.kind = FamilyKind::from_wire(field.uint32()?).ok_or("its type does not exist")?,
                4 => _ = field.bytes()?,
                5 => self.unit = field.text()?,
                _ => {}
            }
        }
        Ok(())
    }

    /// The metrics' bytes.
    pub(super) fn metrics(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let metrics = Fields(self.bytes).filter_map(Result::ok).filter(|field| field.number == 4);
        metrics.filter_map(|field| field.bytes().ok())
    }
}

/// A metric: its labels are in the key.
pub(super) struct Metric<'a> {
    pub timestamp_ms: Option<i64>,
    /// Of the family's type.
    pub value: Option<&'a [u8]>,
}

impl<'a> Metric<'a> {
    pub fn read(bytes: &'a [u8], kind: FamilyKind, key: &mut SeriesKey) -> Result<Self, &'static str> {
        key.metric();
        let mut metric = Self { timestamp_ms: None, value: None };
        for field in Fields(bytes) {
            let field = field?;
            match field.number {
                1 => {
                    let (name, value) = label(field.bytes()?)?;
                    key.label(name, value)?;
                }
                // Most write it also if there is none.
                6 => metric.timestamp_ms = Some(field.int64()?).filter(|timestamp_ms| *timestamp_ms != 0),
                number if number == kind.field() => metric.value = Some(field.bytes()?),
                _ => {}
            }
        }
        Ok(metric)
    }
}

/// A counter, a gauge, or what has no type.
pub(super) fn number(bytes: &[u8]) -> Result<(f64, Option<WireExemplar<'_>>), Malformed> {
    let mut number = (0.0, None);
    for field in Fields(bytes) {
        let field = field?;
        match field.number {
            1 => number.0 = field.double()?,
            2 => number.1 = Some(WireExemplar(field.bytes()?)),
            _ => {}
        }
    }
    Ok(number)
}

/// A summary.
#[derive(Default)]
pub(super) struct Summary {
    pub count: f64,
    pub sum: f64,
    /// With their values.
    pub quantiles: Vec<(f64, f64)>,
}

impl Summary {
    pub fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() > SUMMARY_BYTES_MAX {
            return Err("it is longer than 1 MiB");
        }
        let mut summary = Self::default();
        for field in Fields(bytes) {
            let field = field?;
            match field.number {
                1 => summary.count = field.uint64()? as f64,
                2 => summary.sum = field.double()?,
                3 => summary.quantiles.push(quantile(field.bytes()?)?),
                _ => {}
            }
        }
        Ok(summary)
    }
}

fn quantile(bytes: &[u8]) -> Result<(f64, f64), Malformed> {
    let mut quantile = (0.0, 0.0);
    for field in Fields(bytes) {
        let field = field?;
        match field.number {
            1 => quantile.0 = field.double()?,
            2 => quantile.1 = field.double()?,
            _ => {}
        }
    }
    Ok(quantile)
}

//! `prometheus.WriteRequest`: every label is written out.

use super::{
    LABELS_MAX, Message, Series, Sink, Totals, Unreadable, WireExemplar, WireMetadata, at_most, histogram, kind, sample,
};
use crate::wire::alike::label;
use crate::wire::{Fields, Malformed};

pub(super) fn read<'a>(body: &'a [u8], sink: &mut impl Sink<'a>) -> Result<(), Unreadable> {
    let (mut series, mut totals) = (Series::default(), Totals::default());
    for field in Fields(body) {
        let field = field.map_err(malformed)?;
        match field.number {
            1 => {
                series.clear();
                read_series(field.bytes().map_err(malformed)?, &mut series)?;
                totals.add(&series)?;
                sink.series(&mut series);
            }
            3 => {
                let (metric, metadata) = field.bytes().and_then(metadata).map_err(malformed)?;
                sink.metadata(metric, metadata);
            }
            _ => {}
        }
    }
    Ok(())
}

fn malformed(source: Malformed) -> Unreadable {
    Unreadable::Malformed { message: Message::V1, source }
}

fn read_series<'a>(bytes: &'a [u8], series: &mut Series<'a>) -> Result<(), Unreadable> {
    for field in Fields(bytes) {
        let field = field.map_err(malformed)?;
        match field.number {
            1 => series.labels.push(field.bytes().and_then(label).map_err(malformed)?),
            2 => series.samples.push(field.bytes().and_then(sample).map_err(malformed)?),
            3 => series.exemplars.push(exemplar(field.bytes().map_err(malformed)?)?),
            4 => series.histograms.push(field.bytes().and_then(histogram::read).map_err(malformed)?),
            _ => {}
        }
        series.has_room()?;
    }
    Ok(())
}

fn exemplar(bytes: &[u8]) -> Result<WireExemplar<'_>, Unreadable> {
    let mut exemplar = WireExemplar { labels: Vec::new(), value: 0.0, timestamp_ms: 0 };
    for field in Fields(bytes) {
        let field = field.map_err(malformed)?;
        match field.number {
            1 => exemplar.labels.push(field.bytes().and_then(label).map_err(malformed)?),
            2 => exemplar.value = field.double().map_err(malformed)?,
            3 => exemplar.timestamp_ms = field.int64().map_err(malformed)?,
            _ => {}
        }
        at_most("labels of an exemplar", exemplar.labels.len(), LABELS_MAX)?;
    }
    Ok(exemplar)
}

fn metadata(bytes: &[u8]) -> Result<(&str, WireMetadata<'_>), Malformed> {
    let (mut metric, mut metadata) = ("", WireMetadata { kind: kind(0), help: "", unit: "" });
    for field in Fields(bytes) {
        let field = field?;
        match field.number {
            1 => metadata.kind = kind(field.uint32()?),
            2 => metric = field.text()?,
            4 => metadata.help = field.text()?,
            5 => metadata.unit = field.text()?,
            _ => {}
        }
    }
    Ok((metric, metadata))
}

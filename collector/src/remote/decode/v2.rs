//! `io.prometheus.write.v2.Request`: texts stand once in a table, and everything refers to them by number.

use super::{
    LABELS_MAX, Message, SYMBOLS_MAX, Series, Sink, Totals, Unreadable, WireExemplar, WireMetadata, at_most, histogram,
    kind, sample,
};
use crate::wire::{Fields, Malformed, low};

const SYMBOLS: u32 = 4;
const TIMESERIES: u32 = 5;

fn malformed(source: Malformed) -> Unreadable {
    Unreadable::Malformed { message: Message::V2, source }
}

pub(super) fn read<'a>(body: &'a [u8], sink: &mut impl Sink<'a>) -> Result<(), Unreadable> {
    let symbols = Symbols::read(body)?;
    let (mut series, mut refs, mut totals) = (Series::default(), Vec::new(), Totals::default());
    for field in Fields(body) {
        let field = field.map_err(malformed)?;
        if field.number == TIMESERIES {
            series.clear();
            read_series(field.bytes().map_err(malformed)?, &symbols, &mut refs, &mut series)?;
            totals.add(&series)?;
            sink.series(&mut series);
        }
    }
    Ok(())
}

struct Symbols<'a>(Vec<&'a str>);

impl<'a> Symbols<'a> {
    /// The table may stand behind the series, so it is read first.
    fn read(body: &'a [u8]) -> Result<Self, Unreadable> {
        let mut symbols = Vec::new();
        for field in Fields(body) {
            let field = field.map_err(malformed)?;
            if field.number == SYMBOLS {
                if symbols.len() == SYMBOLS_MAX {
                    return Err(Unreadable::TooMany { what: "symbols", max: SYMBOLS_MAX });
                }
                symbols.push(field.text().map_err(malformed)?);
            }
        }
        match symbols.first() {
            Some(first) if !first.is_empty() => Err(Unreadable::FirstSymbol),
            _ => Ok(Self(symbols)),
        }
    }

    fn get(&self, reference: u32) -> Result<&'a str, Unreadable> {
        let at = usize::try_from(reference).unwrap_or(usize::MAX);
        self.0.get(at).copied().ok_or(Unreadable::Reference { reference, symbols: self.0.len() })
    }

    fn labels(&self, refs: &[u32], labels: &mut Vec<(&'a str, &'a str)>) -> Result<(), Unreadable> {
        let (pairs, rest) = refs.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(Unreadable::OddReferences);
        }
        for [name, value] in pairs {
            labels.push((self.get(*name)?, self.get(*value)?));
        }
        Ok(())
    }
}

fn read_series<'a>(
    bytes: &'a [u8],
    symbols: &Symbols<'a>,
    refs: &mut Vec<u32>,
    series: &mut Series<'a>,
) -> Result<(), Unreadable> {
    refs.clear();
    for field in Fields(bytes) {
        let field = field.map_err(malformed)?;
        match field.number {
            1 => field.varints(|reference| refs.push(low(reference))).map_err(malformed)?,
            2 => series.samples.push(field.bytes().and_then(sample).map_err(malformed)?),
            3 => series.histograms.push(field.bytes().and_then(histogram::read).map_err(malformed)?),
            4 => series.exemplars.push(exemplar(field.bytes().map_err(malformed)?, symbols)?),
            5 => series.metadata = Some(metadata(field.bytes().map_err(malformed)?, symbols)?),
            // 6: when the counter began. Taken, and not kept: no query asks for it.
            _ => {}
        }
        at_most("labels of a series", refs.len() / 2, LABELS_MAX)?;
        series.has_room()?;
    }
    symbols.labels(refs, &mut series.labels)
}

fn exemplar<'a>(bytes: &'a [u8], symbols: &Symbols<'a>) -> Result<WireExemplar<'a>, Unreadable> {
    let mut exemplar = WireExemplar { labels: Vec::new(), value: 0.0, timestamp_ms: 0 };
    let mut refs = Vec::new();
    for field in Fields(bytes) {
        let field = field.map_err(malformed)?;
        match field.number {
            1 => field.varints(|reference| refs.push(low(reference))).map_err(malformed)?,
            2 => exemplar.value = field.double().map_err(malformed)?,
            3 => exemplar.timestamp_ms = field.int64().map_err(malformed)?,
            _ => {}
        }
        at_most("labels of an exemplar", refs.len() / 2, LABELS_MAX)?;
    }
    symbols.labels(&refs, &mut exemplar.labels)?;
    Ok(exemplar)
}

fn metadata<'a>(bytes: &'a [u8], symbols: &Symbols<'a>) -> Result<WireMetadata<'a>, Unreadable> {
    let (mut wire, mut help, mut unit) = (0, 0, 0);
    for field in Fields(bytes) {
        let field = field.map_err(malformed)?;
        match field.number {
            1 => wire = field.uint32().map_err(malformed)?,
            3 => help = field.uint32().map_err(malformed)?,
            4 => unit = field.uint32().map_err(malformed)?,
            _ => {}
        }
    }
    Ok(WireMetadata { kind: kind(wire), help: symbols.get(help)?, unit: symbols.get(unit)? })
}

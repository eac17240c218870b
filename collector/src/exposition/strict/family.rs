//! What OpenMetrics asks of a metric's lines together: metadata first, groups together, times in order, each type's
//! samples and values.

use std::collections::HashSet;

use super::Verdict;
use super::line::{Kind, Labels, StrictLine, StrictSample, parse_number};

/// Endings of the samples that a metric of a type has.
fn endings(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Counter => &["_total", "_created"],
        Kind::Histogram => &["_bucket", "_count", "_sum", "_created"],
        Kind::GaugeHistogram => &["_bucket", "_gcount", "_gsum"],
        Kind::Summary => &["", "_count", "_sum", "_created"],
        Kind::Info => &["_info"],
        Kind::Gauge | Kind::StateSet | Kind::Unknown => &[""],
    }
}

/// All metrics of a text.
#[derive(Default)]
pub(super) struct Families {
    /// Names of metrics and of the samples that they may have.
    claimed: HashSet<String>,
    finished: HashSet<String>,
    current: Option<Family>,
}

impl Families {
    pub fn take(&mut self, line: StrictLine<'_>) -> Verdict {
        match line {
            StrictLine::Type { name, kind } => set_once(&mut self.described(name)?.kind, kind),
            StrictLine::Help { name } => set_once(&mut self.described(name)?.help, ()),
            StrictLine::Unit { name, unit } => set_once(&mut self.described(name)?.unit, unit.to_owned()),
            StrictLine::Sample(sample) => {
                if self.current.as_ref().and_then(|family| family.ending(sample.name)).is_none() {
                    if self.current.as_ref().is_some_and(|family| family.name == sample.name) {
                        return Err("a metric of this type has no such sample");
                    }
                    self.start(sample.name)?;
                }
                self.current.as_mut().map_or(Ok(()), |family| family.sample(sample))
            }
        }
    }

    /// Ends the metric that is being read.
    pub fn finish(&mut self) -> Verdict {
        let Some(family) = self.current.take() else { return Ok(()) };
        family.finish()?;
        let kind = family.kind.unwrap_or(Kind::Unknown);
        let mut claims: Vec<String> = endings(kind).iter().map(|ending| format!("{}{ending}", family.name)).collect();
        if !claims.contains(&family.name) {
            claims.push(family.name.clone());
        }
        if claims.into_iter().any(|claim| !self.claimed.insert(claim)) {
            return Err("two metrics have a name in common");
        }
        self.finished.insert(family.name);
        Ok(())
    }

    fn described(&mut self, name: &str) -> Verdict<&mut Family> {
        if self.current.as_ref().is_none_or(|family| family.name != name) {
            self.start(name)?;
        }
        match &mut self.current {
            Some(family) if family.group.is_none() => Ok(family),
            _ => Err("the metadata comes after samples"),
        }
    }

    fn start(&mut self, name: &str) -> Verdict {
        self.finish()?;
        if self.finished.contains(name) {
            return Err("the metric's lines are not together");
        }
        self.current = Some(Family { name: name.to_owned(), ..Family::default() });
        Ok(())
    }
}

fn set_once<T>(place: &mut Option<T>, value: T) -> Verdict {
    if place.replace(value).is_some() { Err("the metadata comes twice") } else { Ok(()) }
}

/// One metric.
#[derive(Default)]
struct Family {
    name: String,
    kind: Option<Kind>,
    help: Option<()>,
    unit: Option<String>,
    group: Option<Group>,
    groups_done: HashSet<Labels>,
}

/// Samples of one metric with the same labels, save those that tell buckets, quantiles or states apart.
struct Group {
    labels: Labels,
    timestamp: Option<f64>,
    histogram: Histogram,
}

impl Family {
    fn kind(&self) -> Kind {
        self.kind.unwrap_or(Kind::Unknown)
    }

    fn ending(&self, sample: &str) -> Option<&'static str> {
        let ending = sample.strip_prefix(self.name.as_str())?;
        endings(self.kind()).iter().find(|known| **known == ending).copied()
    }

    fn sample(&mut self, sample: StrictSample<'_>) -> Verdict {
        let ending = self.ending(sample.name).unwrap_or("");
        self.check_value(ending, &sample)?;
        if sample.has_exemplar && !matches!((self.kind(), ending), (Kind::Counter, "_total") | (_, "_bucket")) {
            return Err("a sample of this kind has no exemplar");
        }
        let bound =
            self.own_label(ending).and_then(|own| Some(sample.labels.iter().find(|(n, _)| *n == own)?.1.clone()));
        let mut labels = sample.labels;
        let own = self.own_label(ending).map(str::to_owned);
        labels.retain(|(name, _)| Some(name) != own.as_ref());
        labels.sort();
        let kind = self.kind();
        let group = self.enter(labels, sample.timestamp)?;
        group.histogram.take(kind, ending, bound.as_deref(), sample.value)
    }

    /// The label that tells samples of a group apart.
    fn own_label(&self, ending: &str) -> Option<&str> {
        match (self.kind(), ending) {
            (Kind::Histogram | Kind::GaugeHistogram, "_bucket") => Some("le"),
            (Kind::Summary, "") => Some("quantile"),
            (Kind::StateSet, _) => Some(&self.name),
            _ => None,
        }
    }

    fn enter(&mut self, labels: Labels, timestamp: Option<f64>) -> Verdict<&mut Group> {
        let kind = self.kind();
        let is_same = self.group.as_ref().is_some_and(|group| group.labels == labels);
        if is_same && let Some(group) = &mut self.group {
            match (group.timestamp, timestamp) {
                (Some(before), Some(now)) if now < before => return Err("the times go backwards"),
                (Some(_), None) | (None, Some(_)) => {
                    return Err("some samples of a group have a time and some have none");
                }
                (before, now) if before != now => {
                    std::mem::take(&mut group.histogram).finish(kind)?;
                    group.timestamp = now;
                }
                _ => {}
            }
        } else {
            self.finish_group()?;
            if self.groups_done.contains(&labels) {
                return Err("the samples of a group are not together");
            }
            self.group = Some(Group { labels, timestamp, histogram: Histogram::default() });
        }
        self.group.as_mut().ok_or("the sample has no group")
    }

    fn finish_group(&mut self) -> Verdict {
        let kind = self.kind();
        let Some(group) = self.group.take() else { return Ok(()) };
        self.groups_done.insert(group.labels);
        group.histogram.finish(kind)
    }

    fn finish(&self) -> Verdict {
        let unit = self.unit.as_deref().unwrap_or_default();
        if !unit.is_empty() {
            let before = self.name.strip_suffix(unit).unwrap_or_default();
            if !before.ends_with('_') {
                return Err("the name does not end in the unit");
            }
            if matches!(self.kind(), Kind::Info | Kind::StateSet) {
                return Err("a metric of this type has no unit");
            }
        }
        self.group.as_ref().map_or(Ok(()), |group| group.histogram.finish(self.kind()))
    }

    fn check_value(&self, ending: &str, sample: &StrictSample<'_>) -> Verdict {
        let label = |name: &str| sample.labels.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let value = sample.value;
        let counts = matches!(
            (self.kind(), ending),
            (Kind::Counter, "_total")
                | (_, "_bucket" | "_gcount")
                | (Kind::Histogram | Kind::Summary, "_count" | "_sum")
        );
        if (counts && (value.is_nan() || value < 0.0)) || (ending == "_gsum" && value.is_nan()) {
            return Err("the value must be a number that is not negative");
        }
        match (self.kind(), ending) {
            (Kind::Summary, "") => {
                let quantile = label("quantile").and_then(parse_number).ok_or("a quantile is missing")?;
                if !(0.0..=1.0).contains(&quantile) {
                    return Err("the quantile is not between 0 and 1");
                }
                if value < 0.0 { Err("the value of a quantile is negative") } else { Ok(()) }
            }
            (Kind::Info, _) if value != 1.0 => Err("the value of an info is not 1"),
            (Kind::StateSet, _) if label(&self.name).is_none() => Err("a state has no label with the metric's name"),
            (Kind::StateSet, _) if value != 0.0 && value != 1.0 => Err("the value of a state is neither 0 nor 1"),
            _ => Ok(()),
        }
    }
}

/// What the samples of one histogram add up to.
#[derive(Default)]
struct Histogram {
    bound: Option<f64>,
    below: f64,
    has_negative_bound: bool,
    count: Option<f64>,
    sum: Option<f64>,
    any: bool,
}

impl Histogram {
    fn take(&mut self, kind: Kind, ending: &str, bound: Option<&str>, value: f64) -> Verdict {
        if !matches!(kind, Kind::Histogram | Kind::GaugeHistogram) {
            return Ok(());
        }
        self.any |= ending != "_created";
        match ending {
            "_bucket" => {
                let bound = bound.and_then(parse_number).filter(|b| !b.is_nan()).ok_or("a bucket has no bound")?;
                if self.bound.is_some_and(|before| bound <= before) {
                    return Err("the buckets are not in order");
                }
                if value < self.below {
                    return Err("a bucket holds less than the one below it");
                }
                self.has_negative_bound |= bound < 0.0;
                (self.bound, self.below) = (Some(bound), value);
            }
            "_count" | "_gcount" => self.count = Some(value),
            "_sum" | "_gsum" => self.sum = Some(value),
            _ => {}
        }
        Ok(())
    }

    fn finish(&self, kind: Kind) -> Verdict {
        if !self.any {
            return Ok(());
        }
        if self.bound != Some(f64::INFINITY) {
            return Err("the bucket +Inf is missing");
        }
        if self.count.is_some_and(|count| count != self.below) {
            return Err("the count is not that of the bucket +Inf");
        }
        if self.sum.is_some() && self.count.is_none() {
            return Err("there is a sum and no count");
        }
        match kind {
            Kind::Histogram if self.has_negative_bound && self.sum.is_some() => {
                Err("a histogram with negative bounds has no sum")
            }
            Kind::GaugeHistogram if !self.has_negative_bound && self.sum.is_some_and(|sum| sum < 0.0) => {
                Err("the sum is negative although no bound is")
            }
            _ => Ok(()),
        }
    }
}

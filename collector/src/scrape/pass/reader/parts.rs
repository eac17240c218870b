//! How the reader comes to classic histograms that are stored as ones of custom buckets: it hands their parts to `customs`, and at
//! the text's end takes what has become of them.

use super::super::customs::{Custom, Customs, PartSample};
use super::super::taking::PRINTED_TWICE;
use super::Reader;
use crate::config::ScrapeJob;
use crate::exposition::Reading;
use crate::scrape::cache::{Kind, Part};

impl Reader<'_, '_> {
    /// What gathers parts, if the job wants it.
    pub(super) fn customs(job: &ScrapeJob) -> Option<Customs> {
        let forms = job.histograms.forms;
        forms.custom.then(|| Customs::new(forms.classic_always))
    }

    /// Sees what a line that is known says of histograms.
    pub(super) fn see_known(&mut self, place: u32, line: &str, reading: Reading<'_>) {
        let Some(customs) = &mut self.customs else { return };
        let cache = &*self.taking.pass.cache;
        let key = cache.key(place);
        let part = match cache.kind(place) {
            Kind::Silent | Kind::End => return customs.see(key, self.format),
            Kind::Part(histogram, what) => Some((histogram, what)),
            Kind::Series(_) | Kind::Dropped if customs.keeps_classic => {
                customs.part_of(key).map(|(histogram, what)| (cache.hash(&histogram), what))
            }
            Kind::Series(_) | Kind::Dropped => None,
        };
        let Some((histogram, what)) = part.filter(|_| !self.taking.is_second()) else { return };
        let sample = sample(self.line, reading);
        if let Err(reason) = customs.gather(histogram, what, key, sample) {
            self.problem(line, reason);
        }
    }

    /// Takes a line whose series is not known, if it is a part of a histogram and nothing else; says whether it is.
    pub(super) fn take_part(&mut self, series: &str, line: &str, reading: Reading<'_>) -> bool {
        let Some((histogram, what)) = self.part_of(series, false) else { return self.was_part(series, line) };
        let cache = &mut *self.taking.pass.cache;
        let hash = cache.hash(&histogram);
        // Remembered once its histogram is: those for which there is no room must not fill the memory.
        let place = cache.find(&histogram).and_then(|_| cache.add(series, Kind::Part(hash, what)));
        match place {
            Some(place) => self.sample(place, line, reading),
            None => self.gather(hash, what, series, line, reading),
        }
        true
    }

    /// Whether a line outside of its family was printed as a part before: the first one counts, whatever is known of it.
    fn was_part(&mut self, series: &str, line: &str) -> bool {
        let hash = self.taking.pass.cache.hash(series);
        let was = self.customs.as_ref().is_some_and(|customs| !customs.keeps_classic && customs.was_printed(hash));
        if was && !self.taking.is_second() {
            self.problem(line, PRINTED_TWICE);
        }
        was
    }

    /// Gathers a part that is also a series of its own, for which there is no room.
    pub(super) fn take_shed_part(&mut self, series: &str, line: &str, reading: Reading<'_>) {
        if let Some((histogram, what)) = self.part_of(series, true) {
            let hash = self.taking.pass.cache.hash(&histogram);
            self.gather(hash, what, series, line, reading);
        }
    }

    fn part_of(&self, series: &str, keeps_classic: bool) -> Option<(String, Part)> {
        let customs = self.customs.as_ref().filter(|customs| customs.keeps_classic == keeps_classic)?;
        let is_known = self.taking.pass.cache.find(series).is_some();
        if is_known { None } else { customs.part_of(series) }
    }

    fn gather(&mut self, histogram: u64, what: Part, series: &str, line: &str, reading: Reading<'_>) {
        if self.taking.is_second() {
            return;
        }
        let timestamp_ms = reading.timestamp_ms.filter(|_| self.taking.pass.job.honor_timestamps);
        let sample = sample(self.line, Reading { timestamp_ms, ..reading });
        let Some(customs) = &mut self.customs else { return };
        let gathered = if customs.is_first(self.taking.pass.cache.hash(series)) {
            customs.gather(histogram, what, series, sample)
        } else {
            Err(PRINTED_TWICE)
        };
        if let Err(reason) = gathered {
            self.problem(line, reason);
        }
    }

    /// Takes the histograms that were put together; in the second look, those for which there was no room in the first.
    pub(super) fn finish_customs(&mut self) -> Result<(), String> {
        let is_second = self.taking.is_second();
        let Some(customs) = &mut self.customs else { return Ok(()) };
        let histograms = if is_second { std::mem::take(&mut customs.shed) } else { customs.finish() };
        for Custom { line, series, timestamp_ms, histogram, exemplars } in histograms {
            self.line = line;
            let histogram = match histogram {
                Ok(histogram) => histogram,
                Err(reason) => {
                    self.problem(&series, reason);
                    continue;
                }
            };
            match self.taking.place_of(&series, line)? {
                Ok(Some(place)) => match self.taking.take_histogram(place, timestamp_ms, || Ok(histogram))? {
                    Ok(()) => self.taking.take_exemplars(place, exemplars),
                    Err(reason) => self.problem(&series, reason),
                },
                Ok(None) if is_second => {}
                Ok(None) => {
                    let shed = Custom { line, series, timestamp_ms, histogram: Ok(histogram), exemplars };
                    self.customs.get_or_insert_default().shed.push(shed);
                }
                Err(reason) => self.problem(&series, reason),
            }
        }
        Ok(())
    }
}

fn sample(line: usize, reading: Reading<'_>) -> PartSample<'_> {
    let Reading { value, timestamp_ms, exemplar } = reading;
    PartSample { line, timestamp_ms, value, exemplar }
}

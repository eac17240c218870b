//! Stands before the store: what the store took in is put into the queue of every receiver. Where there is none it costs a look.

use std::sync::Arc;

use lifecycle::Clock;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::intake::{Intake, Things};
use crate::api::views::Exemplar;
use crate::series::{AppendError, Appendable, Appended, HistogramSample, Ingest, Labels, Sample, SeriesRef};

/// Exemplars that wait for the samples with which they came; more are not sent.
const EXEMPLARS_MAX: usize = 10_000;

/// The way into a queue, and the bell of its workers.
#[derive(Clone)]
pub struct Receiver {
    pub intake: Arc<Intake>,
    pub news: watch::Sender<()>,
}

/// The store, as everything that takes samples in sees it.
pub struct Forwarding {
    store: Arc<dyn Ingest>,
    clock: Arc<dyn Clock>,
    receivers: RwLock<Vec<Receiver>>,
    exemplars: Mutex<Vec<(SeriesRef, Exemplar)>>,
}

impl Forwarding {
    /// Forwards to nobody yet.
    pub fn new(store: Arc<dyn Ingest>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, receivers: RwLock::default(), exemplars: Mutex::default() }
    }

    /// From now on forwards to others, which `make` makes while nothing is forwarded.
    pub(super) fn replace(&self, make: impl FnOnce() -> Vec<Receiver>) {
        let mut receivers = self.receivers.write();
        *receivers = make();
    }

    fn forward(&self, things: Things<'_>) {
        let receivers = self.receivers.read();
        if receivers.is_empty() {
            return;
        }
        let now_ms = self.clock.now_ms();
        // They come before their samples, and a receiver may not know their series yet.
        let exemplars = std::mem::take(&mut *self.exemplars.lock());
        for receiver in receivers.iter() {
            receiver.intake.put(things, now_ms, &|series| self.store.labels(series));
            if !exemplars.is_empty() {
                receiver.intake.put(Things::Exemplars(&exemplars), now_ms, &|series| self.store.labels(series));
            }
            receiver.news.send_replace(());
        }
    }
}

impl Appendable for Forwarding {
    fn append(&self, batch: &[(Labels, Sample)]) -> Result<Appended, AppendError> {
        let appended = self.store.append(batch)?;
        if !self.receivers.read().is_empty() {
            let found: Vec<(SeriesRef, Sample)> =
                batch.iter().map(|(labels, sample)| (self.store.resolve(labels), *sample)).collect();
            self.forward(Things::Floats(&found));
        }
        Ok(appended)
    }
}

impl Ingest for Forwarding {
    fn resolve(&self, labels: &Labels) -> SeriesRef {
        self.store.resolve(labels)
    }

    fn labels(&self, series: SeriesRef) -> Option<Labels> {
        self.store.labels(series)
    }

    fn append_resolved(&self, batch: &[(SeriesRef, Sample)], gone: &mut Vec<usize>) -> Result<Appended, AppendError> {
        let before = gone.len();
        let appended = self.store.append_resolved(batch, gone)?;
        if gone.len() == before {
            self.forward(Things::Floats(batch));
        } else {
            self.forward(Things::Floats(&without(batch, &gone[before..])));
        }
        Ok(appended)
    }

    fn append_histograms(
        &self,
        batch: &[(SeriesRef, HistogramSample)],
        gone: &mut Vec<usize>,
    ) -> Result<Appended, AppendError> {
        let before = gone.len();
        let appended = self.store.append_histograms(batch, gone)?;
        if gone.len() == before {
            self.forward(Things::Histograms(batch));
        } else {
            self.forward(Things::Histograms(&without(batch, &gone[before..])));
        }
        Ok(appended)
    }

    fn append_exemplar(&self, series: SeriesRef, exemplar: Exemplar) {
        if !self.receivers.read().is_empty() {
            let mut waiting = self.exemplars.lock();
            if waiting.len() < EXEMPLARS_MAX {
                waiting.push((series, exemplar.clone()));
            }
        }
        self.store.append_exemplar(series, exemplar);
    }
}

/// The batch without what the store did not know; that comes again.
fn without<T: Clone>(batch: &[T], gone: &[usize]) -> Vec<T> {
    batch.iter().enumerate().filter(|(at, _)| !gone.contains(at)).map(|(_, one)| one.clone()).collect()
}

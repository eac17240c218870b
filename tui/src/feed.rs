//! Fetches, one task a source, and tells the screen through a `watch`. A source that hangs or fails delays no other, and
//! its last good answer stays. Never draws and never judges. Start at `Feed::spawn_into`.

pub mod backends;
pub mod decision_log;
pub mod queries;
pub mod reading;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use lifecycle::{CancellationToken, Clock, Supervisor};
use tokio::sync::watch;

use crate::feed::backends::{Backends, NO_AUTOSCALER};
use crate::feed::decision_log::DecisionLog;
use crate::picture::{Detail, Picture, Source, TraceList, Trouble, Wants};

/// Between two answers of one source: what an eye follows; half of k9s' load would be too slow for a breaker's life.
pub const INTERVAL: Duration = Duration::from_secs(2);
/// Between two histories: they move by one point in five seconds.
pub const INTERVAL_HISTORY: Duration = Duration::from_secs(10);
/// The longest pause after failures: a server that is back is seen within so long.
pub const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// How long to wait after `failures` failures in a row.
fn pause(interval: Duration, failures: u32) -> Duration {
    let doubled = interval.saturating_mul(1 << failures.min(4));
    if failures == 0 { interval } else { doubled.min(BACKOFF_MAX.max(interval)) }
}

/// The tasks' side: where answers go and wants come from.
#[derive(Clone)]
pub struct Feed {
    backends: Backends,
    clock: Arc<dyn Clock>,
    picture: Arc<watch::Sender<Picture>>,
    wants: watch::Receiver<Wants>,
    shutdown: CancellationToken,
}

impl Feed {
    /// The feed and the receiver of its pictures.
    pub fn new(
        backends: Backends,
        clock: Arc<dyn Clock>,
        wants: watch::Receiver<Wants>,
        shutdown: CancellationToken,
    ) -> (Self, watch::Receiver<Picture>) {
        let (sender, receiver) = watch::channel(first_picture(&backends));
        (Self { backends, clock, picture: Arc::new(sender), wants, shutdown }, receiver)
    }

    /// Starts every source's task.
    pub fn spawn_into(&self, supervisor: &mut Supervisor) {
        let spawn = |supervisor: &mut Supervisor, feed: &Self, source| {
            let feed = feed.clone();
            supervisor.spawn(&format!("feed: {source:?}"), Box::pin(feed.run(source)));
        };
        for source in
            [SourceName::Metrics, SourceName::History, SourceName::Detail, SourceName::Graph, SourceName::Traces]
        {
            spawn(supervisor, self, source);
        }
        if self.backends.has_autoscaler() {
            for source in [SourceName::Workloads, SourceName::Scaling, SourceName::Events] {
                spawn(supervisor, self, source);
            }
        }
    }

    async fn run(self, source: SourceName) -> Result<(), Infallible> {
        let backends = self.backends.clone();
        let clock = Arc::clone(&self.clock);
        match source {
            SourceName::Metrics => {
                let fetch = |_, window| {
                    let backends = backends.clone();
                    async move { backends.metrics(window).await.map(Some) }
                };
                self.keep(INTERVAL, |p| &mut p.metrics, fetch).await;
            }
            SourceName::History => {
                let fetch = |_, window| {
                    let (backends, now_ms) = (backends.clone(), clock.now_ms());
                    async move { backends.history(now_ms, window).await.map(Some) }
                };
                self.keep(INTERVAL_HISTORY, |p| &mut p.history, fetch).await;
            }
            SourceName::Detail => {
                let fetch = |wants: Wants, window| {
                    let (backends, now_ms) = (backends.clone(), clock.now_ms());
                    async move {
                        match wants.service {
                            Some(service) => backends.detail(service, now_ms, window).await.map(Some),
                            None => Ok(None::<Detail>),
                        }
                    }
                };
                self.keep(INTERVAL_HISTORY, |p| &mut p.detail, fetch).await;
            }
            SourceName::Graph => {
                let fetch = |_, window| {
                    let backends = backends.clone();
                    async move { backends.graph(window).await.map(Some) }
                };
                self.keep(INTERVAL, |p| &mut p.graph, fetch).await;
            }
            SourceName::Traces => {
                let fetch = |wants: Wants, _| {
                    let backends = backends.clone();
                    async move {
                        match wants.traces {
                            Some(wish) => backends.traces(wish).await.map(Some),
                            None => Ok(None::<TraceList>),
                        }
                    }
                };
                self.keep(INTERVAL, |p| &mut p.traces, fetch).await;
            }
            SourceName::Workloads => {
                let fetch = |_, _| {
                    let backends = backends.clone();
                    async move { backends.workloads().await.map(Some) }
                };
                self.keep(INTERVAL, |p| &mut p.workloads, fetch).await;
            }
            SourceName::Events => {
                let fetch = |_, _| {
                    let backends = backends.clone();
                    async move { backends.events().await.map(Some) }
                };
                self.keep(INTERVAL, |p| &mut p.events, fetch).await;
            }
            SourceName::Scaling => self.run_scaling(backends).await,
        }
        Ok(())
    }

    async fn run_scaling(self, backends: Backends) {
        let log = Arc::new(std::sync::Mutex::new(DecisionLog::default()));
        let fetch = |_, _| {
            let (backends, log) = (backends.clone(), Arc::clone(&log));
            async move {
                let known = log.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
                let (grown, scaling) = backends.scaling_news(known).await?;
                *log.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = grown;
                Ok(Some(scaling))
            }
        };
        self.keep(INTERVAL, |p| &mut p.scaling, fetch).await;
    }

    /// Fetches for ever, with back-off; a change of wants or a refresh wakes it at once. `Ok(None)`: nobody wants it now.
    async fn keep<T, F, R>(mut self, interval: Duration, slot: fn(&mut Picture) -> &mut Source<T>, fetch: F)
    where
        F: Fn(Wants, u64) -> R,
        R: Future<Output = Result<Option<T>, Trouble>>,
    {
        let mut failures = 0u32;
        loop {
            let wants = self.wants.borrow_and_update().clone();
            let window = self.window();
            let answer = tokio::select! {
                answer = fetch(wants, window) => answer,
                () = self.shutdown.cancelled() => return,
            };
            failures = if answer.is_err() { failures.saturating_add(1) } else { 0 };
            self.publish(slot, answer);
            tokio::select! {
                () = tokio::time::sleep(pause(interval, failures)) => {}
                changed = self.wants.changed() => if changed.is_err() {
                    self.shutdown.cancelled().await;
                    return;
                },
                () = self.shutdown.cancelled() => return,
            }
        }
    }

    fn publish<T>(&self, slot: fn(&mut Picture) -> &mut Source<T>, answer: Result<Option<T>, Trouble>) {
        let now_ms = self.clock.now_ms();
        match answer {
            Ok(Some(data)) => self.picture.send_modify(|picture| slot(picture).answered(data, now_ms)),
            Ok(None) => {}
            Err(trouble) => self.picture.send_modify(|picture| slot(picture).failed(trouble)),
        }
    }

    /// The window that the metrics were last answered for.
    fn window(&self) -> u64 {
        let picture = self.picture.borrow();
        picture.metrics.data.as_ref().map_or(queries::WINDOW_SECONDS, |m| m.window_seconds as u64)
    }
}

#[derive(Debug, Clone, Copy)]
enum SourceName {
    Metrics,
    History,
    Detail,
    Graph,
    Traces,
    Workloads,
    Scaling,
    Events,
}

fn first_picture(backends: &Backends) -> Picture {
    if backends.has_autoscaler() {
        return Picture::default();
    }
    Picture {
        workloads: Source::missing(NO_AUTOSCALER),
        scaling: Source::missing(NO_AUTOSCALER),
        events: Source::missing(NO_AUTOSCALER),
        ..Picture::default()
    }
}

/// One answer of every source, for a screen that is drawn once.
pub async fn fetch_once(backends: &Backends, wants: &Wants, clock: &dyn Clock) -> Picture {
    let now_ms = clock.now_ms();
    let window = queries::WINDOW_SECONDS;
    let mut picture = first_picture(backends);
    let detail = async {
        match &wants.service {
            Some(service) => backends.detail(service.clone(), now_ms, window).await.map(Some),
            None => Ok(None),
        }
    };
    let traces = async {
        match &wants.traces {
            Some(wish) => backends.traces(wish.clone()).await.map(Some),
            None => Ok(None),
        }
    };
    let scaling = async { backends.scaling_news(DecisionLog::default()).await.map(|(_, scaling)| scaling) };
    let (metrics, history, detail, graph, workloads, scaling, events, traces) = futures::join!(
        Box::pin(backends.metrics(window)),
        Box::pin(backends.history(now_ms, window)),
        Box::pin(detail),
        Box::pin(backends.graph(window)),
        Box::pin(backends.workloads()),
        Box::pin(scaling),
        Box::pin(backends.events()),
        Box::pin(traces)
    );
    let now_ms = clock.now_ms();
    put(&mut picture.metrics, metrics.map(Some), now_ms);
    put(&mut picture.history, history.map(Some), now_ms);
    put(&mut picture.detail, detail, now_ms);
    put(&mut picture.graph, graph.map(Some), now_ms);
    put(&mut picture.workloads, workloads.map(Some), now_ms);
    put(&mut picture.scaling, scaling.map(Some), now_ms);
    put(&mut picture.events, events.map(Some), now_ms);
    put(&mut picture.traces, traces, now_ms);
    picture
}

fn put<T>(source: &mut Source<T>, answer: Result<Option<T>, Trouble>, now_ms: i64) {
    match answer {
        Ok(Some(data)) => source.answered(data, now_ms),
        Ok(None) => {}
        Err(trouble) => source.failed(trouble),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_with_failures_and_end_at_the_limit() {
        let seconds: Vec<u64> = (0..8).map(|failures| pause(INTERVAL, failures).as_secs()).collect();
        assert_eq!(seconds, [2, 4, 8, 10, 10, 10, 10, 10]);
        assert_eq!(pause(INTERVAL_HISTORY, 3), INTERVAL_HISTORY);
    }
}

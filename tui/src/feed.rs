//! Fetches, one task a source, and tells the screen through a `watch`. A source that hangs or fails delays no other, and
//! its last good answer stays. Never draws and never judges. Start at `Feed::spawn_into`.

pub mod backends;
pub mod changes;
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
use crate::picture::{Picture, Source, Trouble, Wants};

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
        let of_autoscaler = [SourceName::Workloads, SourceName::Scaling, SourceName::Events, SourceName::Explanation];
        let sources = SourceName::OF_COLLECTOR.into_iter();
        for source in sources.chain(of_autoscaler.into_iter().filter(|_| self.backends.has_autoscaler())) {
            supervisor.spawn(&format!("feed: {source:?}"), Box::pin(self.clone().run(source)));
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
            SourceName::Graph => {
                let fetch = |_, window| {
                    let backends = backends.clone();
                    async move { backends.graph(window).await.map(Some) }
                };
                self.keep(INTERVAL, |p| &mut p.graph, fetch).await;
            }
            SourceName::Faults => {
                let fetch = |_, _| {
                    let backends = backends.clone();
                    async move { backends.faults().await.map(Some) }
                };
                self.keep(INTERVAL, |p| &mut p.faults, fetch).await;
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
            SourceName::Detail
            | SourceName::Traces
            | SourceName::Timeline
            | SourceName::Curves
            | SourceName::Heat
            | SourceName::Explanation => self.run_wanted(source).await,
        }
        Ok(())
    }

    /// What is fetched only while a screen shows it.
    async fn run_wanted(self, source: SourceName) {
        let backends = self.backends.clone();
        let clock = Arc::clone(&self.clock);
        match source {
            SourceName::Traces => {
                let fetch = |wants: Wants, _| {
                    let backends = backends.clone();
                    wanted(wants.traces, move |wish| async move { backends.traces(wish).await })
                };
                self.keep(INTERVAL, |p| &mut p.traces, fetch).await;
            }
            SourceName::Timeline => {
                let fetch = |wants: Wants, _| {
                    let backends = backends.clone();
                    wanted(wants.timeline.then_some(()), move |()| async move { backends.timeline().await })
                };
                self.keep(INTERVAL, |p| &mut p.timeline, fetch).await;
            }
            SourceName::Curves => {
                let fetch = |wants: Wants, _| {
                    let (backends, now_ms) = (backends.clone(), clock.now_ms());
                    wanted(wants.curves, move |wish| async move { backends.curves(wish, now_ms).await })
                };
                self.keep(INTERVAL_HISTORY, |p| &mut p.curves, fetch).await;
            }
            SourceName::Heat => {
                let picture = Arc::clone(&self.picture);
                let fetch = |wants: Wants, window| {
                    let (backends, now_ms) = (backends.clone(), clock.now_ms());
                    let scrape = picture.borrow().metrics.data.as_ref().and_then(|m| m.scrape_seconds);
                    let least = scrape.map_or(window, queries::window_min_for);
                    wanted(wants.heat, move |wish| async move { backends.heat(&wish, now_ms, least).await })
                };
                self.keep(INTERVAL_HISTORY, |p| &mut p.heat, fetch).await;
            }
            SourceName::Explanation => {
                let fetch = |wants: Wants, _| {
                    let backends = backends.clone();
                    wanted(wants.policy, move |policy| async move { backends.explanation(policy).await })
                };
                self.keep(INTERVAL, |p| &mut p.explanation, fetch).await;
            }
            _ => {
                let fetch = |wants: Wants, window| {
                    let (backends, now_ms) = (backends.clone(), clock.now_ms());
                    wanted(wants.service, move |key| async move { backends.detail(key, now_ms, window).await })
                };
                self.keep(INTERVAL_HISTORY, |p| &mut p.detail, fetch).await;
            }
        }
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
    Faults,
    Timeline,
    Curves,
    Heat,
    Workloads,
    Scaling,
    Events,
    Explanation,
}

impl SourceName {
    const OF_COLLECTOR: [Self; 9] = [
        Self::Metrics,
        Self::History,
        Self::Detail,
        Self::Graph,
        Self::Traces,
        Self::Faults,
        Self::Timeline,
        Self::Curves,
        Self::Heat,
    ];
}

/// The answer to a wish; nothing where there is none.
async fn wanted<W, T, R>(wish: Option<W>, fetch: impl FnOnce(W) -> R) -> Result<Option<T>, Trouble>
where
    R: Future<Output = Result<T, Trouble>>,
{
    match wish {
        Some(wish) => fetch(wish).await.map(Some),
        None => Ok(None),
    }
}

fn first_picture(backends: &Backends) -> Picture {
    if backends.has_autoscaler() {
        return Picture::default();
    }
    Picture {
        workloads: Source::missing(NO_AUTOSCALER),
        scaling: Source::missing(NO_AUTOSCALER),
        events: Source::missing(NO_AUTOSCALER),
        explanation: Source::missing(NO_AUTOSCALER),
        ..Picture::default()
    }
}

/// One answer of every source, for a screen that is drawn once.
pub async fn fetch_once(backends: &Backends, wants: &Wants, clock: &dyn Clock) -> Picture {
    let now_ms = clock.now_ms();
    let window = queries::WINDOW_SECONDS;
    let mut picture = first_picture(backends);
    let scaling = async { backends.scaling_news(DecisionLog::default()).await.map(|(_, scaling)| Some(scaling)) };
    let always = async {
        futures::join!(
            Box::pin(backends.metrics(window)),
            Box::pin(backends.history(now_ms, window)),
            Box::pin(backends.graph(window)),
            Box::pin(backends.faults()),
            Box::pin(backends.workloads()),
            Box::pin(scaling),
            Box::pin(backends.events())
        )
    };
    let on_screen = async {
        futures::join!(
            wanted(wants.service.clone(), |key| Box::pin(backends.detail(key, now_ms, window))),
            wanted(wants.traces.clone(), |wish| Box::pin(backends.traces(wish))),
            wanted(wants.timeline.then_some(()), |()| Box::pin(backends.timeline())),
            wanted(wants.curves.clone(), |wish| Box::pin(backends.curves(wish, now_ms))),
            wanted(wants.heat.as_ref(), |wish| Box::pin(backends.heat(wish, now_ms, window))),
            wanted(wants.policy.clone(), |policy| Box::pin(backends.explanation(policy)))
        )
    };
    let (always, on_screen) = futures::join!(Box::pin(always), Box::pin(on_screen));
    let (metrics, history, graph, faults, workloads, scaling, events) = always;
    let (detail, traces, timeline, curves, heat, explanation) = on_screen;
    let now_ms = clock.now_ms();
    put(&mut picture.metrics, metrics.map(Some), now_ms);
    put(&mut picture.history, history.map(Some), now_ms);
    put(&mut picture.graph, graph.map(Some), now_ms);
    put(&mut picture.faults, faults.map(Some), now_ms);
    put(&mut picture.workloads, workloads.map(Some), now_ms);
    put(&mut picture.scaling, scaling, now_ms);
    put(&mut picture.events, events.map(Some), now_ms);
    put(&mut picture.detail, detail, now_ms);
    put(&mut picture.traces, traces, now_ms);
    put(&mut picture.timeline, timeline, now_ms);
    put(&mut picture.curves, curves, now_ms);
    put(&mut picture.heat, heat, now_ms);
    put(&mut picture.explanation, explanation, now_ms);
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

//! Evidence: numbers that speak for a suspicion, as sentences that lead to the data. Judges nothing. Pure.

use std::collections::{BTreeMap, HashMap};

use protocol::faults::{Evidence, FaultKind, Source, Suspect, TimelineEvent, TimelineKind};
use url::form_urlencoded;

use super::changes::Changes;
use super::history::Line;
use super::incidents::Ended;
use super::memory::Memory;
use super::reading::Reading;
use super::sketch::Many;
use super::suspicion::{Suspicion, has_dried_up};
use super::weather::Overload;
use super::work::ErrorKind;
use super::{list, span};

/// Seconds shown before something began.
const BEFORE_S: i64 = 30;

/// A change so long before something broke may be why, milliseconds: what is rolled out takes its time to start ...
const CHANGED_BEFORE_MS: i64 = 120_000;
/// ... and is seen at the next scrape.
const CHANGED_AFTER_MS: i64 = 15_000;

/// Changes named.
const CHANGES_MAX: usize = 3;

/// Traces that a search asks for.
const TRACES: usize = 20;

/// Callers named in one sentence.
const CALLERS_MAX: usize = 3;

/// A share as `96 %`; small ones with a digit more.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 9.5 { format!("{percent:.1} %") } else { format!("{percent:.0} %") }
}

fn millis(ms: f64) -> String {
    match ms {
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 1_000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1_000.0),
    }
}

/// An epoch's second as time of day, UTC.
pub fn clock(second: i64) -> String {
    let of_day = second.rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", of_day / 3_600, of_day / 60 % 60, of_day % 60)
}

/// What a node is called.
pub fn name(memory: &Memory, node: u32) -> String {
    memory.nodes.get(node).map_or_else(|| "?".to_owned(), |(name, _)| name.to_string())
}

fn quoted(name: &str) -> String {
    name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// What is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// What is remembered.
    pub memory: &'a Memory,
    /// The window.
    pub reading: &'a Reading,
    /// Its seconds.
    pub window: (i64, i64),
    /// Since when the suspect is broken.
    pub since: i64,
    /// What it is made from.
    pub source: Source,
}

impl Scene<'_> {
    fn sends(&self, node: u32) -> bool {
        self.memory.nodes.get(node).is_some_and(|(_, node)| node.sends)
    }

    /// PromQL of errors, or of durations.
    fn query(&self, node: u32, is_slow: bool) -> String {
        let name = quoted(&name(self.memory, node));
        // Where there are no spans there are no metrics of them, and servers' durations are known by their clients.
        let by_spans = self.source == Source::Spans && self.sends(node);
        match (by_spans, is_slow) {
            (true, false) => format!(
                "sum(rate(traces_spanmetrics_calls_total{{service=\"{name}\", status_code=\"STATUS_CODE_ERROR\"}}[1m]))"
            ),
            (true, true) => format!(
                "histogram_quantile(0.95, sum by (le) (rate(traces_spanmetrics_latency_bucket{{service=\"{name}\", span_kind=\"SPAN_KIND_SERVER\"}}[1m])))"
            ),
            (false, false) => {
                format!("sum by (client) (rate(traces_service_graph_request_failed_total{{server=\"{name}\"}}[1m]))")
            }
            (false, true) => format!(
                "histogram_quantile(0.95, sum by (le) (rate(traces_service_graph_request_client_seconds_bucket{{server=\"{name}\"}}[1m])))"
            ),
        }
    }

    /// A search for traces of it; of its busiest caller, if it sends no spans or has fallen silent.
    fn traces(&self, node: u32, is_silent: bool, is_slow: bool) -> Option<String> {
        if self.source == Source::Metrics {
            return None;
        }
        let into = self.reading.edges.iter().filter(|((client, server), _)| *server == node && client != server);
        let caller =
            into.max_by(|a, b| a.1.calls.total_cmp(&b.1.calls).then(b.0.cmp(a.0))).map(|((client, _), _)| *client);
        let of = if self.sends(node) && !is_silent { node } else { caller? };
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("service", &name(self.memory, of));
        query.append_pair("start", &((self.since - BEFORE_S) * 1_000_000).to_string());
        query.append_pair("end", &(self.window.1 * 1_000_000).to_string());
        query.append_pair("limit", &TRACES.to_string());
        if !is_slow {
            query.append_pair("tags", r#"{"error":"true"}"#);
        }
        Some(format!("/api/traces?{}", query.finish()))
    }

    /// How the errors look that were born at a node, the commonest first.
    fn looks(&self, node: u32) -> Vec<(ErrorKind, u32)> {
        let mut looks: HashMap<ErrorKind, u32> = HashMap::new();
        let sends = self.sends(node);
        for frame in (self.window.0..self.window.1).filter_map(|second| self.memory.frames.at(second)) {
            for (unit, cell) in &frame.cells {
                if self.memory.units.get(*unit).is_some_and(|((of, _), _)| *of == node) {
                    cell.looks.add_to(&mut looks);
                }
            }
            for (edge, cell) in frame.edges.iter().filter(|(_, cell)| cell.failed > 0 && (!sends || cell.missing > 0)) {
                let Some(((unit, peer, _), _)) = self.memory.edges.get(*edge) else { continue };
                let client = self.memory.units.get(*unit).map(|((client, _), _)| *client);
                if client.is_some_and(|client| self.memory.resolve(client, *peer) == node) {
                    cell.looks.add_to(&mut looks);
                }
            }
        }
        let mut looks: Vec<_> = looks.into_iter().collect();
        looks.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        looks
    }

    /// Median own time, usually and now, milliseconds; of a peer that sends no spans, that of calls to it.
    fn medians_ms(&self, node: u32) -> (f64, f64) {
        let (mut usual, mut now) = ((0.0, 0.0), Many::default());
        let mut add_usual = |many: &Many| {
            usual = (usual.0 + many.quantile_ms(0.5) * many.count(), usual.1 + many.count());
        };
        let sends = self.sends(node);
        let units = self.memory.units.iter().filter(|(_, (of, _), _)| sends && *of == node);
        let units: Vec<u32> = units.map(|(number, _, unit)| (number, add_usual(&unit.own)).0).collect();
        let edges = self.memory.edges.iter().filter(|(_, (unit, peer, _), _)| {
            let client = self.memory.units.get(*unit).map(|((client, _), _)| *client);
            !sends && client.is_some_and(|client| self.memory.resolve(client, *peer) == node)
        });
        let edges: Vec<u32> = edges.map(|(number, _, edge)| (number, add_usual(&edge.took)).0).collect();
        for frame in (self.window.0..self.window.1).filter_map(|second| self.memory.frames.at(second)) {
            units.iter().filter_map(|unit| frame.cells.get(unit)).for_each(|cell| now.add(&cell.own));
            edges.iter().filter_map(|edge| frame.edges.get(edge)).for_each(|cell| now.add(&cell.took));
        }
        let usual_ms = if usual.1 > 0.0 { usual.0 / usual.1 } else { 0.0 };
        (usual_ms, now.quantile_ms(0.5))
    }
}

fn evidence(kind: &str, text: String) -> Evidence {
    Evidence { kind: kind.to_owned(), text, value: None, usual: None, since_ms: None, query: None, traces: None }
}

/// What speaks for a suspicion, the strongest first; at least two.
pub fn of_suspicion(scene: &Scene<'_>, suspicion: &Suspicion) -> Vec<Evidence> {
    match suspicion.fault {
        FaultKind::Slow if suspicion.line == Line::Held => of_standstill(scene, suspicion),
        FaultKind::Slow => of_slowness(scene, suspicion),
        FaultKind::Errors | FaultKind::NoAnswer => of_errors(scene, suspicion),
    }
}

fn of_errors(scene: &Scene<'_>, suspicion: &Suspicion) -> Vec<Evidence> {
    let node = suspicion.node;
    let sum = scene.reading.nodes.get(&node).cloned().unwrap_or_default();
    let all: f64 = scene.reading.nodes.values().map(|sum| sum.born.hits).sum();
    let share = sum.born.hits / all.max(1.0);
    let is_silent = suspicion.fault == FaultKind::NoAnswer;
    let since = clock(scene.since);
    let since_ms = Some(scene.since * 1_000);
    let traces = scene.traces(node, is_silent, false);
    let query = Some(scene.query(node, false));
    let ends_here = Evidence {
        value: Some(share),
        traces: traces.clone(),
        query: query.clone(),
        ..evidence(
            "ends_here",
            format!("{} of what fails ends here ({:.0} of {all:.0} failures)", percent(share), sum.born.hits),
        )
    };
    let looks = scene.looks(node);
    let second = if is_silent {
        let calls = format!("{:.0} calls to it got no answer since {since}", sum.missing);
        let text = match sum.requests > 0.0 {
            true => format!("{calls}, while it served {:.0}", sum.requests),
            false => format!("{calls}, and it served none: it sends no spans any more"),
        };
        Evidence { value: Some(sum.missing), usual: Some(0.0), since_ms, query, traces, ..evidence("no_answer", text) }
    } else if sum.unreached > 0.0 {
        // However few: behind an open breaker most of what fails follows from those.
        let from = scene.reading.edges.range((node, u32::MIN)..=(node, u32::MAX));
        let unconnected: f64 = from.map(|(_, edge)| edge.unconnected).sum();
        let why = match unconnected >= 0.5 * sum.unreached {
            true => "found no connection, while others reach whom it calls",
            false => "were given up before an answer is late, and repeated",
        };
        let text = format!("{:.0} of its calls {why}, since {since}", sum.unreached);
        Evidence {
            value: Some(sum.unreached),
            usual: Some(0.0),
            since_ms,
            query,
            traces,
            ..evidence("own_calls", text)
        }
    } else if let Some((look @ ErrorKind::Clock(_), count)) = looks.first() {
        let text = format!("it has {} since {since}, seen in {count} calls", look.words());
        Evidence {
            value: Some(f64::from(*count)),
            usual: Some(0.0),
            since_ms,
            query,
            traces,
            ..evidence("own_clock", text)
        }
    } else {
        let what = if scene.sends(node) { "its requests fail by themselves" } else { "the calls to it fail" };
        let now = percent(suspicion.share);
        let text = match suspicion.usual {
            usual if usual < 0.01 => format!("{now} of {what} since {since}, usually next to none"),
            usual => format!("{now} of {what} since {since}, usually at most {}", percent(usual)),
        };
        let (value, usual) = (Some(suspicion.share), Some(suspicion.usual));
        Evidence { value, usual, since_ms, query, traces, ..evidence("own_errors", text) }
    };
    let mut all = vec![ends_here, second];
    let count: u32 = looks.iter().map(|(_, count)| count).sum();
    // Counters do not tell how errors look.
    let first = looks.first().filter(|(look, _)| scene.source == Source::Spans && !matches!(look, ErrorKind::Clock(_)));
    if let Some((look, most)) = first {
        let text = format!("its failures are {} ({most} of {count})", look.words());
        all.push(Evidence { value: Some(f64::from(*most) / f64::from(count.max(1))), ..evidence("error_kind", text) });
    }
    all
}

fn of_standstill(scene: &Scene<'_>, suspicion: &Suspicion) -> Vec<Evidence> {
    let sum = scene.reading.nodes.get(&suspicion.node).cloned().unwrap_or_default();
    let (since, since_ms) = (clock(scene.since), Some(scene.since * 1_000));
    let (query, traces) = (Some(scene.query(suspicion.node, true)), scene.traces(suspicion.node, false, true));
    let what = if sum.holds_answers { "answers to it" } else { "requests" };
    let each_ms = sum.held_ms / sum.held.hits.max(1.0);
    let text = format!(
        "{:.0} {what} waited {} since {since} until it took them in, as if it stood still",
        sum.held.hits,
        millis(each_ms)
    );
    let held = Evidence {
        value: Some(sum.held.hits),
        usual: Some(sum.held.usual),
        since_ms,
        query,
        traces,
        ..evidence("held", text)
    };
    vec![held, of_time_lost(scene, sum.held_ms)]
}

fn of_slowness(scene: &Scene<'_>, suspicion: &Suspicion) -> Vec<Evidence> {
    let node = suspicion.node;
    let sum = scene.reading.nodes.get(&node).cloned().unwrap_or_default();
    let (usual_ms, now_ms) = scene.medians_ms(node);
    let since = clock(scene.since);
    let since_ms = Some(scene.since * 1_000);
    let (query, traces) = (Some(scene.query(node, true)), scene.traces(node, false, true));
    let what = if scene.sends(node) { "own time" } else { "calls to it take" };
    let times = now_ms / usual_ms.max(0.001);
    let own_time = (times >= 1.5).then(|| Evidence {
        value: Some(now_ms),
        usual: Some(usual_ms),
        since_ms,
        query: query.clone(),
        traces: traces.clone(),
        ..evidence(
            "own_time",
            format!(
                "{what} x{times:.1} since {since}: the median went from {} to {}",
                millis(usual_ms),
                millis(now_ms)
            ),
        )
    });
    let excess_ms = sum.lost_ms / sum.slow.hits.max(1.0);
    let late = Evidence {
        value: Some(suspicion.share),
        usual: Some(sum.slow.usual_share()),
        since_ms,
        query,
        traces,
        ..evidence(
            "late_share",
            format!(
                "{} of its requests lose {} here since {since}, usually {}",
                percent(suspicion.share),
                millis(excess_ms),
                percent(sum.slow.usual_share())
            ),
        )
    };
    let time_lost = of_time_lost(scene, sum.lost_ms);
    own_time.into_iter().chain([late, time_lost]).collect()
}

fn of_time_lost(scene: &Scene<'_>, lost_ms: f64) -> Evidence {
    let all_ms: f64 = scene.reading.nodes.values().map(|sum| sum.lost_ms + sum.held_ms).sum();
    let share = lost_ms / all_ms.max(f64::MIN_POSITIVE);
    let seconds = (scene.window.1 - scene.window.0).max(1) as f64;
    let text = format!("{} of the time lost is lost here ({} each second)", percent(share), millis(lost_ms / seconds));
    Evidence { value: Some(share), ..evidence("time_lost", text) }
}

/// What changed at a suspect shortly before it broke, the nearest first; restarts count also as long as it lasts.
pub fn of_changes(changes: &Changes, service: &str, since_ms: i64) -> Vec<Evidence> {
    let (events, _) = changes.events();
    let mut near: Vec<&TimelineEvent> = events
        .filter(|event| event.service == service)
        .filter(|event| match event.kind {
            TimelineKind::Replicas | TimelineKind::Resources | TimelineKind::Version => {
                (since_ms - CHANGED_BEFORE_MS..=since_ms + CHANGED_AFTER_MS).contains(&event.at_ms)
            }
            TimelineKind::Restart => event.at_ms >= since_ms - CHANGED_BEFORE_MS,
            TimelineKind::FaultBegan | TimelineKind::FaultEnded | TimelineKind::Breaker => false,
        })
        .collect();
    near.sort_by_key(|event| (event.at_ms - since_ms).abs());
    near.into_iter().take(CHANGES_MAX).map(|event| of_change(event, service, since_ms)).collect()
}

fn of_change(event: &TimelineEvent, service: &str, since_ms: i64) -> Evidence {
    let at = clock(event.at_ms.div_euclid(1_000));
    let seconds = (since_ms - event.at_ms) as f64 / 1_000.0;
    let when = match seconds.round() {
        before if before >= 1.0 => format!("{before:.0} s before"),
        after if after <= -1.0 => format!("{:.0} s after it began", -after),
        _ => "as it began".to_owned(),
    };
    let name = quoted(service);
    let query = match event.kind {
        TimelineKind::Replicas => Some(format!("kube_deployment_spec_replicas{{deployment=\"{name}\"}}")),
        TimelineKind::Resources => Some(format!("kube_pod_container_resource_limits{{deployment=\"{name}\"}}")),
        TimelineKind::Restart => Some(format!("kube_pod_container_status_restarts_total{{deployment=\"{name}\"}}")),
        _ => None,
    };
    let text = format!("{} at {at}, {when}", event.text);
    Evidence { value: Some(seconds), since_ms: Some(event.at_ms), query, ..evidence("changed", text) }
}

/// Whose breakers keep them from a suspect.
pub fn of_breakers(changes: &Changes, service: &str) -> Option<Evidence> {
    let away = changes.kept_from(service);
    let since_ms = away.iter().map(|(_, breaker)| breaker.since_ms).min()?;
    let names: Vec<&str> = away.iter().map(|(client, _)| *client).collect();
    let (noun, verb) = if names.len() == 1 { ("breaker", "is") } else { ("breakers", "are") };
    let since = clock(since_ms.div_euclid(1_000));
    let text = format!("the {noun} of {} to it {verb} open, the first since {since}", list(&names));
    let query = Some(format!("max by (service) (circuit_breaker_state{{peer=\"{}\"}})", quoted(service)));
    let (value, since_ms) = (Some(names.len() as f64), Some(since_ms));
    Some(Evidence { value, since_ms, query, ..evidence("breaker_open", text) })
}

/// What the timeline says of a new suspect.
pub fn of_beginning(suspect: &Suspect) -> TimelineEvent {
    let what = match suspect.fault {
        FaultKind::Errors => "answers errors of its own",
        FaultKind::NoAnswer => "gives no answer",
        FaultKind::Slow => "is slow",
    };
    let why = suspect.evidence.first().map(|evidence| format!(": {}", evidence.text)).unwrap_or_default();
    TimelineEvent {
        at_ms: suspect.since_ms,
        kind: TimelineKind::FaultBegan,
        service: suspect.service.clone(),
        text: format!("{what}{why}"),
        from: None,
        to: None,
    }
}

/// What it says of one that is no suspect any more.
pub fn of_end(ended: &Ended) -> TimelineEvent {
    let (since, until) = ended.seconds;
    let lasted = span((until - since).max(0) as f64);
    let text = match ended.is_explained {
        true => "is not suspected any more: what fails there comes from a service that it calls".to_owned(),
        false => format!("is well again, after {lasted}"),
    };
    let (at_ms, service) = (until * 1_000, ended.service.clone());
    TimelineEvent { at_ms, kind: TimelineKind::FaultEnded, service, text, from: None, to: None }
}

/// Who turns requests away without being to blame for it: what a verdict says at its end.
pub fn of_overload(memory: &Memory, overload: &Overload) -> String {
    let names: Vec<String> = overload.refusing.iter().map(|node| name(memory, *node)).collect();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    let verb = if names.len() == 1 { "turns" } else { "turn" };
    let load = if overload.is_surge() {
        format!("at {:.1} times the usual load", overload.surge)
    } else {
        "as all have too much to do".to_owned()
    };
    format!("; {} {verb} requests away, {load}", list(&names))
}

/// What can be said of a suspect as long as it is one: who came after it, who stopped calling, who repeats.
pub fn of_callers(scene: &Scene<'_>, node: u32, victims: &BTreeMap<u32, i64>) -> Vec<Evidence> {
    let mut all = Vec::new();
    let mut after: Vec<(i64, u32)> = victims.iter().map(|(victim, since)| (since - scene.since, *victim)).collect();
    after.retain(|(seconds, _)| *seconds >= 1);
    after.sort_unstable();
    if let Some((first, _)) = after.first() {
        let named = after.iter().take(CALLERS_MAX);
        let named: Vec<String> =
            named.map(|(seconds, victim)| format!("{seconds} s before {}", name(scene.memory, *victim))).collect();
        let text = format!("it began {}", named.join(", "));
        all.push(Evidence { value: Some(*first as f64), ..evidence("before_callers", text) });
    }
    let into = || scene.reading.edges.iter().filter(|((client, server), _)| *server == node && client != server);
    let dry: Vec<_> = into().filter(|(_, edge)| has_dried_up(edge)).take(CALLERS_MAX).collect();
    if let Some(((_, _), edge)) = dry.first() {
        let share = |edge: &super::reading::EdgeReading| ((edge.calls - edge.retries) / edge.expected).clamp(0.0, 1.0);
        let named: Vec<String> = dry
            .iter()
            .map(|((client, _), edge)| {
                format!("{} makes {} of its usual calls to it", name(scene.memory, *client), percent(share(edge)))
            })
            .collect();
        let text = format!("{}: a breaker is open, or it gives up before", named.join(", "));
        all.push(Evidence { value: Some(share(edge)), usual: Some(1.0), ..evidence("fewer_calls", text) });
    }
    let (calls, retries) = into().fold((0.0, 0.0), |(c, r), (_, edge)| (c + edge.calls, r + edge.retries));
    if retries >= 3.0 && retries / calls >= 0.1 {
        let share = retries / calls;
        let text = format!("{} of the calls to it are repetitions of failed ones", percent(share));
        all.push(Evidence { value: Some(share), ..evidence("retries", text) });
    }
    all
}

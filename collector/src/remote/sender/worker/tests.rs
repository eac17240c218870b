//! What goes into a request, and what must wait.

use lifecycle::ManualClock;
use prost::Message;

use super::*;
use crate::config::http::HttpOptions;
use crate::config::remote_write::{MetadataOptions, QueueOptions};
use crate::remote::messages::WriteRequest;
use crate::remote::sender::batch::encode_labels;
use crate::remote::sender::queue::{BYTES_MAX, Draft, Kind};

const NOW_MS: i64 = 100 * AHEAD_MAX_MS;

struct Test {
    _folder: tempfile::TempDir,
    outlet: Outlet,
}

impl Test {
    fn new(samples_per_send: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = RemoteWrite {
            url: "http://receiver/write".parse().unwrap(),
            name: "r".into(),
            timeout: Duration::from_secs(1),
            headers: Vec::new(),
            relabel: Vec::new(),
            http: HttpOptions::default(),
            message: RemoteMessage::V1,
            send_exemplars: false,
            send_native_histograms: false,
            queue: QueueOptions { samples_per_send, ..QueueOptions::default() },
            metadata: MetadataOptions::default(),
        };
        let outlet = Outlet {
            config,
            queue: Arc::new(Queue::open(folder.path(), BYTES_MAX).unwrap()),
            counts: Arc::default(),
            clock: Arc::new(ManualClock::at(NOW_MS)),
            shards: watch::channel(1).1,
            news: watch::channel(()).1,
            metadata: watch::channel(Arc::default()).1,
        };
        Self { _folder: folder, outlet }
    }

    /// Puts samples into a lane, whose series is called after it.
    fn put(&self, lane: usize, at_ms: i64, count: usize) {
        let mut guard = self.outlet.queue.lane(lane);
        let before = guard.current();
        guard.prepare(at_ms).unwrap();
        let mut draft = Draft::default();
        if guard.current() != before {
            let mut labels = Vec::new();
            encode_labels([("__name__", lane.to_string().as_str())].into_iter(), &mut labels);
            draft.define(0, &labels);
        }
        for i in 0..count {
            draft.add(0, at_ms + i as i64, &Kind::Float(1.0));
        }
        self.outlet.queue.append(&mut guard, &mut draft, at_ms).unwrap();
    }

    /// The next request: samples by lane. It arrives.
    fn next(&self) -> Vec<(String, usize)> {
        let mut held = Held { queue: &self.outlet.queue, readers: self.outlet.queue.take(0..LANES) };
        let Some(mut prepared) = self.outlet.fill(&mut held) else { return Vec::new() };
        self.outlet.queue.acknowledge(&mut prepared.readers, &prepared.read).unwrap();
        held.readers.append(&mut prepared.readers);
        let plain = snap::raw::Decoder::new().decompress_vec(&prepared.body).unwrap();
        let series = WriteRequest::decode(&plain[..]).unwrap().timeseries;
        let mut found: Vec<(String, usize)> =
            series.into_iter().map(|s| (s.labels[0].value.clone(), s.samples.len())).collect();
        found.sort();
        found
    }
}

fn sent(lanes: &[(&str, usize)]) -> Vec<(String, usize)> {
    lanes.iter().map(|(lane, count)| ((*lane).to_owned(), *count)).collect()
}

#[test]
fn lanes_where_least_waits_come_first() {
    let test = Test::new(10);
    test.put(0, NOW_MS - 9000, 25);
    test.put(1, NOW_MS - 9000, 12);
    test.put(2, NOW_MS, 3);
    assert_eq!(test.next(), sent(&[("1", 7), ("2", 3)]), "the fresh one whole, then the shorter backlog");
    test.put(2, NOW_MS + 10, 3);
    assert_eq!(test.next(), sent(&[("0", 2), ("1", 5), ("2", 3)]), "it stays fresh while the others follow");
    test.put(2, NOW_MS + 20, 3);
    assert_eq!(test.next(), sent(&[("0", 7), ("2", 3)]));
    assert_eq!((test.next(), test.next(), test.next()), (sent(&[("0", 10)]), sent(&[("0", 6)]), sent(&[])));
}

#[test]
fn no_lane_runs_ahead_of_another_by_more_than_receivers_bear() {
    let test = Test::new(10);
    let old = NOW_MS - 3 * AHEAD_MAX_MS;
    test.put(0, old, 15);
    test.put(1, old + AHEAD_MAX_MS, 1);
    test.put(1, old + AHEAD_MAX_MS + 1, 1);
    test.put(2, NOW_MS, 1);
    assert_eq!(test.next(), sent(&[("0", 9), ("1", 1)]), "what is further ahead waits, however little it is");
    assert_eq!(test.next(), sent(&[("0", 6)]));
    assert_eq!(test.next(), sent(&[("1", 1)]));
    assert_eq!(test.next(), sent(&[("2", 1)]));
}

#[test]
fn samples_beyond_their_age_are_left_out_and_counted() {
    let mut test = Test::new(10);
    test.outlet.config.queue.sample_age_max = Some(Duration::from_secs(60));
    test.put(0, NOW_MS - 61_000, 2);
    test.put(0, NOW_MS - 10_000, 3);
    assert_eq!(test.next(), sent(&[("0", 3)]));
    assert_eq!(test.outlet.counts.too_old.tally().samples, 2);
    test.put(0, NOW_MS - 61_000, 2);
    assert_eq!(test.next(), sent(&[]), "nothing is left to send, and it does not come again");
    assert_eq!(test.outlet.queue.pending(0).0, 0);
}

//! The queue: what was put in comes out in order, also after a restart; what is damaged or too much is left out and counted.

use std::path::PathBuf;

use super::*;
use crate::remote::sender::batch::{Batch, encode_labels};

/// A queue with a writer like the intake, for series named by a number.
struct Queued {
    folder: tempfile::TempDir,
    queue: Queue,
    defined: Vec<((usize, u32), u64)>,
}

impl Queued {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let queue = Queue::open(folder.path(), BYTES_MAX).unwrap();
        Self { folder, queue, defined: Vec::new() }
    }

    fn put(&mut self, lane: usize, series: u32, values: &[f64], at_ms: i64) {
        let mut draft = Draft::default();
        let mut guard = self.queue.lane(lane);
        guard.prepare(at_ms).unwrap();
        if !self.defined.contains(&((lane, series), guard.current())) {
            self.defined.push(((lane, series), guard.current()));
            let mut labels = Vec::new();
            encode_labels([("__name__", format!("s{series}").as_str())].into_iter(), &mut labels);
            draft.define(series, &labels);
        }
        for value in values {
            draft.add(series, at_ms, &Kind::Float(*value));
        }
        self.queue.append(&mut guard, &mut draft, at_ms).unwrap();
    }

    /// The process ends, and another begins.
    fn restart(self) -> Self {
        let Self { folder, queue, .. } = self;
        drop(queue);
        let queue = Queue::open(folder.path(), BYTES_MAX).unwrap();
        Self { folder, queue, defined: Vec::new() }
    }

    /// Reads up to so many of a lane, and says that they arrived if told so.
    fn read(&self, lane: usize, entries: usize, arrives: bool) -> (Vec<f64>, u64) {
        let mut readers = self.queue.take(std::iter::once(lane));
        let mut batch = Batch::default();
        let reach = Reach { entries, until_ms: i64::MAX, until: readers[0].1.doubtful };
        let read = self.queue.read(lane, &mut readers[0].1, &reach, &mut batch).unwrap();
        let mut damaged = 0;
        if arrives {
            damaged = self.queue.acknowledge(&mut readers, &[read]).unwrap();
        } else {
            self.queue.sending(&mut readers).unwrap();
        }
        let (lane, mut reader) = readers.remove(0);
        reader.back();
        self.queue.give_back(lane, reader);
        (values(&mut batch), damaged)
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == "queue")).collect();
        files.sort();
        files
    }
}

/// The numbers of a batch; each must have its labels.
fn values(batch: &mut Batch) -> Vec<f64> {
    use prost::Message;
    let request = crate::remote::messages::WriteRequest::decode(&batch.encode_v1()[..]).unwrap();
    assert!(request.timeseries.iter().all(|series| series.labels.len() == 1));
    request.timeseries.iter().flat_map(|series| &series.samples).map(|sample| sample.value).collect()
}

#[test]
fn what_is_put_in_comes_out_once_and_in_order() {
    let mut queued = Queued::new();
    queued.put(3, 0, &[1.0, 2.0], 10);
    queued.put(3, 1, &[3.0], 20);
    assert_eq!(queued.queue.pending(3), (3, Some(10)));
    assert_eq!(queued.read(3, 2, true).0, [1.0, 2.0]);
    assert_eq!(queued.queue.pending(3), (1, Some(10)), "by the record that was read last");
    assert_eq!(queued.read(3, 9, false).0, [3.0], "what does not arrive comes again");
    assert_eq!(queued.read(3, 9, true).0, [3.0]);
    assert_eq!((queued.queue.pending(3), queued.queue.oldest_ms()), ((0, None), None));
    queued.put(3, 1, &[4.0], 30);
    assert_eq!(queued.read(3, 9, true).0, [4.0]);
}

#[test]
fn a_restart_goes_on_in_the_middle_of_a_record() {
    let mut queued = Queued::new();
    queued.put(0, 0, &[1.0, 2.0, 3.0], 10);
    queued.put(0, 1, &[4.0], 20);
    assert_eq!(queued.read(0, 2, true).0, [1.0, 2.0]);
    let mut queued = queued.restart();
    assert_eq!(queued.queue.pending(0).0, 2);
    queued.put(0, 0, &[5.0], 30);
    assert_eq!(queued.read(0, 9, true).0, [3.0, 4.0, 5.0]);
    assert_eq!(queued.restart().read(0, 9, true).0, [0.0; 0]);
}

#[test]
fn what_was_on_its_way_comes_again_in_the_same_piece() {
    let mut queued = Queued::new();
    queued.put(0, 0, &[1.0, 2.0, 3.0], 10);
    assert_eq!(queued.read(0, 2, false).0, [1.0, 2.0]);
    let queued = queued.restart();
    assert_eq!(queued.read(0, 9, true).0, [1.0, 2.0], "no more than what may have arrived");
    assert_eq!(queued.read(0, 9, true).0, [3.0]);
}

#[test]
fn what_was_on_its_way_comes_again_in_the_same_piece_without_a_restart_too() {
    let mut queued = Queued::new();
    queued.put(0, 0, &[1.0, 2.0, 3.0], 10);
    assert_eq!(queued.read(0, 2, false).0, [1.0, 2.0]);
    assert_eq!(
        queued.read(0, 9, true).0,
        [1.0, 2.0],
        "as when settings change, or the collector stops, before there is an answer"
    );
    assert_eq!(queued.read(0, 9, true).0, [3.0]);
}

#[test]
fn what_is_put_in_behind_a_request_is_as_old_as_it_is() {
    let mut queued = Queued::new();
    queued.put(0, 0, &[1.0], 10);
    let mut readers = queued.queue.take(0..2);
    let reach = Reach { entries: 9, until_ms: i64::MAX, until: None };
    let read = |at: usize, reader: &mut Reader| queued.queue.read(at, reader, &reach, &mut Batch::default()).unwrap();
    let reads: Vec<Read> = readers.iter_mut().map(|(lane, reader)| read(*lane, reader)).collect();
    for lane in [0, 1] {
        queued.put(lane, 7, &[2.0], 20);
        queued.put(lane, 7, &[3.0], 30);
    }
    queued.queue.acknowledge(&mut readers, &reads).unwrap();
    assert_eq!((queued.queue.pending(0), queued.queue.pending(1)), ((2, Some(20)), (2, Some(20))));
}

#[test]
fn a_torn_end_costs_its_record_alone() {
    let mut queued = Queued::new();
    queued.put(0, 0, &[1.0], 10);
    queued.put(0, 0, &[2.0], 20);
    let file = queued.files().remove(0);
    let length = fs::metadata(&file).unwrap().len();
    fs::File::options().write(true).open(&file).unwrap().set_len(length - 3).unwrap();
    let mut queued = queued.restart();
    queued.put(0, 0, &[3.0], 30);
    assert_eq!(queued.read(0, 9, true).0, [1.0, 3.0]);
    assert_eq!(queued.queue.pending(0).0, 0);
}

#[test]
fn damage_in_a_segment_is_counted_and_does_not_stop_the_lane() {
    let mut queued = Queued::new();
    queued.put(0, 0, &[1.0], 10);
    let good = fs::metadata(&queued.files()[0]).unwrap().len();
    queued.put(0, 0, &[2.0], 20);
    queued.put(0, 0, &[3.0], 20);
    let file = queued.files().remove(0);
    let mut bytes = fs::read(&file).unwrap();
    let at = usize::try_from(good).unwrap() + 22;
    bytes[at] ^= 1;
    fs::write(&file, bytes).unwrap();
    let mut queued = queued.restart();
    queued.put(0, 0, &[4.0], 30);
    assert_eq!(queued.read(0, 9, true), (vec![1.0, 4.0], 2));
    assert_eq!(queued.queue.pending(0).0, 0);
    assert_eq!(queued.files().len(), 1, "what is read is removed");
}

#[test]
fn a_cursor_that_was_torn_falls_back_to_the_one_before() {
    let mut queued = Queued::new();
    queued.put(0, 0, &[1.0, 2.0, 3.0], 10);
    queued.read(0, 1, true);
    queued.read(0, 1, true);
    let path = queued.folder.path().join("cursor");
    let mut bytes = fs::read(&path).unwrap();
    // Two were saved: the second stands in front.
    bytes[20] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(queued.restart().read(0, 9, true).0, [2.0, 3.0]);
}

#[test]
fn the_oldest_is_dropped_and_counted_when_there_is_too_much() {
    let mut queued = Queued::new();
    queued.queue.bytes_max = 3 * lane::SEGMENT_BYTES;
    let many = vec![0.5; 200_000];
    for at in 0..12 {
        queued.put(0, 0, &many, at);
    }
    let before = queued.queue.pending(0).0;
    assert!(queued.queue.is_too_long());
    let lost = queued.queue.shrink(12);
    assert!(lost > 0 && !queued.queue.is_too_long());
    assert_eq!(queued.queue.pending(0).0, before - lost);
    assert_eq!(queued.read(0, usize::MAX, true).0.len() as u64, before - lost);
}

#[test]
fn what_is_too_old_is_dropped_and_counted() {
    let mut queued = Queued::new();
    queued.put(0, 0, &[1.0, 2.0], 10);
    queued.put(1, 0, &[3.0], AGE_MAX_MS);
    assert_eq!(queued.queue.shrink(AGE_MAX_MS + 11), 2);
    queued.put(0, 0, &[4.0], AGE_MAX_MS + 12);
    assert_eq!((queued.read(0, 9, true).0, queued.read(1, 9, true).0), (vec![4.0], vec![3.0]));
}

#[test]
fn a_piece_that_is_dropped_while_it_is_sent_is_not_counted_twice() {
    let mut queued = Queued::new();
    queued.put(0, 0, &[1.0, 2.0], 10);
    let mut readers = queued.queue.take(std::iter::once(0));
    let reach = Reach { entries: 9, until_ms: i64::MAX, until: None };
    let read = queued.queue.read(0, &mut readers[0].1, &reach, &mut Batch::default()).unwrap();
    assert_eq!(queued.queue.shrink(AGE_MAX_MS + 11), 2);
    queued.put(0, 0, &[3.0], AGE_MAX_MS + 12);
    queued.queue.acknowledge(&mut readers, &[read]).unwrap();
    assert_eq!(queued.queue.pending(0).0, 1);
    queued.queue.give_back(0, readers.remove(0).1);
    assert_eq!(queued.read(0, 9, true).0, [3.0]);
}

#[test]
fn a_lane_may_be_told_to_wait_for_others() {
    let mut queued = Queued::new();
    queued.put(0, 0, &[1.0], 10);
    queued.put(0, 0, &[2.0], 20);
    let mut readers = queued.queue.take(std::iter::once(0));
    let reach = Reach { entries: 9, until_ms: 15, until: None };
    let mut batch = Batch::default();
    let read = queued.queue.read(0, &mut readers[0].1, &reach, &mut batch).unwrap();
    assert_eq!((values(&mut batch), read.next_ms), (vec![1.0], Some(20)));
    assert!(queued.queue.take(std::iter::once(0)).is_empty(), "nobody else reads the lane meanwhile");
}

fn bytes_in(lane: usize, segment: u64, bytes: &[u8]) -> Queue {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(format!("{lane:02}-{segment:010}.queue")), bytes).unwrap();
    Queue::open(folder.path(), BYTES_MAX).unwrap()
}

proptest::proptest! {
    #[test]
    fn segments_of_any_bytes_do_no_harm(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300), flip: usize, good: bool) {
        let mut bytes = bytes;
        if good {
            let mut draft = Draft::default();
            draft.define(0, &[0x0a, 0]);
            draft.add(0, 1, &Kind::Float(1.0));
            draft.add(7, 1, &Kind::Histogram(&[1, 2, 3]));
            bytes.splice(..0, draft.finish(5).to_vec());
            let at = flip % bytes.len();
            bytes[at] ^= 1;
        }
        let queue = bytes_in(0, 1, &bytes);
        let mut readers = queue.take(std::iter::once(0));
        let reach = Reach { entries: 1000, until_ms: i64::MAX, until: None };
        let read = queue.read(0, &mut readers[0].1, &reach, &mut Batch::default());
        if let Ok(read) = read {
            let _ = queue.acknowledge(&mut readers, &[read]);
        }
    }
}

//! The queue of one receiver, on disk: what was put in survives the end of the process, however that comes. Sixteen lanes, each a queue
//! of its own; a series is always in the same, so its order holds whatever the lanes do. Bounded by bytes and age: the oldest is
//! dropped, and counted. Sends nothing.

mod cursor;
mod lane;
mod reader;
mod record;

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use self::cursor::Cursor;
use self::lane::Lane;
pub use self::reader::{Reach, Read, Reader};
pub use self::record::{Draft, Kind};

/// Lanes: so many requests may be under way at once. With 2,000 samples each and 100 ms an answer that is 320,000 samples a second.
pub const LANES: usize = 16;

/// The longest queue. A sample takes some 15 bytes, so it holds 70 million: a day of 800 a second, or two hours of 10,000.
pub const BYTES_MAX: u64 = 1 << 30;

/// The oldest that is kept. Receivers refuse what is older than a few hours, or a day at most.
pub const AGE_MAX_MS: i64 = 86_400_000;

/// A queue.
pub struct Queue {
    lanes: [Mutex<Lane>; LANES],
    readers: Mutex<[Option<Reader>; LANES]>,
    cursor: Mutex<Cursor>,
    bytes: AtomicU64,
    bytes_max: u64,
}

impl Queue {
    /// Opens the queue in a folder, which is made if need be.
    ///
    /// # Errors
    /// If a file in it cannot be read or made.
    pub fn open(folder: &Path, bytes_max: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let cursor = Cursor::open(&folder.join("cursor"))?;
        let mut lanes = Vec::with_capacity(LANES);
        for (number, progress) in cursor.lanes.iter().enumerate() {
            lanes.push(Lane::open(folder, number, progress.acknowledged)?);
        }
        let bytes = lanes.iter().map(Lane::bytes).sum();
        let readers = std::array::from_fn(|lane| Some(Reader::new(lane, cursor.lanes[lane])));
        let mut lanes = lanes.into_iter();
        let lanes = std::array::from_fn(|_| Mutex::new(lanes.next().expect("as many were opened as there are")));
        Ok(Self {
            lanes,
            readers: Mutex::new(readers),
            cursor: Mutex::new(cursor),
            bytes: AtomicU64::new(bytes),
            bytes_max,
        })
    }

    /// A lane, to write to.
    pub fn lane(&self, lane: usize) -> MutexGuard<'_, Lane> {
        self.lanes[lane].lock()
    }

    /// What is put in from now on begins another segment in every lane.
    pub fn close_segments(&self) {
        for lane in &self.lanes {
            let mut lane = lane.lock();
            let current = lane.current();
            lane.close(current);
        }
    }

    /// Writes a record to a lane for which `prepare` made room.
    ///
    /// # Errors
    /// If it cannot be written: then nothing of it is in the queue.
    pub fn append(&self, lane: &mut Lane, draft: &mut Draft, at_ms: i64) -> io::Result<()> {
        let bytes = lane.append(draft, at_ms)?;
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Drops the oldest while there is too much, or it is too old; says how many entries were lost.
    pub fn shrink(&self, now_ms: i64) -> u64 {
        let mut lost = 0;
        for lane in &self.lanes {
            let mut lane = lane.lock();
            while lane.pending() > 0 && lane.oldest_segment_ms().is_some_and(|at| at < now_ms - AGE_MAX_MS) {
                lost += self.dropped(lane.drop_oldest());
            }
        }
        while self.bytes.load(Ordering::Relaxed) > self.bytes_max {
            let longest = self.lanes.iter().max_by_key(|lane| lane.lock().bytes());
            match longest.map(|lane| lane.lock().drop_oldest()) {
                None | Some((0, _)) => break,
                Some(dropped) => lost += self.dropped(dropped),
            }
        }
        lost
    }

    fn dropped(&self, (bytes, lost): (u64, u64)) -> u64 {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        lost
    }

    /// Whether there is more than there may be.
    pub fn is_too_long(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > self.bytes_max
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Entries of a lane that did not arrive, and when the oldest of them was put in.
    pub fn pending(&self, lane: usize) -> (u64, Option<i64>) {
        let lane = self.lanes[lane].lock();
        (lane.pending(), lane.oldest_ms())
    }

    /// When the oldest entry of all that did not arrive was put in.
    pub fn oldest_ms(&self) -> Option<i64> {
        self.lanes.iter().filter_map(|lane| lane.lock().oldest_ms()).min()
    }

    /// Takes the readers of lanes that nobody else has.
    pub fn take(&self, lanes: impl Iterator<Item = usize>) -> Vec<(usize, Reader)> {
        let mut readers = self.readers.lock();
        lanes.filter_map(|lane| Some((lane, readers[lane].take()?))).collect()
    }

    /// Gives a reader back.
    pub fn give_back(&self, lane: usize, reader: Reader) {
        self.readers.lock()[lane] = Some(reader);
    }

    /// Reads on in a lane.
    ///
    /// # Errors
    /// If a segment cannot be read.
    pub fn read(
        &self,
        lane: usize,
        reader: &mut Reader,
        reach: &Reach,
        batch: &mut super::batch::Batch,
    ) -> io::Result<Read> {
        reader.read(&self.lanes[lane], reach, batch)
    }

    /// Remembers what is on its way: until it is acknowledged it may have arrived.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn sending(&self, readers: &mut [(usize, Reader)]) -> io::Result<()> {
        let mut cursor = self.cursor.lock();
        for (lane, reader) in readers {
            let sending = reader.doubtful.map_or(reader.position(), |until| until.max(reader.position()));
            reader.doubtful = Some(sending).filter(|sending| *sending > reader.acknowledged);
            cursor.lanes[*lane].sending = sending;
        }
        cursor.save()
    }

    /// Remembers what arrived, or will never; says how many entries were damaged.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn acknowledge(&self, readers: &mut [(usize, Reader)], read: &[Read]) -> io::Result<u64> {
        let mut damaged = 0;
        let mut cursor = self.cursor.lock();
        for ((number, reader), read) in readers.iter_mut().zip(read) {
            reader.acknowledged = reader.position();
            reader.doubtful = reader.doubtful.filter(|until| *until > reader.acknowledged);
            let mut lane = self.lanes[*number].lock();
            damaged += read.damaged.iter().map(|segment| lane.left_in(*segment, &read.entries)).sum::<u64>();
            let freed = lane.acknowledge(&read.entries, reader.acknowledged, read.next_ms);
            self.bytes.fetch_sub(freed, Ordering::Relaxed);
            let sending = reader.doubtful.unwrap_or(reader.acknowledged);
            cursor.lanes[*number] = cursor::Progress { acknowledged: reader.acknowledged, sending };
        }
        cursor.save()?;
        Ok(damaged)
    }
}

#[cfg(test)]
mod tests;

//! Where the samples of series lie: some dozens of series side by side under one lock, in the order in which they were made. A scrape
//! goes through its target's series in that order, so that memory is read ahead of it, and the lock is taken once for many. Knows
//! no labels, and not what samples mean.

use std::hint::black_box;

use parking_lot::{MappedRwLockReadGuard, MappedRwLockWriteGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::samples::SeriesState;
use crate::series::SeriesRef;

/// Series of a shelf: enough that the lock costs each of them little, few enough that whoever reads one holds up few.
pub(super) const SHELF_PLACES: usize = 64;

/// Has the places that are free: no series has this handle, as there are not so many.
const NOBODY: SeriesRef = SeriesRef(u64::MAX);

/// A series' samples, in two of the processor's cache lines.
#[repr(align(64))]
struct Place {
    owner: SeriesRef,
    state: SeriesState,
}

/// Some dozens of places.
pub(super) struct Shelf(RwLock<[Place; SHELF_PLACES]>);

impl Default for Shelf {
    fn default() -> Self {
        Self(RwLock::new(std::array::from_fn(|_| Place { owner: NOBODY, state: SeriesState::default() })))
    }
}

/// The place in its shelf of what has this number among all.
fn place(number: usize) -> usize {
    number % SHELF_PLACES
}

impl Shelf {
    /// Gives a place to a series, which has no samples yet.
    pub fn settle(&self, number: usize, owner: SeriesRef) {
        self.0.write()[place(number)] = Place { owner, state: SeriesState::default() };
    }

    /// Frees a place.
    pub fn clear(&self, number: usize) {
        self.settle(number, NOBODY);
    }

    /// The samples of a series, unless it was forgotten.
    pub fn read(&self, number: usize, owner: SeriesRef) -> Option<MappedRwLockReadGuard<'_, SeriesState>> {
        let found = RwLockReadGuard::try_map(self.0.read(), |places| {
            let place = &places[place(number)];
            (place.owner == owner).then_some(&place.state)
        });
        found.ok()
    }

    /// The same, to be changed.
    pub fn write(&self, number: usize, owner: SeriesRef) -> Option<MappedRwLockWriteGuard<'_, SeriesState>> {
        let found = RwLockWriteGuard::try_map(self.0.write(), |places| {
            let place = &mut places[place(number)];
            (place.owner == owner).then_some(&mut place.state)
        });
        found.ok()
    }

    /// All of its series, to be changed.
    pub fn open(&self) -> OpenShelf<'_> {
        OpenShelf(self.0.write())
    }

    /// Looks at all of its series.
    pub fn each(&self, mut look: impl FnMut(&SeriesState)) {
        self.0.read().iter().filter(|place| place.owner != NOBODY).for_each(|place| look(&place.state));
    }
}

/// A shelf that is locked.
pub(super) struct OpenShelf<'a>(RwLockWriteGuard<'a, [Place; SHELF_PLACES]>);

impl OpenShelf<'_> {
    /// The samples of a series, unless it was forgotten.
    pub fn state(&mut self, number: usize, owner: SeriesRef) -> Option<&mut SeriesState> {
        let place = &mut self.0[place(number)];
        (place.owner == owner).then_some(&mut place.state)
    }

    /// Has the memory fetched at once that samples of these series go to: each lies elsewhere, and one after the other they would
    /// all be waited for.
    pub fn fetch(&self, numbers: impl Iterator<Item = usize>) {
        let ends = numbers.map(|number| self.0[place(number)].state.written_last());
        black_box(ends.fold(0u8, u8::wrapping_add));
    }

    /// Looks at all of its series.
    pub fn each(&mut self, mut look: impl FnMut(SeriesRef, &mut SeriesState)) {
        let owned = self.0.iter_mut().filter(|place| place.owner != NOBODY);
        owned.for_each(|place| look(place.owner, &mut place.state));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Sample;

    #[test]
    fn a_series_takes_two_lines() {
        assert_eq!(size_of::<Place>(), 128);
    }

    #[test]
    fn a_place_is_its_owners_alone() {
        let (shelf, [first, second]) = (Shelf::default(), [SeriesRef(3), SeriesRef(1 << 32 | 3)]);
        assert!(shelf.read(3, first).is_none() && shelf.write(3, NOBODY).is_some());
        shelf.settle(3, first);
        shelf.write(3, first).unwrap().push(Sample { timestamp_ms: 1, value: 1.0 });
        assert!(shelf.read(3, second).is_none() && shelf.open().state(3, second).is_none());
        shelf.clear(3);
        assert!(shelf.read(3, first).is_none(), "who is forgotten has no samples of others");
        shelf.settle(3, second);
        assert!(shelf.read(3, second).unwrap().is_empty());
        let mut owners = Vec::new();
        shelf.open().each(|owner, _| owners.push(owner));
        assert_eq!(owners, [second]);
    }
}

//! Evaluations that share a pool: who waits, who goes on, and what is given back.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Instant;

use lifecycle::ManualClock;

use super::*;
use crate::series::{Appendable, Labels, Queryable, Sample, Scratch};
use crate::store::{Store, StoreOptions};

const LONG: Duration = Duration::from_secs(20);

fn options() -> EngineOptions {
    EngineOptions { samples_max: 100 * SLAB, series_max: 10, ..EngineOptions::default() }
}

#[test]
fn an_evaluation_is_refused_beyond_its_own_limits_and_knows_why() {
    let (pool, stop) = (Pool::new(usize::MAX), Stop::after(LONG));
    let budget = Budget::new(&options(), &pool, &stop);
    assert_eq!(budget.take(100 * SLAB), Ok(()));
    assert_eq!(budget.take(1).map_err(|error| budget.why(&error)), Err(QueryError::TooManySamples(100 * SLAB)));
    let budget = Budget::new(&options(), &pool, &stop);
    assert_eq!(budget.begin(10), Ok(()));
    assert_eq!(budget.begin(1).map_err(|error| budget.why(&error)), Err(QueryError::TooManySeries(10)));
    let late = Stop::after(Duration::ZERO);
    let budget = Budget::new(&options(), &pool, &late);
    assert_eq!(budget.take(0).map_err(|error| budget.why(&error)), Err(QueryError::Timeout));
}

#[test]
fn the_oldest_goes_on_and_the_others_wait_until_there_is_room() {
    let (pool, stop) = (Pool::new(4 * SLAB), Stop::after(LONG));
    let oldest = Budget::new(&options(), &pool, &stop);
    oldest.charge(20 * SLAB).unwrap();
    let (asked, granted) = channel();
    thread::scope(|threads| {
        let (pool, stop) = (&pool, &stop);
        threads.spawn(move || {
            let younger = Budget::new(&options(), pool, stop);
            younger.charge(SLAB).unwrap();
            asked.send("small").unwrap();
            younger.charge(2 * SLAB).unwrap();
            asked.send("large").unwrap();
        });
        assert_eq!(granted.recv_timeout(LONG), Ok("small"));
        assert!(granted.recv_timeout(2 * WAIT).is_err(), "there is no room");
        oldest.release_to(0);
        assert_eq!(granted.recv_timeout(LONG), Ok("large"));
    });
    drop(oldest);
    let state = pool.state.lock();
    assert_eq!((state.held, state.running.len()), (0, 0));
}

#[test]
fn who_waits_too_long_gives_up() {
    let pool = Pool::new(SLAB);
    let (patient, hasty) = (Stop::after(LONG), Stop::after(Duration::from_millis(20)));
    let oldest = Budget::new(&options(), &pool, &patient);
    oldest.charge(10 * SLAB).unwrap();
    let younger = Budget::new(&options(), &pool, &hasty);
    assert_eq!(younger.charge(2 * SLAB), Err(QueryError::Timeout));
    drop(younger);
    drop(oldest);
    assert_eq!(pool.state.lock().held, 0);
}

#[test]
fn many_heavy_evaluations_all_end_within_the_limit() {
    let (pool, stop) = (Pool::new(8 * SLAB), Stop::after(LONG));
    thread::scope(|threads| {
        for _ in 0..12 {
            threads.spawn(|| {
                let budget = Budget::new(&options(), &pool, &stop);
                for _ in 0..60 {
                    budget.charge(SLAB / 10).unwrap();
                    assert!(pool.state.lock().held <= 8 * SLAB + 6 * SLAB);
                }
            });
        }
    });
    assert_eq!(pool.state.lock().held, 0);
}

#[test]
fn who_waits_for_room_holds_up_neither_the_oldest_nor_a_scrape() {
    const START_MS: i64 = 1_700_000_000_000;
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(START_MS));
    let (store, _) = Store::open(folder.path(), StoreOptions::default(), clock).unwrap();
    let sample = |at: i64| (Labels::new([("__name__", "x")]), Sample { timestamp_ms: START_MS + at, value: 1.0 });
    let last = i64::try_from(SLAB).unwrap();
    store.append(&(0..=last).map(sample).collect::<Vec<_>>()).unwrap();
    let (pool, stop) = (Pool::new(SLAB), Stop::after(LONG));
    let (oldest, younger) = (Budget::new(&options(), &pool, &stop), Budget::new(&options(), &pool, &stop));
    oldest.charge(2 * SLAB).unwrap();
    thread::scope(|threads| {
        let waits = threads.spawn(|| {
            let found = store.find(&[], i64::MIN, i64::MAX, &younger)?;
            found.read(0, &mut Scratch::default(), &younger)
        });
        while younger.held() <= SLAB {
            stop.check().unwrap();
            thread::yield_now();
        }
        let began = Instant::now();
        assert_eq!(store.select(&[], i64::MIN, i64::MAX, &oldest).map(|found| found.len()), Ok(1));
        assert_eq!(store.append(&[sample(last + 1)]).unwrap().stored, 1);
        assert!(began.elapsed() < LONG / 2, "{:?}", began.elapsed());
        assert!(!waits.is_finished(), "there is no room");
        oldest.release_to(0);
        assert_eq!(waits.join().unwrap(), Ok(()));
    });
}

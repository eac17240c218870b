//! Work on many series on several cores, with the results in order whichever core made them. All threads have ended when it
//! returns; it starts none for little work.

use std::num::NonZero;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// Series that a thread takes at once: so few that all threads end together, so many that taking costs nothing.
const PORTION: usize = 32;

/// Below this many series the threads would cost more than they save.
const SERIES_MIN: usize = 4 * PORTION;

/// The most threads of one query: beyond it memory, and not cores, is what queries wait for.
const THREADS_MAX: usize = 8;

/// Applies `work` to each index below `count`; each thread has a scratch of its own.
///
/// # Errors
/// One of those that `work` gave.
pub(super) fn map<T: Send, S, E: Send>(
    count: usize,
    scratch: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let threads = threads().min(count.div_ceil(PORTION));
    if threads < 2 || count < SERIES_MIN {
        let mut scratch = scratch();
        return (0..count).map(|index| work(&mut scratch, index)).collect();
    }
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let run = || {
        let (mut scratch, mut done) = (scratch(), Vec::new());
        while !failed.load(Ordering::Relaxed) {
            let portion = next.fetch_add(1, Ordering::Relaxed);
            let from = portion * PORTION;
            if from >= count {
                break;
            }
            let indexes = from..count.min(from + PORTION);
            let results: Result<Vec<T>, E> = indexes.map(|index| work(&mut scratch, index)).collect();
            match results {
                Ok(results) => done.push((portion, results)),
                Err(error) => {
                    failed.store(true, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        Ok(done)
    };
    let mut portions = Vec::with_capacity(count.div_ceil(PORTION));
    let outcomes: Vec<Result<Vec<_>, E>> = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let own = run();
        let joined =
            others.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        std::iter::once(own).chain(joined).collect()
    });
    for outcome in outcomes {
        portions.extend(outcome?);
    }
    portions.sort_unstable_by_key(|(portion, _)| *portion);
    Ok(portions.into_iter().flat_map(|(_, results)| results).collect())
}

/// Cores that this process may use; asking is slow.
fn threads() -> usize {
    static THREADS: OnceLock<usize> = OnceLock::new();
    *THREADS.get_or_init(|| thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX))
}

#[cfg(test)]
mod tests {
    use super::map;

    #[test]
    fn results_come_in_order() {
        for count in [0, 1, 31, 127, 128, 1_000, 1_001] {
            let found: Result<Vec<usize>, ()> = map(count, || (), |(), index| Ok(index * 2));
            assert_eq!(found, Ok((0..count).map(|index| index * 2).collect()), "{count}");
        }
    }

    #[test]
    fn an_error_ends_the_work() {
        let found: Result<Vec<()>, usize> =
            map(10_000, || (), |(), index| if index == 500 { Err(index) } else { Ok(()) });
        assert_eq!(found, Err(500));
    }
}

//! Which blocks are merged, and which are removed: pure, on descriptions alone.

use std::collections::HashSet;
use std::time::Duration;

use super::meta::Meta;
use super::ulid::Ulid;

/// The longest block: Prometheus' limit, as longer ones gain nothing and hold up the retention.
const BLOCK_MS_MAX: i64 = 31 * 86_400_000;

/// Each length of blocks is so many times the one before, as in Prometheus.
const GROWTH: i64 = 3;

/// Lengths of blocks: the least, then each three times the one before, up to a tenth of the retention.
pub(crate) fn ranges(least_ms: i64, retention: Duration) -> Vec<i64> {
    let tenth = i64::try_from(retention.as_millis() / 10).unwrap_or(i64::MAX);
    let longest = tenth.clamp(least_ms, BLOCK_MS_MAX);
    let next = |range: &i64| range.checked_mul(GROWTH);
    std::iter::successors(Some(least_ms), next).take_while(|range| *range <= longest).collect()
}

/// The blocks to merge next, in order of time; none if all is well. First those whose times overlap, then those that fill a
/// longer range which is over. The newest is left alone, so that what is recent stays quick to copy.
pub(crate) fn next_merge(blocks: &[&Meta], ranges: &[i64]) -> Vec<Ulid> {
    let mut blocks: Vec<&Meta> = blocks.to_vec();
    blocks.sort_by_key(|meta| (meta.min_time, meta.ulid));
    let overlapping = first_overlap(&blocks);
    if !overlapping.is_empty() {
        return overlapping;
    }
    let Some(newest_start) = blocks.last().map(|meta| meta.min_time) else { return Vec::new() };
    for range in ranges.iter().skip(1) {
        let window = |meta: &Meta| meta.min_time.div_euclid(*range);
        for group in blocks.chunk_by(|a, b| window(a) == window(b)) {
            let end = window(group[0]).saturating_add(1).saturating_mul(*range);
            let fits = group.iter().all(|meta| meta.max_time <= end);
            if group.len() > 1 && fits && end <= newest_start {
                return group.iter().map(|meta| meta.ulid).collect();
            }
        }
    }
    Vec::new()
}

fn first_overlap(blocks: &[&Meta]) -> Vec<Ulid> {
    let mut group: Vec<Ulid> = Vec::new();
    let mut end = i64::MIN;
    for meta in blocks {
        if meta.min_time >= end {
            if group.len() > 1 {
                break;
            }
            group.clear();
        }
        group.push(meta.ulid);
        end = end.max(meta.max_time);
    }
    if group.len() > 1 { group } else { Vec::new() }
}

/// The blocks that are wholly older than `before_ms`; and of the others the oldest, until all take `bytes_max` with
/// `other_bytes` that are kept in any case.
pub(crate) fn outlived(
    blocks: &[&Meta],
    before_ms: i64,
    bytes_max: Option<u64>,
    other_bytes: u64,
) -> (HashSet<Ulid>, HashSet<Ulid>) {
    let (old, kept): (Vec<&Meta>, Vec<&Meta>) = blocks.iter().partition(|meta| meta.max_time <= before_ms);
    let by_time = old.iter().map(|meta| meta.ulid).collect();
    let mut kept = kept;
    kept.sort_by_key(|meta| std::cmp::Reverse(meta.max_time));
    let mut total = other_bytes;
    let over = |meta: &&&Meta| {
        total = total.saturating_add(meta.bytes());
        bytes_max.is_some_and(|most| total > most)
    };
    (by_time, kept.iter().filter(over).map(|meta| meta.ulid).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::blocks::meta::Compaction;

    const HOUR: i64 = 3_600_000;

    /// Blocks as `start-end` in hours.
    fn blocks(text: &str) -> Vec<Meta> {
        let one = |(i, text): (usize, &str)| {
            let (start, end) = text.split_once('-').unwrap();
            let mut meta = Meta::new(Ulid::new(0, i as u128), Compaction::default());
            (meta.min_time, meta.max_time) = (start.parse::<i64>().unwrap() * HOUR, end.parse::<i64>().unwrap() * HOUR);
            meta.files.insert("samples.parquet".to_owned(), 1_000);
            meta
        };
        text.split_whitespace().enumerate().map(one).collect()
    }

    #[test]
    fn ranges_grow_to_a_tenth_of_the_retention() {
        let hours = |days: u64| {
            let ranges = ranges(2 * HOUR, Duration::from_secs(days * 86_400));
            ranges.into_iter().map(|range| range / HOUR).collect::<Vec<_>>()
        };
        assert_eq!(hours(0), [2]);
        assert_eq!(hours(15), [2, 6, 18]);
        assert_eq!(hours(100), [2, 6, 18, 54, 162]);
        assert_eq!(*hours(100_000).last().unwrap(), 486);
    }

    #[test]
    fn merges_what_overlaps_and_what_fills_a_range_that_is_over() {
        for (given, wanted) in [
            ("", vec![]),
            ("0-2", vec![]),
            ("0-2 2-4 4-6", vec![]),
            ("0-2 2-4 4-6 6-8", vec![0, 1, 2]),
            ("2-4 0-2 4-6 6-8", vec![1, 0, 2]),
            ("0-2 4-6 6-8", vec![0, 1]),
            ("0-2 2-4 8-10", vec![0, 1]),
            ("0-6 6-12 12-18 18-20", vec![0, 1, 2]),
            ("0-18 18-20 20-22 22-24 24-26", vec![1, 2, 3]),
            ("0-18 18-36 36-54 54-56", vec![]),
            ("0-2 1-3 6-8", vec![0, 1]),
            ("0-2 2-4 3-4 3-5", vec![1, 2, 3]),
            ("0-2 6-8 7-8", vec![1, 2]),
        ] {
            let metas = blocks(given);
            let all: Vec<&Meta> = metas.iter().collect();
            let wanted: Vec<Ulid> = wanted.into_iter().map(|i: usize| metas[i].ulid).collect();
            assert_eq!(next_merge(&all, &ranges(2 * HOUR, Duration::from_secs(15 * 86_400))), wanted, "{given}");
        }
    }

    #[test]
    fn the_oldest_go_by_time_and_by_size() {
        let metas = blocks("0-2 2-4 4-6 6-8");
        let all: Vec<&Meta> = metas.iter().collect();
        let places = |set: HashSet<Ulid>| (0..4).filter(|i| set.contains(&metas[*i].ulid)).collect::<Vec<_>>();
        let gone = |before, bytes, other| {
            let (by_time, by_size) = outlived(&all, before, bytes, other);
            (places(by_time), places(by_size))
        };
        assert_eq!(gone(i64::MIN, None, 0), (vec![], vec![]));
        assert_eq!(gone(4 * HOUR, None, 0), (vec![0, 1], vec![]));
        assert_eq!(gone(2 * HOUR, Some(2_100), 0), (vec![0], vec![1]));
        assert_eq!(gone(i64::MIN, Some(3_000), 1_500), (vec![], vec![0, 1, 2]));
    }
}

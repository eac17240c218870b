//! What the cache holds stays in proportion to what a target prints, whatever it printed before.

use super::*;

/// A scrape that prints these lines, each a series with the number as its handle.
fn print(cache: &mut Cache, lines: impl Iterator<Item = u64>) {
    cache.begin();
    for number in lines {
        let text = format!("metric_of_some_length{{request=\"{number:08}\"}}");
        let place = cache.expected().filter(|place| cache.key(*place) == text).or_else(|| cache.find(&text));
        let place = place.unwrap_or_else(|| cache.add(&text, Kind::Series(SeriesRef(number))).unwrap());
        assert_eq!((cache.key(place), cache.kind(place)), (text.as_str(), Kind::Series(SeriesRef(number))));
        cache.touch(place, false);
    }
    let known = cache.entries.iter().filter(|entry| entry.seen != 0 && matches!(entry.kind, Kind::Series(_)));
    assert_eq!(cache.series_known(), known.count());
}

fn bytes(cache: &Cache) -> usize {
    let table = cache.by_key.allocation_size();
    cache.texts.capacity() + cache.entries.capacity() * size_of::<Entry>() + table
}

#[test]
fn a_line_costs_its_text_and_forty_bytes() {
    assert_eq!(size_of::<Entry>(), 40);
}

#[test]
fn lines_that_are_others_each_time_do_not_add_up() {
    let mut cache = Cache::new();
    let mut first = 0;
    for round in 0..200 {
        print(&mut cache, round * 100..(round + 1) * 100);
        let gone = cache.end(false);
        assert_eq!(gone.len(), if round == 0 { 0 } else { 100 });
        match round {
            2 => first = bytes(&cache),
            _ => assert!(round < 2 || bytes(&cache) <= 4 * first, "{round}: {} of {first}", bytes(&cache)),
        }
    }
}

#[test]
fn short_lines_beside_a_long_one_do_not_add_up() {
    let mut cache = Cache::new();
    let long = "x".repeat(100_000);
    for round in 0..200 {
        print(&mut cache, round * 10..(round + 1) * 10);
        let place = cache.find(&long).or_else(|| cache.add(&long, Kind::Silent)).unwrap();
        cache.touch(place, false);
        cache.end(false);
        assert!(cache.entries.len() <= 3 * 12, "{round}: {}", cache.entries.len());
    }
}

#[test]
fn one_huge_scrape_leaves_nothing_behind() {
    let mut cache = Cache::new();
    print(&mut cache, 0..20);
    assert!(cache.end(false).is_empty());
    print(&mut cache, 0..20_000);
    assert!(cache.end(false).is_empty());
    let most = bytes(&cache);
    print(&mut cache, (0..20).chain(30..40));
    assert_eq!(cache.end(false).len(), 20_000 - 30);
    print(&mut cache, (0..20).chain(30..40));
    assert!(cache.end(false).is_empty());
    assert!(bytes(&cache) < most / 100, "{} of {most}", bytes(&cache));
    // The order survived.
    cache.begin();
    for number in (0..20).chain(30..40) {
        let place = cache.expected().unwrap();
        assert_eq!(cache.kind(place), Kind::Series(SeriesRef(number)));
        cache.touch(place, false);
    }
}

#[test]
fn scrapes_that_fail_do_not_add_up() {
    let mut cache = Cache::new();
    print(&mut cache, 0..100);
    cache.end(false);
    for round in 1..200 {
        print(&mut cache, round * 100..(round + 1) * 100);
        assert_eq!(cache.all_live().len(), if round == 1 { 100 } else { 0 });
        assert_eq!((cache.by_key.len(), cache.entries.len(), cache.series_known()), (100, 101, 100), "{round}");
    }
    // What was known before is where it was.
    cache.begin();
    for number in 0..100 {
        let place =
            cache.expected().or_else(|| cache.find(&format!("metric_of_some_length{{request=\"{number:08}\"}}")));
        assert_eq!(place.map(|place| cache.kind(place)), Some(Kind::Series(SeriesRef(number))));
        cache.touch(place.unwrap(), false);
    }
    assert_eq!(cache.end(false), []);
}

#[test]
fn a_scrape_that_fails_takes_back_its_marks_of_exemplars() {
    let mut cache = Cache::new();
    print(&mut cache, 0..2);
    cache.note_exemplar(1, Some(&b"first"[..]));
    cache.end(false);
    for _ in 0..2 {
        cache.begin();
        assert!(!cache.note_exemplar(1, Some(&b"first"[..])), "it was kept");
        assert!(cache.note_exemplar(1, Some(&b"second"[..])) && cache.note_exemplar(2, Some(&b"other"[..])));
        assert!(!cache.note_exemplar(1, None) && cache.note_exemplar(1, Some(&b"third"[..])));
        cache.all_live();
    }
}

#[test]
fn lines_that_are_followed_are_noted_as_all_others() {
    let (mut cache, mut other) = (Cache::new(), Cache::new());
    for known in [&mut cache, &mut other] {
        print(known, 0..3);
        known.end(false);
        known.begin();
    }
    let text = "metric_of_some_length{request=\"00000000\"} 1\n";
    let (place, kind, behind) = cache.followed(text.as_bytes()).unwrap();
    assert_eq!((kind, behind), (Kind::Series(SeriesRef(0)), &b" 1\n"[..]));
    assert!(cache.touch_followed(place) && !cache.touch_followed(place));
    assert!(cache.followed(text.as_bytes()).is_none(), "another line comes next");
    other.touch(place, false);
    assert_eq!(
        (cache.touched, cache.series_printed, cache.previous),
        (other.touched, other.series_printed, other.previous)
    );
    assert_eq!((cache.end(false).len(), other.end(false).len()), (2, 2));
}

#[test]
fn a_series_printed_by_another_line_is_not_gone() {
    let mut cache = Cache::new();
    for text in ["a{b=\"1\",c=\"2\"}", "a{c=\"2\",b=\"1\"}"] {
        print(&mut cache, std::iter::once(7));
        let place = cache.add(text, Kind::Series(SeriesRef(8))).unwrap();
        cache.touch(place, false);
        assert_eq!(cache.end(false), [], "{text}");
    }
    print(&mut cache, std::iter::once(7));
    assert_eq!(cache.end(false), [SeriesRef(8)]);
}

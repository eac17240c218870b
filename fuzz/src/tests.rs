//! The targets themselves: each takes its seeds, and every one of many inputs made of them by cutting and changing.

use std::collections::BTreeSet;
use std::time::Duration;

use super::TARGETS;

/// Inputs made of each seed: so few that all targets are done in seconds.
const CHANGES: usize = 6;

#[test]
fn names_are_modules_binaries_and_dictionaries() {
    let manifest = include_str!("../Cargo.toml");
    let names: BTreeSet<&str> = TARGETS.iter().map(|target| target.name).collect();
    let binaries: BTreeSet<&str> = manifest
        .lines()
        .filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")?.strip_suffix(".rs\""))
        .collect();
    assert_eq!(names, binaries);
    for target in &TARGETS {
        for line in target.dictionary.unwrap_or_default().lines().filter(|line| !line.is_empty()) {
            let is_word = line.starts_with('"') && line.ends_with('"') && line.len() > 2;
            assert!(is_word || line.starts_with('#'), "{}: {line}", target.name);
        }
    }
}

#[test]
fn the_files_to_begin_with_are_well() {
    let dir = crate::stored::folder();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("there is room");
        path
    };
    collector::config::load(&file("collector.yml", crate::config::FULL)).expect("the configuration is well");
    let defaults = collector::rules::file::Defaults { interval: Duration::from_secs(1), query_offset: Duration::ZERO };
    collector::rules::file::read(&file("rules.yml", crate::rules::FULL), defaults).expect("the rules are well");
    autoscaler::policy::load(&[file("policies.yml", crate::policy::FULL)]).expect("the policies are well");
}

/// Not chance, but numbers that are always the same.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below.max(1)
    }
}

fn changed(seed: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut input = seed.to_vec();
    for _ in 0..=numbers.next(4) {
        let at = numbers.next(input.len());
        match numbers.next(4) {
            0 => input.truncate(at),
            1 if !input.is_empty() => input[at] ^= 1 << numbers.next(8),
            2 => input.insert(at, numbers.next(256) as u8),
            _ => {
                let end = (at + numbers.next(20)).min(input.len());
                let copied = input[at..end].to_vec();
                input.extend(copied);
            }
        }
    }
    input
}

fn is_kept(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("it is a target");
    let mut numbers = Numbers(7);
    (target.run)(&[]);
    for seed in (target.seeds)() {
        (target.run)(&seed);
        for _ in 0..CHANGES {
            (target.run)(&changed(&seed, &mut numbers));
        }
    }
}

macro_rules! promises {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            is_kept(stringify!($name));
        })*
    };
}

promises! { exposition families wal remote_write query otlp segment block config rules template policy }

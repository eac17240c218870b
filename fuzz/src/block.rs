//! A sealed block whose files were damaged: it gives what was in it or an error, never anything else.
//!
//! Input: a byte that chooses a file, a byte of choices, then edits of that file, or what takes its place.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use collector::series::{Matcher, Queryable, Unmetered};

use crate::input::{Input, damage, seed};
use crate::scene;
use crate::stored::{Series, comparable, everything, folder, open};

/// A block as a store writes it.
struct Written {
    /// Below the data folder, in order of name.
    files: Vec<(PathBuf, Vec<u8>)>,
    everything: Vec<Series>,
}

static WRITTEN: LazyLock<Written> = LazyLock::new(|| {
    let dir = folder();
    let store = open(dir.path()).0;
    // So many that one block is sealed.
    scene::append(&store, 0..190);
    store.tend(&|| false);
    drop(store);
    fs::remove_dir_all(dir.path().join("wal")).expect("the log is there, and not needed");
    let everything = everything(&open(dir.path()).0);
    let folders = fs::read_dir(dir.path().join("blocks")).expect("something is sealed");
    let block = folders.map(|entry| entry.expect("it can be listed").path()).min().expect("something is sealed");
    let files = fs::read_dir(&block).expect("it can be listed").map(|entry| entry.expect("it can be listed").path());
    let content = |path: PathBuf| {
        let below = path.strip_prefix(dir.path()).expect("it is in there").to_owned();
        (below, fs::read(path).expect("it can be read"))
    };
    let mut files: Vec<(PathBuf, Vec<u8>)> = files.map(content).collect();
    files.sort();
    Written { files, everything }
});

/// Damage in each file.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![Vec::new()];
    for (file, (_, content)) in (0u8..).zip(&WRITTEN.files) {
        for part in 0..8 {
            let [low, high, more, _] = ((content.len() * part / 8) as u32).to_le_bytes();
            seeds.push(vec![file, 0, low, high, more, (part % 6) as u8, 1]);
        }
        seeds.push(seed(&[file, 1], &content[..content.len().min(64)]));
    }
    seeds
}

/// See the file's head.
pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (chosen, choices) = (usize::from(input.byte()) % WRITTEN.files.len(), input.byte());
    let dir = folder();
    for (at, (path, content)) in WRITTEN.files.iter().enumerate() {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().expect("it is below the folder")).expect("there is room");
        let mut content = content.clone();
        if at == chosen {
            match choices & 1 {
                0 => _ = damage(&mut content, &mut input),
                _ => content = input.0.to_vec(),
            }
        }
        fs::write(path, content).expect("there is room");
    }
    let (store, _) = open(dir.path());
    let found = store.select(&[], i64::MIN, i64::MAX, &Unmetered);
    if let Ok(found) = found {
        let found = comparable(found);
        assert!(found.is_empty() || found == WRITTEN.everything, "a damaged block gives what was never in it");
    }
    // A part of it, which may be well where the whole is not.
    let part = store.select(&[Matcher::equal("__name__", "requests_total")], i64::MIN, i64::MAX, &Unmetered);
    if let Ok(part) = part {
        let mut all = WRITTEN.everything.iter();
        assert!(comparable(part).iter().all(|series| all.any(|known| known == series)), "a part that was never in it");
    }
    let names = store.series(&[], i64::MIN, i64::MAX, &Unmetered);
    assert!(names.is_err() || names.is_ok_and(|names| names.is_empty() || names.len() == WRITTEN.everything.len()));
    if choices & 2 != 0 {
        store.tend(&|| false);
    }
}

//! Files of other tools as cases: `tests/import/NAME.yaml` and what becomes of it, `NAME.golden`; each of `tests/import/bad` says in its
//! first line where it is wrong.

use std::path::{Path, PathBuf};

use protocol::yaml::read_file;

use super::*;
use crate::export;

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import").join(folder);
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == "yaml")).collect();
    files.sort();
    files
}

/// Reads a file under its bare name, so that places are the same everywhere.
fn read(file: &Path) -> Vec<Document> {
    let name = Path::new(file.file_name().unwrap());
    let text = std::fs::read_to_string(file).unwrap();
    assert!(!read_file(file).unwrap().is_empty());
    protocol::yaml::split(name, &text)
}

#[test]
fn every_case_becomes_what_is_committed() {
    let all = files("");
    assert!(all.len() >= 5, "{}", all.len());
    for file in all {
        let imported = import(&read(&file), "shop").unwrap_or_else(|error| panic!("{error}"));
        let notes: String = imported.notes.iter().map(|note| format!("# {note}\n")).collect();
        let found = format!("{notes}{}", export::plimsoll(&imported.objectives));
        let golden = file.with_extension("golden");
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        assert!(found == expected, "{} should be:\n{found}", golden.display());
    }
}

#[test]
fn what_is_imported_is_a_file_of_ours() {
    for file in files("") {
        let imported = import(&read(&file), "shop").unwrap();
        let text = export::plimsoll(&imported.objectives);
        let read = crate::from_documents(&protocol::yaml::split(Path::new("out.yaml"), &text)).unwrap();
        assert_eq!(read, imported.objectives, "{}", file.display());
    }
}

#[test]
fn every_bad_case_is_refused_at_its_place() {
    let all = files("bad");
    assert!(all.len() >= 12, "{}", all.len());
    for file in all {
        let text = std::fs::read_to_string(&file).unwrap();
        let expected = text.lines().next().unwrap().trim_start_matches("# ");
        let message = import(&read(&file), "shop").expect_err("it is wrong").to_string();
        assert!(message.contains(expected), "{}: {message:?} should hold {expected:?}", file.display());
    }
}

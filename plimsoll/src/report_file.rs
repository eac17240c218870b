//! A file that a flag such as `--report` names: tried before a run, so that its end does not fail for want of it, and written
//! after.

use std::fs::{self, File};
use std::path::Path;

use serde::Serialize;

/// Whether the file that a flag names can be written. Leaves everything as it was.
pub fn check(file: &Path, flag: &str) -> Result<(), String> {
    let named = |error: std::io::Error| {
        format!("cannot write the report {}: {error}; choose another file with {flag}", file.display())
    };
    let before = fs::metadata(file);
    if before.as_ref().is_ok_and(|it| !it.is_file() && !it.is_dir()) {
        // A pipe: to open it would be to wait for its reader.
        return Ok(());
    }
    File::options().write(true).create(true).truncate(false).open(file).map_err(named)?;
    if before.is_err() {
        fs::remove_file(file).map_err(named)?;
    }
    Ok(())
}

/// Writes it as JSON.
pub fn write(file: &Path, report: &impl Serialize) -> Result<(), String> {
    let text = serde_json::to_string_pretty(report).map_err(|error| named(file, &error))?;
    write_text(file, &(text + "\n"))
}

/// Writes it as it is.
pub fn write_text(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|error| named(file, &error))
}

fn named(file: &Path, error: &dyn std::fmt::Display) -> String {
    format!("cannot write the report {}: {error}", file.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trying_a_file_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        fs::write(&old, "kept").unwrap();
        assert_eq!((check(&old, "--report"), check(&new, "--report")), (Ok(()), Ok(())));
        assert_eq!((fs::read_to_string(&old).unwrap().as_str(), new.exists()), ("kept", false));
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named_with_its_flag() {
        let folder = tempfile::tempdir().unwrap();
        for file in [folder.path().to_owned(), folder.path().join("nowhere/report.json")] {
            let message = check(&file, "--report").unwrap_err();
            assert!(message.contains(file.to_str().unwrap()) && message.contains("--report"), "{message}");
        }
    }
}

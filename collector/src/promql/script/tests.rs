//! Tests of the script runner itself: that it finds what is wrong, and where.

use super::run;

#[test]
fn a_wrong_value_is_found_with_its_line() {
    let script = "load 1m\n  a{x=\"1\"} 1+1x3\n\n\neval instant at 1m a\n  a{x=\"1\"} 3\n\neval instant at 1m a\n  a{x=\"1\"} 2\n";
    let report = run(script).unwrap();
    assert_eq!((report.passed, report.failures.len(), report.native), (1, 1, 0));
    assert_eq!(report.failures[0].line, 5);
}

#[test]
fn native_histograms_are_counted_apart() {
    let script = "load 1m\n  h {{schema:0 sum:1 count:1}}x3\n  f 1\n\neval instant at 0 h\n  h {{count:1 sum:1}}\n\neval instant at 0 f\n  f 1\n";
    let report = run(script).unwrap();
    assert_eq!((report.passed, report.failures.len()), (2, 0));
    assert_eq!((report.native, report.native_passed), (1, 1));
}

#[test]
fn what_cannot_be_read_is_an_error_with_its_line() {
    assert_eq!(run("load 1m\n  a 1\n\nevaluate this\n").unwrap_err().line, 4);
    assert_eq!(run("load 1x\n").unwrap_err().line, 1);
    assert_eq!(run("load 1m\n  a 1+\n").unwrap_err().line, 2);
}

/// The project's own scripts, a file a subject.
#[test]
fn all_scripts_pass() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join("promql");
    let mut evaluations = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let report = run(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert!(report.failures.is_empty(), "{}: {:#?}", path.display(), report.failures);
        evaluations += report.passed;
    }
    assert!(evaluations > 50, "only {evaluations} evaluations");
}

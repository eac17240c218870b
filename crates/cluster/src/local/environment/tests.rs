//! What replicas find in their environment.

use std::collections::BTreeMap;
use std::path::PathBuf;

use proptest::prelude::*;

use super::{ServiceVariables, add_service, expand, relocate};

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn expands_as_kubernetes_does() {
    let known = variables(&[("HOST", "127.0.0.9"), ("PORT", "80")]);
    for (text, expected) in [
        ("http://$(HOST):$(PORT)/", "http://127.0.0.9:80/"),
        ("$(UNKNOWN)/$(HOST)", "$(UNKNOWN)/127.0.0.9"),
        ("$$(HOST) costs 5$", "$(HOST) costs 5$"),
        ("$HOST", "$HOST"),
        ("$(HOST", "$(HOST"),
        ("", ""),
    ] {
        assert_eq!(expand(text, &known), expected, "{text}");
    }
}

#[test]
fn moves_paths_below_a_mount_and_nothing_else() {
    let mounts = [("/data/cold".to_owned(), PathBuf::from("/tmp/c")), ("/data".to_owned(), PathBuf::from("/tmp/d"))];
    for (text, expected) in [
        ("/data", "/tmp/d"),
        ("/data/a.db", "/tmp/d/a.db"),
        ("sqlite:///data/a.db?mode=rwc", "sqlite:///tmp/d/a.db?mode=rwc"),
        ("--dir=/data", "--dir=/tmp/d"),
        ("/data:/data/cold/x", "/tmp/d:/tmp/c/x"),
        ("/var/data", "/var/data"),
        ("/database", "/database"),
        ("http://data/data", "http://data/data"),
    ] {
        assert_eq!(relocate(text, &mounts), expected, "{text}");
    }
}

#[test]
fn names_services_as_kubernetes_does() {
    let mut variables = BTreeMap::new();
    let ports = vec![(Some("otlp-http".to_owned()), 4318), (Some("otlp-grpc".to_owned()), 4317)];
    add_service(
        &mut variables,
        &ServiceVariables { name: "my-collector".to_owned(), ip: [127, 0, 0, 1].into(), ports },
    );
    let found: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let expected = [
        "MY_COLLECTOR_SERVICE_HOST=127.0.0.1",
        "MY_COLLECTOR_SERVICE_PORT=4318",
        "MY_COLLECTOR_SERVICE_PORT_OTLP_GRPC=4317",
        "MY_COLLECTOR_SERVICE_PORT_OTLP_HTTP=4318",
    ];
    assert_eq!(found, expected);
}

proptest! {
    #[test]
    fn any_text_is_expanded_and_moved_without_panic(text in "[$()/daAé. ]{0,30}") {
        let mounts = [("/d".to_owned(), PathBuf::from("/x"))];
        relocate(&expand(&text, &variables(&[("a", "/d"), ("A", "")])), &mounts);
    }

    #[test]
    fn text_without_dollar_and_mount_stays_as_it_is(text in "[a-z/ é=]{0,30}") {
        let mounts = [("/DATA".to_owned(), PathBuf::from("/x"))];
        prop_assert_eq!(relocate(&expand(&text, &BTreeMap::new()), &mounts), text);
    }
}

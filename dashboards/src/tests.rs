//! What must hold for every dashboard: structure, words, units, queries that parse, and the committed files.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;

fn panels() -> Vec<Panel> {
    shop_overview().panels.into_iter().filter(|p| p.kind != PanelKind::Row).collect()
}

#[test]
fn committed_files_equal_their_source() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("generated");
    for (path, text) in files() {
        let committed = fs::read_to_string(dir.join(&path)).unwrap_or_default();
        assert!(committed == text, "{path} differs from its source: run `cargo xtask bless` and look at the diff");
    }
}

#[test]
fn ids_and_titles_are_unique() {
    let all = shop_overview().panels;
    assert_eq!(all.iter().map(|p| p.id).collect::<BTreeSet<_>>().len(), all.len());
    assert_eq!(all.iter().map(|p| &p.title).collect::<BTreeSet<_>>().len(), all.len());
}

#[test]
fn panels_stay_in_the_grid_and_do_not_overlap() {
    let all = shop_overview().panels;
    for (i, a) in all.iter().enumerate() {
        assert!(a.grid.x + a.grid.width <= model::COLUMNS, "{}", a.title);
        for b in &all[i + 1..] {
            let apart = a.grid.x + a.grid.width <= b.grid.x
                || b.grid.x + b.grid.width <= a.grid.x
                || a.grid.y + a.grid.height <= b.grid.y
                || b.grid.y + b.grid.height <= a.grid.y;
            assert!(apart, "{} overlaps {}", a.title, b.title);
        }
    }
    assert!(panels().len() <= 30);
}

#[test]
fn every_panel_says_what_it_asks_and_what_bad_looks_like() {
    for panel in panels() {
        assert!(panel.title.contains('?'), "{}: a title is a question", panel.title);
        assert!(panel.description.len() >= 40, "{}: describe what bad looks like", panel.title);
        assert!(!panel.targets.is_empty(), "{}", panel.title);
    }
}

#[test]
fn every_query_parses_and_uses_grafanas_interval() {
    for (panel, expr) in queries() {
        let filled = expr.replace("$__rate_interval", "5s").replace("$namespace", "shop").replace("$service", ".*");
        let parsed = promql_parser::parser::parse(&filled);
        assert!(parsed.is_ok(), "{panel}: {expr}: {parsed:?}");
        assert_eq!(expr.contains("rate("), expr.contains("[$__rate_interval]"), "{panel}: {expr}");
    }
}

#[test]
fn the_json_names_its_variables_data_source_and_no_data_text() {
    let json: serde_json::Value = serde_json::from_str(&shop_overview().to_json()).unwrap();
    let variables: Vec<_> = json["templating"]["list"].as_array().unwrap().iter().map(|v| v["name"].clone()).collect();
    assert_eq!(variables, ["datasource", "namespace", "service"]);
    for panel in json["panels"].as_array().unwrap().iter().filter(|p| p["type"] != "row") {
        assert_eq!(panel["datasource"]["uid"], "${datasource}");
        assert_eq!(panel["fieldConfig"]["defaults"]["noValue"], "no data");
        assert_ne!(panel["fieldConfig"]["defaults"]["unit"], "");
    }
}

#[test]
fn provisioning_files_are_yaml_with_fixed_uids() {
    let sources: serde_json::Value = serde_saphyr::from_str(provisioning::DATASOURCES).unwrap();
    assert_eq!(sources["datasources"][0]["uid"], model::PROMETHEUS_UID);
    let providers: serde_json::Value = serde_saphyr::from_str(provisioning::DASHBOARDS).unwrap();
    assert_eq!(providers["providers"][0]["type"], "file");
}

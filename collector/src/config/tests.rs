//! The configuration: what is read, and the exact words for what is wrong.

use super::*;

fn read(text: &str) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("scrape.yml");
    std::fs::write(&path, text).unwrap();
    load(&path).map_err(|e| e.to_string().replace(&dir.path().display().to_string(), "DIR"))
}

#[test]
fn reads_what_prometheus_reads_with_its_defaults() {
    let config = read(
        "global:\n  scrape_interval: 15s\n  external_labels: { site: a }\nscrape_configs:\n- job_name: shop\n  \
         scrape_interval: 1s\n  body_size_limit: 10MB\n  sample_limit: 500\n  params: { format: [text] }\n  \
         http_sd_configs: [{ url: 'http://127.0.0.1:1/sd', refresh_interval: 1s }]\n  \
         relabel_configs:\n  - source_labels: [__meta_a, __meta_b]\n    regex: 'x(.*)'\n    target_label: pod\n\
         - job_name: other\n  static_configs: [{ targets: ['h:1'], labels: { a: b } }]\n  \
         file_sd_configs: [{ files: [sd/*.json] }]\n",
    )
    .unwrap();
    let shop = &config.jobs[0];
    assert_eq!((shop.scrape_interval, shop.scrape_timeout), (Duration::from_secs(1), Duration::from_secs(1)));
    assert_eq!((shop.limits.body_bytes, shop.limits.samples), (Some(10 << 20), Some(500)));
    assert_eq!((shop.metrics_path.as_str(), shop.honor_labels, shop.honor_timestamps), ("/metrics", false, true));
    assert_eq!(shop.relabel[0].separator, ";");
    let other = &config.jobs[1];
    assert_eq!((other.scrape_interval, other.scrape_timeout), (Duration::from_secs(15), Duration::from_secs(10)));
    assert_eq!(other.discovery.len(), 2);
    assert!(read("# nothing\n").unwrap().jobs.is_empty());
}

#[test]
fn says_file_place_and_what_is_wrong() {
    let job = |rest: &str| format!("scrape_configs:\n- job_name: a\n  {rest}\n");
    for (text, message) in [
        (job("scrape_intervall: 1s"), "unknown field"),
        (
            job("kubernetes_sd_configs: []"),
            "DIR/scrape.yml: document 1: scrape_configs[0].kubernetes_sd_configs: Prometheus knows this field, but this \
             collector does not support it yet",
        ),
        ("rule_files: [a]\n".to_owned(), "rule_files: Prometheus knows this field"),
        (
            job("scrape_timeout: 2m"),
            "DIR/scrape.yml: document 1: scrape_configs[0].scrape_timeout: 2m is longer than the scrape_interval of 1m",
        ),
        (job("scrape_interval: 0s"), "scrape_configs[0].scrape_interval: must be longer than 0"),
        (job("scheme: https"), "scrape_configs[0].scheme: only http is supported"),
        (job("body_size_limit: lots"), "scrape_configs[0].body_size_limit: \"lots\" is not a size"),
        (job("relabel_configs: [{ action: explode }]"), "relabel_configs[0].action: \"explode\" is not an action"),
        (job("relabel_configs: [{ regex: '(' }]"), "scrape_configs[0].relabel_configs[0].regex: "),
        (job("relabel_configs: [{ action: hashmod, target_label: a }]"), "relabel_configs[0].modulus: "),
        (job("metric_relabel_configs: [{ regex: a }]"), "metric_relabel_configs[0].target_label: "),
        (job("http_sd_configs: [{ url: nowhere }]"), "http_sd_configs[0].url: \"nowhere\" is not a URL"),
        (job("file_sd_configs: [{ files: [a.txt] }]"), "does not end in .json, .yml or .yaml"),
        (
            "scrape_configs:\n- job_name: a\n- job_name: a\n".to_owned(),
            "scrape_configs[1].job_name: the name \"a\" is used twice",
        ),
        ("a: 1\n---\nb: 1\n".to_owned(), "a scrape configuration is one document"),
    ] {
        let found = read(&text).unwrap_err();
        assert!(found.contains(message), "{text}: {found}");
        assert!(found.starts_with("DIR/scrape.yml: document "), "{found}");
    }
    assert!(check(Path::new("/nowhere/scrape.yml")).unwrap_err().to_string().starts_with("/nowhere/scrape.yml: "));
}

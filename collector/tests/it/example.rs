//! The example for clusters is a configuration, and does to labels what it says.

use std::path::Path;
use std::sync::Arc;

use collector::config::{self, Config};
use collector::discovery::target::{Placed, place};
use collector::discovery::{Group, TargetGroup};

fn example() -> Config {
    config::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/kubernetes.yml"))
        .unwrap_or_else(|e| panic!("{e}"))
}

/// The URL that a pod is scraped at, and its labels; `None` if it is not.
fn scraped(labels: &str) -> Option<(String, String)> {
    let pairs = labels.split_whitespace().filter_map(|pair| pair.split_once('='));
    let labels = pairs.map(|(n, v)| (n.replace("@", "__meta_kubernetes_pod_"), v.to_owned())).collect();
    let group: Arc<Group> = Arc::new(TargetGroup { labels, targets: vec!["10.1.0.7:1".to_owned()] }.into());
    match place(&example().jobs[0], &group).remove(0) {
        Placed::Active(target) => Some((target.url.to_string(), target.labels.to_string())),
        Placed::Dropped(_) => None,
        Placed::Invalid(_, reason) => panic!("{reason}"),
    }
}

#[test]
fn the_example_for_clusters_can_be_loaded() {
    let config = example();
    let names: Vec<&str> = config.jobs.iter().map(|job| &*job.name).collect();
    assert_eq!(names, ["kubernetes-pods", "kubernetes-cadvisor", "plimsoll-workloads", "plimsoll"]);
}

#[test]
fn annotations_say_where_a_pod_is_scraped() {
    let on = "@annotation_prometheus_io_scrape=true @name=order-1 @label_app_kubernetes_io_name=order \
              __meta_kubernetes_namespace=shop @phase=Running";
    let labels = |instance: &str| {
        format!(
            "{{instance=\"{instance}\", job=\"kubernetes-pods\", namespace=\"shop\", pod=\"order-1\", service=\"order\"}}"
        )
    };
    for (more, url, instance) in [
        ("@ip=10.1.0.7", "http://10.1.0.7:1/metrics", "10.1.0.7:1"),
        ("@ip=10.1.0.7 @annotation_prometheus_io_port=8080", "http://10.1.0.7:8080/metrics", "10.1.0.7:8080"),
        (
            "@ip=fd00::7 @annotation_prometheus_io_port=8080 @annotation_prometheus_io_path=/m",
            "http://[fd00::7]:8080/m",
            "[fd00::7]:8080",
        ),
        ("@ip=10.1.0.7 @annotation_prometheus_io_scheme=https", "https://10.1.0.7:1/metrics", "10.1.0.7:1"),
    ] {
        assert_eq!(scraped(&format!("{on} {more}")), Some((url.to_owned(), labels(instance))), "{more}");
    }
    for off in [
        "@phase=Running",
        "@annotation_prometheus_io_scrape=false",
        "@annotation_prometheus_io_scrape=true @phase=Failed",
    ] {
        assert_eq!(scraped(off), None, "{off}");
    }
}

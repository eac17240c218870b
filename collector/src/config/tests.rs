//! The configuration: what is read, and the exact words for what is wrong.

use super::http::Authorization;
use super::protocols::Protocol;
use super::secret::Text;
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
fn jobs_inherit_limits_as_they_do_in_prometheus() {
    let config = read(
        "global: { body_size_limit: 1MB, sample_limit: 1, series_limit: 2, label_limit: 3, label_name_length_limit: 4, \
         label_value_length_limit: 5, target_limit: 6, keep_dropped_targets: 7, extra_scrape_metrics: true }\n\
         scrape_configs:\n- job_name: a\n- job_name: b\n  body_size_limit: 2MB\n  sample_limit: 10\n  series_limit: 20\n  \
         label_limit: 30\n  label_name_length_limit: 40\n  label_value_length_limit: 50\n  target_limit: 60\n  \
         keep_dropped_targets: 70\n  extra_scrape_metrics: false\n\
         - job_name: c\n  sample_limit: 0\n  target_limit: 0\n  body_size_limit: 0\n  series_limit: 0\n",
    )
    .unwrap();
    let [a, b, c] = config.jobs.as_slice() else { panic!() };
    let limits = |factor: usize, mib: usize| Limits {
        samples: Some(factor),
        series: Some(2 * factor),
        labels: Some(3 * factor),
        label_name_length: Some(4 * factor),
        label_value_length: Some(5 * factor),
        targets: Some(6 * factor),
        dropped_targets: Some(7 * factor),
        body_bytes: Some(mib << 20),
    };
    assert_eq!((a.limits, a.extra_scrape_metrics), (limits(1, 1), true));
    assert_eq!((b.limits, b.extra_scrape_metrics), (limits(10, 2), false));
    // 0 is what is inherited; but a job can be without a series_limit, as in vmagent.
    assert_eq!(c.limits, Limits { series: None, ..limits(1, 1) });
    assert!(config.text.contains("target_limit: 60"), "{}", config.text);
    let none = read("scrape_configs: [{ job_name: a, series_limit: -1 }]\n").unwrap().jobs.remove(0);
    assert_eq!((none.limits, none.extra_scrape_metrics), (Limits::default(), false));
}

#[test]
fn the_file_may_say_how_long_samples_are_kept() {
    let days = |days: u64| Some(Duration::from_secs(days * 86_400));
    for (said, wanted) in [
        ("", None),
        ("retention: {}", None),
        ("retention: { time: 30d }", Some(Retention { time: days(30), bytes: None })),
        ("retention: { size: 2GB }", Some(Retention { time: None, bytes: Some(2 << 30) })),
        ("retention: { time: 1w, size: 1MB }", Some(Retention { time: days(7), bytes: Some(1 << 20) })),
        ("retention: { time: 0s, size: 0 }", Some(Retention { time: None, bytes: None })),
    ] {
        let config = read(&format!("storage: {{ tsdb: {{ out_of_order_time_window: 1m, {said} }} }}\n")).unwrap();
        assert_eq!((config.retention, config.late_window), (wanted, Duration::from_secs(60)), "{said}");
    }
    let wrong = |said: &str| read(&format!("storage: {{ tsdb: {{ {said} }} }}\n")).unwrap_err();
    assert!(wrong("retention: { size: 2 }").contains("storage.tsdb.retention.size: \"2\" is not a size"));
    assert!(wrong("retention: { percentage: 5 }").contains("storage.tsdb.retention.percentage: Prometheus knows"));
    assert!(wrong("chunk_encoding: {}").contains("storage.tsdb.chunk_encoding: Prometheus knows this field"));
}

#[test]
fn says_file_place_and_what_is_wrong() {
    let job = |rest: &str| format!("scrape_configs:\n- job_name: a\n  {rest}\n");
    for (text, message) in [
        (job("scrape_intervall: 1s"), "unknown field"),
        (
            job("consul_sd_configs: []"),
            "DIR/scrape.yml: document 1: scrape_configs[0].consul_sd_configs: Prometheus knows this field, but this \
             collector does not support it yet",
        ),
        (
            "rule_files: ['*/a']\n".to_owned(),
            "DIR/scrape.yml: document 1: rule_files[0]: DIR/*/a has a * in a folder's",
        ),
        ("tracing: {}\n".to_owned(), "tracing: Prometheus knows this field"),
        (
            job("scrape_timeout: 2m"),
            "DIR/scrape.yml: document 1: scrape_configs[0].scrape_timeout: 2m is longer than the scrape_interval of 1m",
        ),
        (job("scrape_interval: 0s"), "scrape_configs[0].scrape_interval: must be longer than 0"),
        (job("scheme: ftp"), "scrape_configs[0].scheme: \"ftp\" is not a scheme; there are http and https"),
        (job("body_size_limit: lots"), "scrape_configs[0].body_size_limit: \"lots\" is not a size"),
        (job("scrape_protocols: []"), "scrape_configs[0].scrape_protocols: is empty; remove it, or name a protocol"),
        (
            job("scrape_protocols: [PrometheusProto, prometheusproto]"),
            "scrape_configs[0].scrape_protocols: \"prometheusproto\" is not a scrape protocol; there are PrometheusProto, \
             OpenMetricsText1.0.0, OpenMetricsText0.0.1, PrometheusText1.0.0, PrometheusText0.0.4",
        ),
        (
            "global: { scrape_protocols: [PrometheusProto, PrometheusProto] }\n".to_owned(),
            "DIR/scrape.yml: document 1: global.scrape_protocols: has \"PrometheusProto\" twice; remove one",
        ),
        (job("fallback_scrape_protocol: Text"), "scrape_configs[0].fallback_scrape_protocol: \"Text\" is not a scrape"),
        ("global: { body_size_limit: 1 }\n".to_owned(), "global.body_size_limit: \"1\" is not a size"),
        (job("target_limit: -1"), "scrape_configs[0].target_limit: "),
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

#[test]
fn reads_how_a_server_is_called() {
    let config = read(
        "scrape_configs:\n- job_name: a\n  scheme: HTTPS\n  authorization: { credentials_file: token }\n  \
         tls_config: { ca_file: /ca.crt, cert_file: c, key_file: k, server_name: kubelet, insecure_skip_verify: true }\n\
         - job_name: b\n  basic_auth: { username: ann, password: 'p w' }\n\
         - job_name: c\n  bearer_token: t0ken\n",
    )
    .unwrap();
    let [a, b, c] = config.jobs.as_slice() else { panic!() };
    let Some(Authorization::Token { scheme, credentials: Text::File(path) }) = &a.http.authorization else { panic!() };
    assert_eq!((a.scheme.as_str(), scheme.as_str()), ("https", "Bearer"));
    assert!(path.is_absolute() && path.ends_with("token"), "{path:?}");
    assert_eq!(a.http.tls.ca, Some(Text::File("/ca.crt".into())));
    assert!(a.http.tls.identity.is_some() && a.http.tls.insecure_skip_verify);
    assert_eq!(a.http.tls.server_name.as_deref(), Some("kubelet"));
    let Some(Authorization::Basic { password: Text::Inline(password), .. }) = &b.http.authorization else { panic!() };
    assert_eq!(password.expose(), "p w");
    assert!(matches!(&c.http.authorization, Some(Authorization::Token { credentials: Text::Inline(_), .. })));
    let debug = format!("{config:?}");
    assert!(!debug.contains("p w") && !debug.contains("t0ken"), "{debug}");
}

#[test]
fn reads_what_targets_are_asked_for_and_what_becomes_of_histograms() {
    let text = "global: { scrape_native_histograms: true, convert_classic_histograms_to_nhcb: true }\nscrape_configs:\n\
                - job_name: a\n\
                - job_name: b\n  scrape_native_histograms: false\n  always_scrape_classic_histograms: true\n  \
                convert_classic_histograms_to_nhcb: false\n  fallback_scrape_protocol: PrometheusText0.0.4\n  \
                native_histogram_bucket_limit: 160\n  native_histogram_min_bucket_factor: 1.1\n\
                - job_name: c\n  scrape_protocols: [PrometheusText0.0.4, PrometheusProto]\n";
    let config = read(text).unwrap();
    let [a, b, c] = config.jobs.as_slice() else { panic!() };
    assert_eq!((a.negotiation.protocols[0], a.negotiation.protocols.len()), (Protocol::PrometheusProto, 5));
    let forms = a.histograms.forms;
    assert!(forms.native && forms.custom && !forms.classic_always);
    assert_eq!((a.negotiation.fallback, a.histograms.buckets_max, a.histograms.schema_max), (None, None, 8));
    let forms = b.histograms.forms;
    assert!(!forms.native && !forms.custom && forms.classic_always);
    assert!(!b.negotiation.protocols.contains(&Protocol::PrometheusProto));
    assert_eq!(b.negotiation.fallback, Some(Protocol::PrometheusText0_0_4));
    assert_eq!((b.histograms.buckets_max, b.histograms.schema_max), (Some(160), 2));
    assert_eq!(c.negotiation.protocols, [Protocol::PrometheusText0_0_4, Protocol::PrometheusProto]);
    for field in ["scrape_native_histograms: true", "native_histogram_bucket_limit: 160", "- PrometheusProto"] {
        assert!(config.text.contains(field), "{field} in {}", config.text);
    }
    let global =
        read("global: { scrape_protocols: [PrometheusText0.0.4] }\nscrape_configs: [{ job_name: a }]\n").unwrap();
    assert_eq!(global.jobs[0].negotiation.protocols, [Protocol::PrometheusText0_0_4]);
}

#[test]
fn what_is_shown_of_the_configuration_has_no_secret() {
    let config = read(
        "# password: in a comment\nglobal:\n  scrape_interval: 15s\nscrape_configs:\n- job_name: b\n  \
         basic_auth: { username: ann, password: hush1 }\n  params: { key: [x] }\n\
         - job_name: c\n  bearer_token: \"hush2\"\n  static_configs: [{ targets: ['h:1'], labels: { n: '007' } }]\n\
         - job_name: d\n  authorization:\n    credentials: |\n      hush3\n  \
         http_sd_configs: [{ url: 'http://ann:hush4@h/sd' }]\n\
         - job_name: e\n  kubernetes_sd_configs: [{ role: pod, api_server: 'https://h', bearer_token: hush5 }]\n\
         alerting:\n  webhooks: [{ url: 'http://h/hush6' }]\n",
    )
    .unwrap();
    assert!(!config.text.contains("hush") && !config.text.contains('#'), "{}", config.text);
    assert_eq!(config.text.matches("<secret>").count(), 5, "{}", config.text);
    assert!(config.text.contains("http://ann:xxxxx@h/sd"), "{}", config.text);
    let again = read(&config.text.replace("url: <secret>", "url: http://h/")).unwrap();
    assert_eq!(again.jobs.iter().map(|job| &*job.name).collect::<Vec<_>>(), ["b", "c", "d", "e"]);
    assert_eq!(again.jobs[1].discovery, config.jobs[1].discovery, "{}", config.text);
}

#[test]
fn wrong_credentials_and_clusters_name_the_field_and_the_remedy() {
    let job = |rest: &str| format!("scrape_configs:\n- job_name: a\n  {rest}\n");
    let kubernetes = |rest: &str| job(&format!("kubernetes_sd_configs: [{{ {rest} }}]"));
    for (text, message) in [
        (
            job("bearer_token: a\n  bearer_token_file: b"),
            "[0].bearer_token: and bearer_token_file may not both be given",
        ),
        (
            job("bearer_token: a\n  basic_auth: {}"),
            "[0].authorization: only one of basic_auth, authorization and bearer",
        ),
        (job("authorization: { type: Basic }"), "[0].authorization.type: is \"Basic\"; write basic_auth"),
        (job("tls_config: { cert_file: a }"), "[0].tls_config.key_file: is missing: a certificate needs its key"),
        (job("tls_config: { ca: nonsense }"), "[0].tls_config.ca: holds no certificate in PEM form"),
        (job("tls_config: { server_name: 'a b' }"), "[0].tls_config.server_name: \"a b\" is neither a host's name"),
        (job("tls_config: { min_version: TLS12 }"), "[0].tls_config.min_version: Prometheus knows this field"),
        (job("oauth2: {}"), "[0].oauth2: Prometheus knows this field"),
        (
            kubernetes("api_server: 'https://h'"),
            "kubernetes_sd_configs[0].role: is missing; there are pod, node, service",
        ),
        (kubernetes("role: pods"), "[0].role: \"pods\" is not a role; there are pod, node, service, endpointslice"),
        (kubernetes("role: endpoints"), "[0].role: \"endpoints\" is not supported: Kubernetes has put endpoint slices"),
        (kubernetes("role: ingress"), "[0].role: Prometheus knows the role \"ingress\", but"),
        (kubernetes("role: pod, api_server: h"), "[0].api_server: \"h\" is not a URL"),
        (kubernetes("role: pod, api_server: 'ftp://h'"), "[0].api_server: \"ftp://h\" is no address of the form https"),
        (kubernetes("role: pod, bearer_token: a"), "[0].api_server: is missing: authorization and tls_config need it"),
        (
            kubernetes("role: pod, kubeconfig_file: k, tls_config: { ca_file: a }"),
            "[0].kubeconfig_file: says itself how the API server is called",
        ),
        (
            kubernetes("role: pod, kubeconfig_file: k, api_server: 'https://h'"),
            "[0].kubeconfig_file: and api_server may not both be given",
        ),
        (
            kubernetes("role: pod, kubeconfig_file: k, namespaces: { own_namespace: true }"),
            "[0].namespaces.own_namespace: is only known inside the cluster",
        ),
        (
            kubernetes("role: pod, selectors: [{ role: service, label: a=b }]"),
            "[0].selectors: the role pod takes selectors for pod, node, not for service",
        ),
        (
            kubernetes("role: pod, selectors: [{ role: pod, label: a=b }, { role: pod, field: c=d }]"),
            "[0].selectors: there are two for the role pod; join them with a comma",
        ),
        (kubernetes("role: pod, attach_metadata: { job: true }"), "attach_metadata.job: Prometheus knows this field"),
    ] {
        let found = read(&text).unwrap_err();
        assert!(found.contains(message), "{text}: {found}");
        assert!(found.starts_with("DIR/scrape.yml: document 1: scrape_configs[0]"), "{found}");
    }
}

#[test]
fn receivers_of_remote_write_have_prometheus_defaults() {
    use super::remote_write::{MetadataOptions, QueueOptions, RemoteMessage};

    let config = read(
        "remote_write:\n- url: https://me:secret@one/api/v1/write\n- url: http://two/write\n  name: two\n  \
         protobuf_message: io.prometheus.write.v2.Request\n  send_exemplars: true\n  send_native_histograms: true\n  \
         headers: { X-Scope-OrgID: a }\n  remote_timeout: 3s\n  basic_auth: { username: u, password: p }\n  \
         write_relabel_configs: [{ action: labeldrop, regex: pod }]\n  \
         queue_config: { max_shards: 3, min_shards: 9, max_samples_per_send: 7, retry_on_http_429: true, sample_age_limit: 1h }\n  \
         metadata_config: { send: false }\n",
    )
    .unwrap();
    let (one, two) = (&config.remote_write[0], &config.remote_write[1]);
    assert_eq!((one.queue, one.metadata), (QueueOptions::default(), MetadataOptions::default()));
    assert_eq!((one.timeout, one.message, one.name.len()), (Duration::from_secs(30), RemoteMessage::V1, 8));
    assert!(!config.text.contains("me:secret"), "{}", config.text);
    assert_eq!((two.timeout, two.message), (Duration::from_secs(3), RemoteMessage::V2));
    assert!(two.send_exemplars && two.send_native_histograms && two.http.authorization.is_some());
    assert_eq!((two.queue.shards_max, two.queue.shards_min, two.queue.samples_per_send), (3, 3, 7));
    assert!(two.queue.retry_on_429 && !two.metadata.send && two.relabel.len() == 1);
    assert_eq!(two.queue.sample_age_max, Some(Duration::from_secs(3600)));
}

#[test]
fn the_example_lists_what_may_be_said_of_pushed_metrics() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/remote-write.yml");
    let config = load(Path::new(example)).unwrap();
    let defaults = super::remote_write::QueueOptions::default();
    assert_eq!((config.remote_write.len(), config.remote_write[0].queue), (1, defaults));
    assert_eq!(config.otlp.translation, super::otlp::Translation::default());
}

#[test]
fn what_is_wrong_with_receivers_and_translation_is_named() {
    let remote = |rest: &str| format!("remote_write:\n- url: http://a/write\n  {rest}\n");
    for (text, message) in [
        (remote("sigv4: {}"), "remote_write[0].sigv4: Prometheus knows this field"),
        (
            remote("headers: { Authorization: x }"),
            "remote_write[0].headers: \"Authorization\" is set by this collector; write basic_auth",
        ),
        (
            remote("headers: { Content-Type: x }"),
            "remote_write[0].headers: \"Content-Type\" is set by this collector; remove it",
        ),
        (
            remote("protobuf_message: v2"),
            "remote_write[0].protobuf_message: \"v2\" is not a message; there are prometheus.WriteRequest",
        ),
        (remote("queue_config: { max_shards: 0 }"), "remote_write[0].queue_config.max_shards: must be more than 0"),
        (remote("queue_config: { shards: 1 }"), "unknown field"),
        (remote("name: ../x"), "remote_write[0].name: \"../x\" names a folder too"),
        (remote("name: a\n- url: http://b/write\n  name: a"), "remote_write[1].name: the name \"a\" is used twice"),
        ("remote_write: [{ url: 'ftp://a' }]\n".to_owned(), "remote_write[0].url: \"ftp\" is not a scheme"),
        ("otlp: { translation_strategy: x }\n".to_owned(), "otlp.translation_strategy: \"x\" is not a strategy"),
        (
            "otlp: { ignore_resource_attributes: [a] }\n".to_owned(),
            "otlp.ignore_resource_attributes: means nothing unless",
        ),
        (
            "otlp: { promote_resource_attributes: [a, ' a'] }\n".to_owned(),
            "otlp.promote_resource_attributes: has \"a\" twice",
        ),
    ] {
        let said = read(&text).unwrap_err();
        assert!(said.contains(message), "{said}");
    }
    use super::otlp::{Promoted, Translation};
    let otlp = read(
        "otlp: { promote_all_resource_attributes: true, ignore_resource_attributes: [a], translation_strategy: NoTranslation }\n",
    );
    let otlp = otlp.unwrap().otlp;
    assert_eq!((otlp.promoted, otlp.translation), (Promoted::AllBut(vec!["a".into()]), Translation::None));
}

//! Claims about reading the environment.

use super::*;

fn read(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let lookup =
        |wanted: &str| variables.iter().find(|(name, _)| *name == wanted).map(|(_, value)| (*value).to_owned());
    Config::read("order", &lookup)
}

#[test]
fn reads_what_a_replica_is_given() {
    let config = read(&[
        ("POD_NAME", "order-7"),
        ("POD_IP", "127.1.0.9"),
        ("POD_NAMESPACE", "shop"),
        ("WORK_MS", "2.5"),
        ("OTEL_SERVICE_NAME", "orders"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318"),
        ("PAYMENT_SERVICE_HOST", "127.2.0.3"),
        ("PAYMENT_SERVICE_PORT", "8080"),
    ])
    .unwrap();
    assert_eq!(config.http.to_string(), "127.1.0.9:8080");
    assert_eq!(config.admin.to_string(), "127.1.0.9:9901");
    assert_eq!(config.work, Duration::from_micros(2_500));
    assert_eq!(config.peers["payment"].as_str(), "http://127.2.0.3:8080/");
    assert_eq!((config.pod.name.as_str(), config.otel_name.as_str()), ("order-7", "orders"));
}

#[test]
fn an_error_names_the_variable_and_what_was_expected() {
    let message = |variables: &[(&str, &str)]| read(variables).unwrap_err().to_string();
    assert_eq!(message(&[]), "the environment variable POD_IP is not set; expected the replica's IP address");
    assert_eq!(
        message(&[("POD_IP", "here")]),
        "the environment variable POD_IP is \"here\"; expected the replica's IP address"
    );
    assert_eq!(
        message(&[("POD_IP", "::1"), ("WORK_MS", "-1")]),
        "the environment variable WORK_MS is \"-1\"; expected milliseconds of CPU time per request, 0 to 10000"
    );
    assert_eq!(
        message(&[("POD_IP", "::1"), ("USER_SERVICE_HOST", "h")]),
        "the environment variable USER_SERVICE_PORT is not set; expected the service's port"
    );
}

#[test]
fn a_collector_that_the_namespace_does_not_have_is_none() {
    let endpoint = "http://$(COLLECTOR_SERVICE_HOST):$(COLLECTOR_SERVICE_PORT_OTLP_HTTP)";
    let config = read(&[("POD_IP", "127.0.0.1"), ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)]).unwrap();
    assert_eq!(config.otlp_endpoint, None);
}

#[test]
fn a_short_secret_is_refused_without_showing_it() {
    let config = Config { token_secret: Some("hunter2".to_owned()), ..Config::on_loopback("user") };
    let message = config.token_secret().unwrap_err().to_string();
    assert!(message.contains("TOKEN_SECRET is \"7 characters\"") && !message.contains("hunter2"), "{message}");
}

//! Who is told about alerts: Prometheus' section `alerting`, checked, and `webhooks`, which Prometheus does not have, for those
//! who run no Alertmanager.

use std::time::Duration;

use protocol::yaml::DocumentError;
use url::Url;

use super::http::{self, HttpOptions};
use super::raw::alerting as raw;
use super::{Checker, Discovery};
use crate::discovery::relabel::RelabelRule;

/// Prometheus' default for `timeout`.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// Alertmanager's default for `repeat_interval`: often enough not to be forgotten, seldom enough to be read.
const REPEAT_DEFAULT: Duration = Duration::from_secs(4 * 3600);

/// The only version of Alertmanager's API; the one before went away in 2024.
const API_VERSION: &str = "v2";

/// Who is told about alerts, and what.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Alerting {
    /// Applied to alerts once the external labels are on them.
    pub relabel: Vec<RelabelRule>,
    /// Alertmanagers; each of all is told about every alert.
    pub alertmanagers: Vec<AlertmanagerJob>,
    /// Told directly.
    pub webhooks: Vec<Webhook>,
}

/// One of the `alertmanagers`: a way to find some.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertmanagerJob {
    /// `http` or `https`, unless relabelling says otherwise.
    pub scheme: String,
    /// What is posted to, below the address.
    pub path: String,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Credentials, and whom to believe.
    pub http: HttpOptions,
    /// Where they are listed.
    pub discovery: Vec<Discovery>,
    /// Applied to what is listed.
    pub relabel: Vec<RelabelRule>,
    /// Applied to alerts that these are told about.
    pub alert_relabel: Vec<RelabelRule>,
}

/// One of the `webhooks`: an address that takes what Alertmanager's webhook receivers take.
#[derive(Debug, Clone, PartialEq)]
pub struct Webhook {
    /// What is posted to.
    pub url: Url,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How soon a firing alert is told about again.
    pub repeat_interval: Duration,
    /// Whether the end of an alert is told.
    pub send_resolved: bool,
    /// Credentials, and whom to believe.
    pub http: HttpOptions,
    /// Applied to alerts that this one is told about.
    pub alert_relabel: Vec<RelabelRule>,
}

impl Checker<'_> {
    pub(super) fn alerting(&self, raw: raw::Alerting) -> Result<Alerting, DocumentError> {
        let place = |list: &str, i: usize| format!("alerting.{list}[{i}]");
        let alertmanagers = raw.alertmanagers.into_iter().enumerate();
        let webhooks = raw.webhooks.into_iter().enumerate();
        Ok(Alerting {
            relabel: self.relabelling("alerting.alert_relabel_configs", raw.alert_relabel_configs)?,
            alertmanagers: alertmanagers
                .map(|(i, job)| self.alertmanagers(&place("alertmanagers", i), job))
                .collect::<Result<_, _>>()?,
            webhooks: webhooks.map(|(i, one)| self.webhook(&place("webhooks", i), one)).collect::<Result<_, _>>()?,
        })
    }

    fn alertmanagers(&self, place: &str, mut raw: raw::Alertmanagers) -> Result<AlertmanagerJob, DocumentError> {
        let scheme = raw.scheme.take().unwrap_or_else(|| "http".to_owned()).to_lowercase();
        if !["http", "https"].contains(&&*scheme) {
            return Err(self.wrong(place, "scheme", &format!("{scheme:?} is not a scheme; there are http and https")));
        }
        if let Some(version) = raw.api_version.as_deref().filter(|version| *version != API_VERSION) {
            let message = format!("{version:?} is not a version that Alertmanager still has; there is {API_VERSION}");
            return Err(self.wrong(place, "api_version", &message));
        }
        let http = http::check(raw.take_http(), self.folder);
        let http = http.map_err(|(field, message)| self.wrong(place, field, &message))?;
        let relabel = std::mem::take(&mut raw.relabel_configs);
        let alert_relabel = std::mem::take(&mut raw.alert_relabel_configs);
        let discovery = self.discovery(place, raw.take_sources())?;
        let listed = discovery.iter().flat_map(|discovery| match discovery {
            Discovery::Static(groups) => groups.as_slice(),
            _ => &[],
        });
        if let Some(bad) = listed.flat_map(|group| &group.targets).find(|target| target.contains('/')) {
            let message =
                format!("{bad:?} is not an address of the form host:port; the rest of a URL has fields of its own");
            return Err(self.wrong(place, "static_configs", &message));
        }
        Ok(AlertmanagerJob {
            scheme,
            path: path(raw.path_prefix.as_deref().unwrap_or_default()),
            timeout: self.interval(&format!("{place}.timeout"), raw.timeout, TIMEOUT_DEFAULT)?,
            http,
            discovery,
            relabel: self.relabelling(&format!("{place}.relabel_configs"), relabel)?,
            alert_relabel: self.relabelling(&format!("{place}.alert_relabel_configs"), alert_relabel)?,
        })
    }

    fn webhook(&self, place: &str, mut raw: raw::Webhook) -> Result<Webhook, DocumentError> {
        let http = http::check(raw.take_http(), self.folder);
        let http = http.map_err(|(field, message)| self.wrong(place, field, &message))?;
        // The address stays out of the message, for it is often its own password.
        let url = Url::parse(&raw.url).map_err(|error| self.wrong(place, "url", &format!("is not a URL: {error}")))?;
        if !["http", "https"].contains(&url.scheme()) || url.host_str().is_none() {
            return Err(self.wrong(place, "url", "is not a URL of the form http://host/path or https://host/path"));
        }
        Ok(Webhook {
            url,
            timeout: self.interval(&format!("{place}.timeout"), raw.timeout, TIMEOUT_DEFAULT)?,
            repeat_interval: self.interval(&format!("{place}.repeat_interval"), raw.repeat_interval, REPEAT_DEFAULT)?,
            send_resolved: raw.send_resolved.unwrap_or(true),
            http,
            alert_relabel: self.relabelling(&format!("{place}.alert_relabel_configs"), raw.alert_relabel_configs)?,
        })
    }
}

/// The path of the API below a prefix, with one slash between any two parts.
fn path(prefix: &str) -> String {
    let parts = prefix.split('/').filter(|part| !part.is_empty()).chain(["api", API_VERSION, "alerts"]);
    parts.fold(String::new(), |path, part| path + "/" + part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::http::Authorization;

    fn read(alerting: &str) -> Result<Alerting, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("scrape.yml");
        let indented: String = alerting.lines().map(|line| format!("  {line}\n")).collect();
        std::fs::write(&file, format!("alerting:\n{indented}")).unwrap();
        crate::config::load(&file).map(|config| config.alerting).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_what_prometheus_reads_and_webhooks() {
        let alerting = read(
            "alert_relabel_configs: [{ action: labeldrop, regex: replica }]\n\
             alertmanagers:\n\
             - scheme: HTTPS\n  path_prefix: /am/\n  timeout: 3s\n  api_version: v2\n  \
               basic_auth: { username: u, password: p }\n  static_configs: [{ targets: ['a:9093', 'b:9093'] }]\n  \
               file_sd_configs: [{ files: [am.yml] }]\n  relabel_configs: [{ target_label: x, replacement: y }]\n  \
               alert_relabel_configs: [{ action: drop, source_labels: [severity], regex: info }]\n\
             - static_configs: [{ targets: ['c:9093'] }]\n\
             webhooks:\n\
             - { url: 'http://127.0.0.1:1/hook', repeat_interval: 1h, send_resolved: false }\n",
        )
        .unwrap();
        let [first, second] = alerting.alertmanagers.as_slice() else { panic!("{alerting:?}") };
        assert_eq!((&*first.scheme, &*first.path, first.timeout.as_secs()), ("https", "/am/api/v2/alerts", 3));
        assert_eq!((&*second.scheme, &*second.path, second.timeout.as_secs()), ("http", "/api/v2/alerts", 10));
        assert!(matches!(first.http.authorization, Some(Authorization::Basic { .. })));
        assert_eq!((first.discovery.len(), first.relabel.len(), first.alert_relabel.len()), (2, 1, 1));
        let [webhook] = alerting.webhooks.as_slice() else { panic!("{alerting:?}") };
        assert_eq!((webhook.timeout.as_secs(), webhook.repeat_interval.as_secs()), (10, 3600));
        assert!(!webhook.send_resolved && alerting.relabel.len() == 1);
    }

    #[test]
    fn says_place_and_what_is_wrong() {
        for (text, message) in [
            (
                "alertmanagers: [{ scheme: ftp }]",
                "alerting.alertmanagers[0].scheme: \"ftp\" is not a scheme; there are",
            ),
            ("alertmanagers: [{ api_version: v1 }]", "alerting.alertmanagers[0].api_version: \"v1\" is not a version"),
            ("alertmanagers: [{ sigv4: {} }]", "alerting.alertmanagers[0].sigv4: Prometheus knows this field, but"),
            (
                "alertmanagers: [{ static_configs: [{ targets: ['http://a:1/'] }] }]",
                "alerting.alertmanagers[0].static_configs: \"http://a:1/\" is not an address of the form host:port; the",
            ),
            ("alertmanagers: [{ timeout: 0s }]", "alerting.alertmanagers[0].timeout: must be longer than 0"),
            ("webhooks: [{ url: secret }]", "alerting.webhooks[0].url: is not a URL: relative URL without a base"),
            (
                "webhooks: [{ url: 'ftp://secret' }]",
                "alerting.webhooks[0].url: is not a URL of the form http://host/path",
            ),
            ("webhooks: [{}]", "alerting.webhooks[0]: missing field"),
            ("alert_relabel_configs: [{ regex: '(' }]", "alerting.alert_relabel_configs[0].regex: "),
        ] {
            let found = read(text).unwrap_err();
            assert!(found.contains(message) && !found.contains("secret"), "{text}: {found}");
        }
    }
}

//! `kubernetes_sd_configs`, checked as Prometheus checks them. Knows neither the API server nor its types.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use url::Url;

use super::http::{self, HttpOptions, Wrong};
use super::raw::kubernetes as raw;

/// One of the `kubernetes_sd_configs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesDiscovery {
    /// What becomes a target.
    pub role: Role,
    /// Where it is asked for.
    pub server: ApiServer,
    /// Namespaces to look into; empty is all.
    pub namespaces: Vec<String>,
    /// Whether the collector's own namespace is one of them.
    pub own_namespace: bool,
    /// What restricts each kind of object.
    pub selectors: BTreeMap<Role, Selector>,
    /// Whether targets get the labels of their node.
    pub attach_node: bool,
    /// Whether targets get the labels of their namespace.
    pub attach_namespace: bool,
}

/// Kinds of objects that become targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// `pod`
    Pod,
    /// `node`
    Node,
    /// `service`
    Service,
    /// `endpointslice`
    EndpointSlice,
}

/// Names as the configuration has them.
const ROLES: [(&str, Role); 4] =
    [("pod", Role::Pod), ("node", Role::Node), ("service", Role::Service), ("endpointslice", Role::EndpointSlice)];

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ROLES.iter().find(|(_, role)| role == self).map_or("", |(name, _)| name))
    }
}

/// Which API server, and as whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ApiServer {
    /// The cluster that this pod runs in, as the pod's service account.
    InCluster,
    /// The current context of a file.
    Kubeconfig(PathBuf),
    /// This address.
    At {
        /// Its address.
        url: Url,
        /// How it is called.
        http: Box<HttpOptions>,
    },
}

/// Restricts objects on the API server's side.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Selector {
    /// By labels; empty is all.
    pub label: String,
    /// By fields; empty is all.
    pub field: String,
}

/// Checks one; files are named relative to `folder`.
pub(super) fn check(mut raw: raw::KubernetesSdConfig, folder: &Path) -> Result<KubernetesDiscovery, Wrong> {
    let role = match raw.role.as_deref() {
        None | Some("") => return Err(("role", format!("is missing; there are {}", role_names()))),
        Some(name) => parse_role(name).map_err(|message| ("role", message))?,
    };
    let server = server(&mut raw, folder)?;
    let own_namespace = raw.namespaces.own_namespace;
    if own_namespace && server != ApiServer::InCluster {
        let message = "is only known inside the cluster: remove it, or api_server and kubeconfig_file".to_owned();
        return Err(("namespaces.own_namespace", message));
    }
    Ok(KubernetesDiscovery {
        role,
        server,
        namespaces: raw.namespaces.names,
        own_namespace,
        selectors: selectors(role, raw.selectors)?,
        attach_node: raw.attach_metadata.node,
        attach_namespace: raw.attach_metadata.namespace,
    })
}

fn role_names() -> String {
    ROLES.map(|(name, _)| name).join(", ")
}

fn parse_role(name: &str) -> Result<Role, String> {
    match name {
        "endpoints" => Err("\"endpoints\" is not supported: Kubernetes has put endpoint slices in their place; write \
                            role: endpointslice, and __meta_kubernetes_endpointslice_* for __meta_kubernetes_endpoint_*"
            .to_owned()),
        "ingress" => {
            Err("Prometheus knows the role \"ingress\", but this collector does not support it yet".to_owned())
        }
        _ => {
            let known = ROLES.iter().find(|(known, _)| *known == name).map(|(_, role)| *role);
            known.ok_or_else(|| format!("{name:?} is not a role; there are {}", role_names()))
        }
    }
}

fn server(raw: &mut raw::KubernetesSdConfig, folder: &Path) -> Result<ApiServer, Wrong> {
    let http = raw.take_http();
    let has_options = http != super::raw::http::HttpClient::default();
    let kubeconfig = raw.kubeconfig_file.take().filter(|path| !path.as_os_str().is_empty());
    match (raw.api_server.take().filter(|url| !url.is_empty()), kubeconfig) {
        (Some(_), Some(_)) => Err(("kubeconfig_file", "and api_server may not both be given; remove one".to_owned())),
        (None, Some(_)) if has_options => {
            let message = "says itself how the API server is called; remove authorization and tls_config".to_owned();
            Err(("kubeconfig_file", message))
        }
        (None, None) if has_options => {
            Err(("api_server", "is missing: authorization and tls_config need it".to_owned()))
        }
        (None, Some(path)) => Ok(ApiServer::Kubeconfig(folder.join(path))),
        (None, None) => Ok(ApiServer::InCluster),
        (Some(text), None) => {
            let url = Url::parse(&text).map_err(|error| ("api_server", format!("{text:?} is not a URL: {error}")))?;
            if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
                return Err(("api_server", format!("{text:?} is no address of the form https://host:port")));
            }
            Ok(ApiServer::At { url, http: Box::new(http::check(http, folder)?) })
        }
    }
}

fn selectors(role: Role, raw: Vec<raw::Selector>) -> Result<BTreeMap<Role, Selector>, Wrong> {
    let allowed: &[Role] = match role {
        Role::Pod => &[Role::Pod, Role::Node],
        Role::Node => &[Role::Node],
        Role::Service => &[Role::Service],
        Role::EndpointSlice => &[Role::Pod, Role::Service, Role::EndpointSlice],
    };
    let mut found = BTreeMap::new();
    for selector in raw {
        let of = parse_role(&selector.role).map_err(|message| ("selectors", message))?;
        if !allowed.contains(&of) {
            let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
            return Err((
                "selectors",
                format!("the role {role} takes selectors for {}, not for {of}", allowed.join(", ")),
            ));
        }
        if found.insert(of, Selector { label: selector.label, field: selector.field }).is_some() {
            return Err(("selectors", format!("there are two for the role {of}; join them with a comma")));
        }
    }
    Ok(found)
}

//! Which objects are watched: the same scope, the same watch. Pure.

use std::fmt;

use crate::config::kubernetes::{ApiServer, Role, Selector};

/// Which objects.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    pub server: ApiServer,
    pub kind: Kind,
    pub place: Place,
    pub selector: Selector,
}

/// Kinds of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Pod,
    Node,
    Service,
    EndpointSlice,
    Namespace,
}

/// Where they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Place {
    Cluster,
    Namespace(String),
    OwnNamespace,
}

impl From<Role> for Kind {
    fn from(role: Role) -> Self {
        match role {
            Role::Pod => Self::Pod,
            Role::Node => Self::Node,
            Role::Service => Self::Service,
            Role::EndpointSlice => Self::EndpointSlice,
        }
    }
}

impl fmt::Display for Scope {
    /// As a right is called: `pods in the namespace shop`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Pod => "pods",
            Kind::Node => "nodes",
            Kind::Service => "services",
            Kind::EndpointSlice => "endpointslices.discovery.k8s.io",
            Kind::Namespace => "namespaces",
        })?;
        match &self.place {
            Place::Cluster => f.write_str(" in the whole cluster")?,
            Place::Namespace(name) => write!(f, " in the namespace {name}")?,
            Place::OwnNamespace => f.write_str(" in the collector's own namespace")?,
        }
        for selector in [&self.selector.label, &self.selector.field].into_iter().filter(|text| !text.is_empty()) {
            write!(f, " where {selector}")?;
        }
        Ok(())
    }
}

//! Binds Services to addresses: each to one of its own inside 127.0.0.0/8, some to one of the caller's choice as well; and says what
//! replicas read of them in their environment. Carries no traffic: see `proxy`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use lifecycle::listen;
use tokio::net::TcpListener;

use super::address::Addresses;
use super::environment::ServiceVariables;
use super::manifest::Manifests;
use super::manifest::model::ServicePort;
use super::proxy::Route;
use super::reconciler::Endpoint;
use super::{ExternalService, LocalError, Options};

/// What came of it: the addresses drawn, each Service's ports with theirs, and a listener for each.
type Bound = (Addresses, Vec<(Endpoint, SocketAddr)>, Vec<(TcpListener, Arc<Route>)>);

/// Gives every Service an address of its own and listens there.
pub(super) async fn bind_services(manifests: &Manifests) -> Result<Bound, LocalError> {
    let ports: BTreeSet<u16> = manifests.services.iter().flat_map(|s| &s.ports).map(|port| port.port).collect();
    let addresses = Addresses::draw(&ports)?;
    let (mut endpoints, mut listeners) = (Vec::new(), Vec::new());
    for (position, service) in manifests.services.iter().enumerate() {
        for (index, ServicePort { port, .. }) in service.ports.iter().enumerate() {
            let address = SocketAddr::from((addresses.service(position), *port));
            let failed = |source| LocalError::Service { service: service.name.clone(), address, source };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            let route = Route::new(&service.name);
            listeners.push((listener, route.clone()));
            endpoints.push((Endpoint { service: service.clone(), port: index, route }, address));
        }
    }
    Ok((addresses, endpoints, listeners))
}

/// Listens at the addresses that the caller chose, too.
pub(super) async fn bind_exposed(
    options: &Options,
    endpoints: &[(Endpoint, SocketAddr)],
    listeners: &mut Vec<(TcpListener, Arc<Route>)>,
) -> Result<Vec<SocketAddr>, LocalError> {
    let mut exposed = Vec::new();
    for expose in &options.expose {
        let wanted = |endpoint: &Endpoint| {
            let name = endpoint.service.ports[endpoint.port].name.as_deref();
            endpoint.service.name == expose.service && name == Some(expose.port.as_str())
        };
        let found = endpoints.iter().find(|(endpoint, _)| wanted(endpoint));
        let missing = || LocalError::NotThere { service: expose.service.clone(), port: expose.port.clone() };
        let (endpoint, _) = found.ok_or_else(missing)?;
        let listener = listen(expose.address, &expose.flag).await?;
        exposed.push(listener.local_addr().map_err(LocalError::Spawner)?);
        listeners.push((listener, endpoint.route.clone()));
    }
    Ok(exposed)
}

/// A Service's port as `Endpoints` tells it.
pub(super) fn described(endpoint: &Endpoint, address: SocketAddr) -> (String, Option<String>, SocketAddr) {
    (endpoint.service.name.clone(), endpoint.service.ports[endpoint.port].name.clone(), address)
}

/// What replicas find of Services in their environment, by namespace.
pub(super) fn service_variables(
    endpoints: &[(Endpoint, SocketAddr)],
    external: &[ExternalService],
) -> BTreeMap<String, Vec<ServiceVariables>> {
    let outside: Vec<ServiceVariables> = external
        .iter()
        .map(|service| ServiceVariables {
            name: service.name.clone(),
            ip: service.ip,
            ports: service.ports.iter().map(|(name, port)| (Some(name.clone()), *port)).collect(),
        })
        .collect();
    let mut variables: BTreeMap<String, Vec<ServiceVariables>> = BTreeMap::new();
    for (endpoint, address) in endpoints.iter().filter(|(endpoint, _)| endpoint.port == 0) {
        let service = &endpoint.service;
        let ports = service.ports.iter().map(|port| (port.name.clone(), port.port)).collect();
        let known = variables.entry(service.namespace.clone()).or_insert_with(|| outside.clone());
        known.push(ServiceVariables { name: service.name.clone(), ip: address.ip(), ports });
    }
    variables
}

//! Addresses for the demo's programs: the one asked for, else the usual one, else any free one.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// An address on this machine with the usual port if it is free, else with any free port.
pub fn usual_or_free(port: u16) -> std::io::Result<SocketAddr> {
    free(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).or_else(|_| any_free())
}

/// An address on this machine with a free port.
pub fn any_free() -> std::io::Result<SocketAddr> {
    free(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}

/// The address, with its port filled in if that was 0; an error if it is taken.
pub fn free(address: SocketAddr) -> std::io::Result<SocketAddr> {
    TcpListener::bind(address)?.local_addr()
}

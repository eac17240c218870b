//! Addresses for the demo's programs: the one asked for, else the usual one, else any free one. Each is held until its
//! program takes it over, so that a second demo that starts at the same moment finds others.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// An address that nobody else gets.
pub struct Held {
    address: SocketAddr,
    _listener: TcpListener,
}

impl Held {
    /// Where it is reached from this machine, its port filled in.
    pub fn address(&self) -> SocketAddr {
        reached(self.address)
    }

    /// Lets go of the address, for the program that takes it now.
    pub fn release(self) -> SocketAddr {
        self.address
    }
}

/// An address on this machine with the usual port if it is free, else with any free port.
pub fn usual_or_free(port: u16) -> std::io::Result<Held> {
    hold(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).or_else(|_| any_free())
}

/// An address on this machine with a free port.
pub fn any_free() -> std::io::Result<Held> {
    hold(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}

/// The address, with its port filled in if that was 0; an error if it is taken.
pub fn hold(address: SocketAddr) -> std::io::Result<Held> {
    let listener = lifecycle::listen::open(address)?;
    Ok(Held { address: listener.local_addr()?, _listener: listener })
}

/// Where a program of this machine reaches who listens at this address, which may be all addresses.
pub fn reached(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() { SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())) } else { address }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_port_is_free_again_for_its_program_only() {
        let first = any_free().unwrap();
        let port = first.address().port();
        assert_ne!(usual_or_free(port).unwrap().address().port(), port);
        let address = first.release();
        assert!(TcpListener::bind(address).is_ok());
    }

    #[test]
    fn all_addresses_are_reached_at_this_machines_own() {
        let all = hold(lifecycle::listen::parse(":0").unwrap()).unwrap();
        assert!(all.address().ip().is_loopback() && all.address().port() != 0);
        assert!(std::net::TcpStream::connect(all.address()).is_ok());
        assert!(all.release().ip().is_unspecified(), "and listened on everywhere");
    }
}

//! Addresses for the demo's programs: the one asked for, else the usual one, else any free one. Each is held until its
//! program takes it over, so that a second demo that starts at the same moment finds others.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// An address that nobody else gets.
pub struct Held {
    address: SocketAddr,
    _listener: TcpListener,
}

impl Held {
    /// The address, its port filled in.
    pub fn address(&self) -> SocketAddr {
        self.address
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
    let listener = TcpListener::bind(address)?;
    Ok(Held { address: listener.local_addr()?, _listener: listener })
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
}

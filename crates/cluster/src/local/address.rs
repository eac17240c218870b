//! Addresses inside 127.0.0.0/8: one for each Service, one for each replica, as a cluster gives them. On Linux all of
//! 127/8 is loopback without any set-up. Each run draws its own 127.R.0.0/16; an address is handed out only after its
//! ports could be bound.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpListener};

/// How many second octets are tried before giving up; every other run on this machine holds one.
const ATTEMPTS: usize = 32;

/// Last octets in use: 1 to 254, as in any /24.
const HOSTS: u32 = 254;

/// Third octets of replicas: 1 to 255; 0 belongs to the Services.
const NETS: u32 = 255;

/// Why no address could be had.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// A port is taken or may not be bound.
    #[error("cannot listen on port {port} of addresses such as {ip}: {source}")]
    Bind {
        /// The last address tried.
        ip: Ipv4Addr,
        /// The port.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// All are in use.
    #[error("no address of 127.{net}.0.0/16 is free")]
    Exhausted {
        /// The second octet.
        net: u8,
    },
}

/// Hands out addresses of one 127.R.0.0/16.
#[derive(Debug)]
pub(super) struct Addresses {
    net: u8,
    next: u32,
    used: BTreeSet<Ipv4Addr>,
}

impl Addresses {
    /// Draws a network in which the first Service address can be bound on `ports`.
    pub fn draw(ports: &BTreeSet<u16>) -> Result<Self, AddressError> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let addresses = Self { net: rand::random_range(1..=254), next: 0, used: BTreeSet::new() };
            match can_bind(addresses.service(0), ports) {
                Ok(()) => return Ok(addresses),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or(AddressError::Exhausted { net: 0 }))
    }

    /// The address of the Service with this position.
    pub fn service(&self, position: usize) -> Ipv4Addr {
        let host = u8::try_from(position % 254).expect("a remainder below 254 fits") + 1;
        Ipv4Addr::new(127, self.net, 0, host)
    }

    /// An address for a replica on which `ports` are free.
    pub fn replica(&mut self, ports: &BTreeSet<u16>) -> Result<IpAddr, AddressError> {
        let mut last = AddressError::Exhausted { net: self.net };
        let mut failures = 0;
        for _ in 0..HOSTS * NETS {
            let ip = self.advance();
            if self.used.contains(&ip) {
                continue;
            }
            match can_bind(ip, ports) {
                Ok(()) => {
                    self.used.insert(ip);
                    return Ok(IpAddr::V4(ip));
                }
                Err(error) => last = error,
            }
            failures += 1;
            if failures >= ATTEMPTS {
                break;
            }
        }
        Err(last)
    }

    /// Takes an address back.
    pub fn release(&mut self, ip: IpAddr) {
        if let IpAddr::V4(ip) = ip {
            self.used.remove(&ip);
        }
    }

    fn advance(&mut self) -> Ipv4Addr {
        let position = self.next % (HOSTS * NETS);
        self.next = self.next.wrapping_add(1);
        let net = u8::try_from(position / HOSTS + 1).expect("below 256 by the remainder above");
        let host = u8::try_from(position % HOSTS + 1).expect("below 255 by the remainder");
        Ipv4Addr::new(127, self.net, net, host)
    }
}

fn can_bind(ip: Ipv4Addr, ports: &BTreeSet<u16>) -> Result<(), AddressError> {
    for &port in ports {
        TcpListener::bind((ip, port)).map_err(|source| AddressError::Bind { ip, port, source })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skips_an_address_whose_port_is_taken() {
        let mut addresses = Addresses::draw(&BTreeSet::new()).unwrap();
        let blocker = TcpListener::bind((Ipv4Addr::new(127, addresses.net, 1, 1), 0)).unwrap();
        let ports = BTreeSet::from([blocker.local_addr().unwrap().port()]);
        assert_eq!(addresses.replica(&ports).unwrap(), Ipv4Addr::new(127, addresses.net, 1, 2));
    }

    #[test]
    fn never_hands_out_an_address_twice() {
        let mut addresses = Addresses::draw(&BTreeSet::new()).unwrap();
        let drawn: BTreeSet<_> = (0..600).map(|_| addresses.replica(&BTreeSet::new()).unwrap()).collect();
        assert_eq!(drawn.len(), 600);
        addresses.next = 0;
        assert!(!drawn.contains(&addresses.replica(&BTreeSet::new()).unwrap()));
    }
}

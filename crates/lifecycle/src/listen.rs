//! Opening a listening port: how an address is written, all addresses of both families at once, and an error that names the port
//! and the flag to change it. Start at `listen`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// Connections that may wait to be accepted: what tokio asks for too; the kernel's own limit (4096 on Linux) is above it.
const BACKLOG: i32 = 1024;

/// A port that could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {}; choose another address with {flag}", reason(source))]
pub struct ListenError {
    address: SocketAddr,
    flag: String,
    source: io::Error,
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there already".to_owned(),
        _ => error.to_string(),
    }
}

/// Reads an address as Prometheus' `--web.listen-address` has it: `127.0.0.1:9090`, `[::1]:9090`, or `:9090` for all addresses,
/// which is `[::]:9090`. For clap's `value_parser`.
///
/// # Errors
/// What was expected, in words.
pub fn parse(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').and_then(|port| port.parse::<u16>().ok());
    if let Some(port) = port {
        return Ok(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
    }
    text.parse().map_err(|_| {
        "expected ADDRESS:PORT such as 127.0.0.1:9090 or [::1]:9090, or :PORT such as :9090 for all addresses"
            .to_owned()
    })
}

/// Listens on `address`; `flag` is the command line's name for it. Port 0 takes any free port. `[::]` is all addresses of both
/// families, and where the machine has no IPv6, those of IPv4.
///
/// # Errors
/// When the address is taken or not this machine's.
pub async fn listen(address: SocketAddr, flag: &str) -> Result<TcpListener, ListenError> {
    let opened = open(address).and_then(TcpListener::from_std);
    opened.map_err(|source| ListenError { address, flag: flag.to_owned(), source })
}

/// The same for whoever needs the port before there is a runtime: a listener that does not block.
///
/// # Errors
/// When the address is taken or not this machine's.
pub fn open(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    open_by(address, socket)
}

fn open_by<T>(address: SocketAddr, open: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    match open(address) {
        Err(error) if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && is_without_ipv6(&error) => {
            open(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
        }
        opened => opened,
    }
}

/// A kernel without IPv6 knows no such sockets; one where it is switched off may know them and have no address for them.
fn is_without_ipv6(error: &io::Error) -> bool {
    let without = [Errno::AFNOSUPPORT, Errno::PROTONOSUPPORT, Errno::ADDRNOTAVAIL];
    error.raw_os_error().is_some_and(|code| without.iter().any(|errno| errno.raw_os_error() == code))
}

fn socket(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        // Else the system's net.ipv6.bindv6only would decide.
        socket.set_only_v6(false)?;
    }
    // As std and tokio do: a port whose last connections are still being forgotten is free.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests;

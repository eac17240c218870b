//! Opening a listening port, with an error that names the port and the flag to change it.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

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

/// Listens on `address`; `flag` is the command line's name for it. Port 0 takes any free port.
pub async fn listen(address: SocketAddr, flag: &str) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError { address, flag: flag.to_owned(), source })
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn a_taken_port_names_itself_and_the_flag() {
        let first = super::listen("127.0.0.1:0".parse().unwrap(), "--collector").await.unwrap();
        let address = first.local_addr().unwrap();
        let message = super::listen(address, "--collector").await.unwrap_err().to_string();
        let expected = format!(
            "cannot listen on {address}: another program listens there already; choose another address with --collector"
        );
        assert_eq!(message, expected);
    }
}

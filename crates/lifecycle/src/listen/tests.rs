//! Claims about ports: both families, none of IPv6, and what is said of one that is taken.

use std::cell::RefCell;

use super::*;

#[tokio::test]
async fn a_taken_port_names_itself_and_the_flag() {
    let first = listen("127.0.0.1:0".parse().unwrap(), "--collector").await.unwrap();
    let address = first.local_addr().unwrap();
    let message = listen(address, "--collector").await.unwrap_err().to_string();
    let expected = format!(
        "cannot listen on {address}: another program listens there already; choose another address with --collector"
    );
    assert_eq!(message, expected);
}

#[test]
fn a_bare_port_means_all_addresses() {
    assert_eq!(parse(":9090"), Ok("[::]:9090".parse().unwrap()));
    for address in ["127.0.0.1:9090", "[::1]:0", "0.0.0.0:80", "[::]:80"] {
        assert_eq!(parse(address), Ok(address.parse().unwrap()));
    }
    for wrong in ["9090", ":", ":65536", "::1:9090", "localhost", ""] {
        assert!(parse(wrong).unwrap_err().contains(":9090 for all addresses"), "{wrong}");
    }
}

#[tokio::test]
async fn all_addresses_are_those_of_both_families() {
    let listener = listen(parse(":0").unwrap(), "--listen").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut families: Vec<IpAddr> = vec![Ipv4Addr::LOCALHOST.into()];
    if std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        families.push(Ipv6Addr::LOCALHOST.into());
    }
    for ip in families {
        let (near, far) = tokio::join!(tokio::net::TcpStream::connect((ip, port)), listener.accept());
        assert!(near.is_ok(), "{ip}: {near:?}");
        assert_eq!(far.unwrap().1.ip().to_canonical(), ip);
    }
}

#[test]
fn without_ipv6_all_addresses_are_those_of_ipv4() {
    for errno in [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL] {
        let asked = RefCell::new(Vec::new());
        let without = |address: SocketAddr| {
            asked.borrow_mut().push(address);
            if address.is_ipv6() { Err(io::Error::from(errno)) } else { Ok(()) }
        };
        open_by("[::]:9090".parse().unwrap(), without).unwrap();
        assert_eq!(*asked.borrow(), ["[::]:9090", "0.0.0.0:9090"].map(|text| text.parse().unwrap()));
        let named = open_by("[fd00::1]:9090".parse().unwrap(), without);
        assert!(named.is_err(), "an address that was named is not exchanged for another");
    }
    let taken = |address: SocketAddr| if address.is_ipv6() { Err(io::Error::from(Errno::ADDRINUSE)) } else { Ok(()) };
    assert!(open_by("[::]:9090".parse().unwrap(), taken).is_err(), "a taken port is not half taken");
}

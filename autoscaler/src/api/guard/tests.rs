//! Claims about who may change something.

use super::*;

const TOKEN: &str = "0123456789abcdef";
const NEAR: &str = "127.0.0.1";
const FAR: &str = "10.0.0.7";

fn judged(peer: &str, headers: &[(&str, &str)], token: Option<&str>) -> Result<(), Refusal> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    judge(peer.parse().unwrap(), &map, token)
}

#[test]
fn with_a_token_only_who_sends_it_may_wherever_he_is() {
    let right = [("authorization", "Bearer 0123456789abcdef")];
    for peer in [NEAR, FAR] {
        assert_eq!(judged(peer, &right, Some(TOKEN)), Ok(()));
        assert_eq!(judged(peer, &[("authorization", "bearer  0123456789abcdef")], Some(TOKEN)), Ok(()));
        assert_eq!(judged(peer, &[], Some(TOKEN)), Err(Refusal::NoToken), "a sidecar makes everybody look near");
        for wrong in [
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdeg",
            "Bearer",
            "Basic 0123456789abcdef",
            "0123456789abcdef",
        ] {
            assert_eq!(judged(peer, &[("authorization", wrong)], Some(TOKEN)), Err(Refusal::WrongToken), "{wrong}");
        }
    }
}

#[test]
fn without_a_token_only_this_machine_may() {
    for near in [NEAR, "127.8.0.1", "::1", "::ffff:127.0.0.1"] {
        assert_eq!(judged(near, &[], None), Ok(()), "{near}");
    }
    for (far, shown) in [(FAR, FAR), ("::ffff:10.0.0.7", FAR), ("fd00::7", "fd00::7")] {
        assert_eq!(judged(far, &[], None), Err(Refusal::Stranger(shown.parse().unwrap())));
        assert_eq!(judged(far, &[("authorization", "Bearer x")], None), Err(Refusal::Stranger(shown.parse().unwrap())));
    }
    let words = Refusal::Stranger(FAR.parse().unwrap()).to_string();
    assert!(words.starts_with("10.0.0.7 may change nothing") && words.contains("--api-token-file"), "{words}");
}

#[test]
fn a_page_from_elsewhere_may_not_whatever_name_it_found_for_this_machine() {
    let from = |origin: &str, host: &str, token: Option<&str>| {
        let headers = [("origin", origin), ("host", host), ("authorization", "Bearer 0123456789abcdef")];
        judged(NEAR, &headers, token).is_ok()
    };
    for token in [None, Some(TOKEN)] {
        for (origin, host) in [
            ("http://localhost:9091", "localhost:9091"),
            ("http://127.0.0.1:9091", "127.0.0.1:9091"),
            ("http://[::1]:9091", "[::1]:9091"),
        ] {
            assert!(from(origin, host, token), "{origin} {host}");
        }
        for (origin, host) in [
            ("http://evil.example", "127.0.0.1:9091"),
            ("http://127.0.0.1:8080", "127.0.0.1:9091"),
            ("null", "127.0.0.1:9091"),
            ("", "127.0.0.1:9091"),
        ] {
            assert!(!from(origin, host, token), "{origin} {host}");
        }
    }
    assert!(!from("http://evil.example:9091", "evil.example:9091", None), "a name that was bound anew to this machine");
    assert!(from("https://scaling.example", "scaling.example", Some(TOKEN)));
}

#[test]
fn what_a_form_can_send_is_refused() {
    for kind in ["application/x-www-form-urlencoded", "text/plain; charset=utf-8", "Multipart/Form-Data; boundary=x"] {
        let found = judged(NEAR, &[("content-type", kind)], None);
        assert_eq!(found, Err(Refusal::Form(kind.to_ascii_lowercase())));
    }
    assert_eq!(judged(NEAR, &[("content-type", "application/json")], None), Ok(()));
}

#[tokio::test]
async fn a_token_that_is_exchanged_counts_at_once_and_a_file_that_is_gone_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    for (text, words) in [("", "it is empty"), ("two words\n", "it holds more than a token")] {
        std::fs::write(&path, text).unwrap();
        let message = ApiToken::open(&path).await.unwrap_err().to_string();
        assert!(message.contains(words) && message.contains("openssl rand -hex 32"), "{message}");
    }
    std::fs::write(&path, "first\n").unwrap();
    let token = ApiToken::open(&path).await.unwrap();
    assert_eq!(token.current().await, "first");
    std::fs::write(&path, "second").unwrap();
    assert_eq!(token.current().await, "second");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(token.current().await, "second");
    assert!(ApiToken::open(&path).await.unwrap_err().to_string().contains("cannot be read"));
}

#[test]
fn a_log_line_tells_who_it_was_and_no_more_than_fits() {
    let mut headers = HeaderMap::new();
    headers.insert(FORWARDED, HeaderValue::from_static("127.0.0.1"));
    headers.insert(PROXY_USER, HeaderValue::from_str(&"a".repeat(500)).unwrap());
    headers.insert(header::USER_AGENT, HeaderValue::from_static("curl/8"));
    let caller = Caller::of("[::ffff:10.0.0.7]:4711".parse().unwrap(), &headers).to_string();
    assert_eq!(caller, format!("10.0.0.7, for 127.0.0.1, user {}, by curl/8", "a".repeat(NAME_MAX)));
}

//! What is said when there is no way to the cluster: each cause by its own message, with a remedy.

use std::io::Write as _;

use super::*;

fn kubeconfig(server: &str, token: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: one\n\
         clusters: [{{name: c, cluster: {{server: \"{server}\"}}}}]\n\
         users: [{{name: u, user: {{token: {token}}}}}]\n\
         contexts: [{{name: one, context: {{cluster: c, user: u}}}}, {{name: lost, context: {{cluster: gone, user: u}}}}]\n"
    )
}

async fn refusal(text: &str, context: Option<&str>) -> String {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let access = Access { kubeconfig: Some(file.path().to_owned()), context: context.map(str::to_owned) };
    let error = Connection::open(&access).await.err().expect("there is no cluster");
    error.to_string().replace(&file.path().display().to_string(), "FILE")
}

/// Answers every request with one status, as an API server would.
async fn server(status: u16, message: &'static str) -> String {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = move || async move {
        let body = serde_json::json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
            "reason": "Unauthorized", "code": status,
        });
        (http::StatusCode::from_u16(status).unwrap(), axum::Json(body))
    };
    let router = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

#[tokio::test]
async fn a_kubeconfig_that_does_not_parse_is_named() {
    for text in ["contexts: {", "- a\n- b", "contexts: 7", "\u{0}"] {
        let refusal = refusal(text, None).await;
        assert!(refusal.starts_with("FILE: "), "{refusal}");
        assert!(refusal.contains("choose another file with --kubeconfig"), "{refusal}");
        assert!(!refusal.contains('\n'), "{refusal}");
    }
}

#[tokio::test]
async fn a_kubeconfig_that_is_not_there_is_named() {
    let access = Access { kubeconfig: Some("/no/such/kubeconfig".into()), context: None };
    let refusal = Connection::open(&access).await.err().unwrap().to_string();
    assert!(refusal.starts_with("/no/such/kubeconfig: ") && refusal.contains("No such file"), "{refusal}");
}

#[tokio::test]
async fn a_context_that_is_not_there_is_answered_with_those_that_are() {
    let refusal = refusal(&kubeconfig("http://127.0.0.1:1", "t"), Some("prod")).await;
    assert_eq!(refusal, "FILE: there is no context \"prod\"; there are: one, lost; choose one with --context");
}

#[tokio::test]
async fn a_context_without_its_cluster_is_a_mistake_of_the_file() {
    let refusal = refusal(&kubeconfig("http://127.0.0.1:1", "t"), Some("lost")).await;
    assert!(refusal.starts_with("FILE: ") && refusal.contains("gone"), "{refusal}");
}

#[tokio::test]
async fn a_dead_server_is_named_with_its_address() {
    let refusal = refusal(&kubeconfig("http://127.0.0.1:1", "t"), None).await;
    assert!(refusal.starts_with("the API server http://127.0.0.1:1 does not answer: "), "{refusal}");
    assert!(refusal.contains("refused"), "{refusal}");
}

#[tokio::test]
async fn credentials_that_are_not_accepted_are_not_taken_for_a_dead_server() {
    let url = server(401, "token has expired").await;
    let refusal = refusal(&kubeconfig(&url, "t"), None).await;
    assert!(refusal.contains("does not accept these credentials (token has expired)"), "{refusal}");
    assert!(refusal.contains("logging in again"), "{refusal}");
}

#[tokio::test]
async fn a_server_that_forbids_the_question_has_let_us_in() {
    for status in [403, 404] {
        let url = server(status, "no").await;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), kubeconfig(&url, "t")).unwrap();
        let connection = Connection::open(&Access { kubeconfig: Some(file.path().to_owned()), context: None }).await;
        assert_eq!(
            connection.map_err(|error| error.to_string()).map(|c| (c.namespace, c.user)),
            Ok(("default".to_owned(), String::new()))
        );
    }
}

//! The API server as plain HTTP, through `kubectl proxy`: enough to make, change and watch thousands of objects. Knows no types.

use anyhow::{Context, bail};
use bytes::Bytes;
use futures::stream::Stream;
use http::{Method, StatusCode};
use serde_json::Value;
use url::Url;

/// The API server.
#[derive(Debug, Clone)]
pub struct Api {
    base: Url,
    client: reqwest::Client,
}

impl Api {
    /// `base` is where `kubectl proxy` listens.
    pub fn new(base: Url) -> Self {
        Self { base, client: reqwest::Client::new() }
    }

    /// Makes an object; one that is there already is well.
    pub async fn create(&self, path: &str, object: &Value) -> anyhow::Result<()> {
        self.send(Method::POST, path, "application/json", Some(object), &[StatusCode::CONFLICT]).await.map(drop)
    }

    /// Merges into an object; one that is gone is well.
    pub async fn merge(&self, path: &str, change: &Value) -> anyhow::Result<()> {
        let content = "application/merge-patch+json";
        self.send(Method::PATCH, path, content, Some(change), &[StatusCode::NOT_FOUND]).await.map(drop)
    }

    /// Asks for an object to be deleted, and does not care whether it is there.
    pub async fn delete(&self, path: &str) {
        if let Err(error) = self.send(Method::DELETE, path, "application/json", None, &[StatusCode::NOT_FOUND]).await {
            eprintln!("not deleted: {error:#}");
        }
    }

    /// An object or a list.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let text = self.text(path).await?;
        serde_json::from_str(&text).with_context(|| format!("{path} gave no JSON"))
    }

    /// Whatever is there.
    pub async fn text(&self, path: &str) -> anyhow::Result<String> {
        Ok(self.send(Method::GET, path, "application/json", None, &[]).await?.text().await?)
    }

    /// A watch, as it comes.
    pub async fn stream(
        &self,
        path: &str,
    ) -> anyhow::Result<impl Stream<Item = reqwest::Result<Bytes>> + Unpin + use<>> {
        let answer = self.send(Method::GET, path, "application/json", None, &[]).await?;
        Ok(Box::pin(answer.bytes_stream()))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        content: &str,
        body: Option<&Value>,
        also_well: &[StatusCode],
    ) -> anyhow::Result<reqwest::Response> {
        let url = self.base.join(path)?;
        let mut request = self.client.request(method.clone(), url).header("content-type", content);
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let answer = request.send().await.with_context(|| format!("{method} {path}"))?;
        let status = answer.status();
        if !status.is_success() && !also_well.contains(&status) {
            bail!("{method} {path}: {status}: {}", answer.text().await.unwrap_or_default());
        }
        Ok(answer)
    }
}

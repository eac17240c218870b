//! Serves the generator's targets over HTTP on this machine, with gzip where it is asked for, as client libraries do; counts
//! who has been served how often. One path a side, so that each is counted apart and both get the same bytes.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Context;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use parking_lot::Mutex;

use super::generator::Generator;

/// What a target says in one second.
#[derive(Debug, Clone)]
struct Said {
    second: u64,
    plain: Bytes,
    gzip: Bytes,
}

/// All targets.
pub struct Targets {
    generator: Generator,
    began: Instant,
    said: Vec<Mutex<Option<Said>>>,
    scrapes: [AtomicU64; 2],
}

/// Targets that listen.
pub struct Listening {
    pub address: String,
    pub targets: Arc<Targets>,
}

impl Targets {
    /// Serves so many targets for as long as the runtime lives.
    pub async fn listen(generator: Generator, count: usize) -> anyhow::Result<Listening> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.context("no port is free")?;
        let address = listener.local_addr()?.to_string();
        let said = (0..count).map(|_| Mutex::default()).collect();
        let targets = Arc::new(Self { generator, began: Instant::now(), said, scrapes: Default::default() });
        let routes = Router::new().route("/{side}/{target}", get(answer)).with_state(Arc::clone(&targets));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(Listening { address, targets })
    }

    /// How often a side has been served.
    pub fn scrapes(&self, side: usize) -> u64 {
        self.scrapes[side].load(Ordering::Relaxed)
    }

    fn say(&self, target: usize) -> Said {
        let second = self.began.elapsed().as_secs();
        let mut last = self.said[target].lock();
        if let Some(said) = last.as_ref().filter(|said| said.second == second) {
            return said.clone();
        }
        let mut text = String::new();
        self.generator.exposition(target, second, &mut text);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(text.as_bytes()).expect("a buffer takes everything");
        let gzip = gzip.finish().expect("a buffer takes everything");
        let said = Said { second, plain: text.into(), gzip: gzip.into() };
        *last = Some(said.clone());
        said
    }
}

async fn answer(
    State(targets): State<Arc<Targets>>,
    Path((side, target)): Path<(usize, usize)>,
    headers: HeaderMap,
) -> Response {
    let (Some(scrapes), true) = (targets.scrapes.get(side), target < targets.said.len()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let said = targets.say(target);
    scrapes.fetch_add(1, Ordering::Relaxed);
    let kind = (header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
    let accepts = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accepts.contains("gzip") {
        return ([kind, (header::CONTENT_ENCODING, "gzip")], said.gzip).into_response();
    }
    ([kind], said.plain).into_response()
}

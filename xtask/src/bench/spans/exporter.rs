//! Exports requests by gRPC as they are, and counts what became of them.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use bytes::{Buf, BufMut, Bytes};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// What became of the spans, and of the requests.
#[derive(Debug, Default)]
pub struct Outcome {
    pub spans_taken: AtomicU64,
    pub spans_refused: AtomicU64,
    pub requests_refused: AtomicU64,
    /// Requests that ended in some other way.
    pub broken: AtomicU64,
}

/// A connection.
#[derive(Clone)]
pub struct Exporter {
    client: tonic::client::Grpc<Channel>,
}

impl Exporter {
    pub async fn connect(address: &str) -> anyhow::Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).context("the address is none")?;
        let endpoint = endpoint.initial_connection_window_size(16 << 20).initial_stream_window_size(4 << 20);
        let channel = endpoint.connect().await.context("the collector takes no gRPC")?;
        Ok(Self { client: tonic::client::Grpc::new(channel) })
    }

    /// Sends a request and waits for the answer.
    pub async fn send(&mut self, request: Vec<u8>, spans: u64, outcome: &Outcome) {
        let count = |counter: &AtomicU64, by| _ = counter.fetch_add(by, Ordering::Relaxed);
        if self.client.ready().await.is_err() {
            return count(&outcome.broken, 1);
        }
        let path = http::uri::PathAndQuery::from_static(EXPORT);
        match self.client.unary(tonic::Request::new(Bytes::from(request)), path, AsBytes).await {
            // What was refused of it would be said.
            Ok(answer) if answer.get_ref().is_empty() => count(&outcome.spans_taken, spans),
            Ok(_) => count(&outcome.broken, 1),
            Err(status) if status.code() == Code::ResourceExhausted => {
                count(&outcome.spans_refused, spans);
                count(&outcome.requests_refused, 1);
            }
            Err(_) => count(&outcome.broken, 1),
        }
    }
}

/// Messages as bytes.
#[derive(Debug, Clone, Copy)]
struct AsBytes;

impl Codec for AsBytes {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for AsBytes {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for AsBytes {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(message.copy_to_bytes(message.remaining())))
    }
}

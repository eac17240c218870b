//! The trace service of OTLP over gRPC. It takes messages as bytes, which are read without making structures of them first, and counts
//! what is on its way, so that many large requests at once are told to come back instead of filling memory.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http::{Request, Response};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::SERVICE_NAME;
use prost::Message;
use tonic::body::Body;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::BoxFuture;
use tonic::server::{Grpc, NamedService};
use tonic::{Code, Status};
use tower::{Service, service_fn};

use super::busy;
use crate::otlp::admission::{Admitted, Refused};
use crate::otlp::{BLOCKING_BYTES_MIN, REQUEST_BYTES_MAX};
use crate::traces::SpanSink;

/// The service's only method.
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Takes traces.
#[derive(Clone)]
pub(super) struct TraceReceiver(pub Arc<SpanSink>);

impl NamedService for TraceReceiver {
    const NAME: &'static str = SERVICE_NAME;
}

impl Service<Request<Body>> for TraceReceiver {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let sink = Arc::clone(&self.0);
        Box::pin(async move {
            if request.uri().path() != EXPORT {
                return Ok(Status::unimplemented("this service only exports").into_http());
            }
            // Before the message is read, so that a refused one takes no memory.
            let Some(admitted) = sink.admission().admit() else {
                sink.admission().refuse(Refused::Busy);
                return Ok(busy().into_http());
            };
            let answer = answer(&sink, request, admitted).await;
            if let Some(reason) = refused(&answer) {
                sink.admission().refuse(reason);
            }
            Ok(answer)
        })
    }
}

async fn answer(sink: &Arc<SpanSink>, request: Request<Body>, admitted: Admitted) -> Response<Body> {
    let admitted = Arc::new(admitted);
    let metered = request.map(|inner| Body::new(Metered { inner, admitted: Arc::clone(&admitted) }));
    let taking = service_fn(|request: tonic::Request<Bytes>| {
        take(Arc::clone(sink), Arc::clone(&admitted), request.into_inner())
    });
    Grpc::new(AsBytes(Arc::clone(&admitted)))
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(REQUEST_BYTES_MAX)
        .unary(taking, metered)
        .await
}

/// Takes a message, on a thread of its own if it is long.
async fn take(
    sink: Arc<SpanSink>,
    admitted: Arc<Admitted>,
    message: Bytes,
) -> Result<tonic::Response<ExportTraceServiceResponse>, Status> {
    let is_long = message.len() >= BLOCKING_BYTES_MIN;
    let taking = move || {
        let taken = crate::otlp::receive(&sink, &message);
        // Counted until here: a thread goes on when its client has broken off.
        drop(admitted);
        taken
    };
    let taken = if is_long {
        tokio::task::spawn_blocking(taking).await.map_err(|stopped| Status::unavailable(stopped.to_string()))?
    } else {
        taking()
    };
    taken.map(tonic::Response::new).map_err(|error| Status::invalid_argument(error.to_string()))
}

/// Why an answer is a refusal, if it is one. What a client broke off is none.
fn refused(answer: &Response<Body>) -> Option<Refused> {
    match Status::from_header_map(answer.headers())?.code() {
        // A message that is too large as it is, and one that has become so.
        Code::OutOfRange => Some(Refused::TooLarge),
        Code::ResourceExhausted if answer.headers().contains_key("grpc-status-details-bin") => Some(Refused::Busy),
        Code::ResourceExhausted => Some(Refused::TooLarge),
        Code::InvalidArgument | Code::Internal => Some(Refused::Malformed),
        _ => None,
    }
}

/// A body that is broken off when all that are on their way take too much.
struct Metered {
    inner: Body,
    admitted: Arc<Admitted>,
}

impl HttpBody for Metered {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
            && !self.admitted.grow(data.len())
        {
            return Poll::Ready(Some(Err(busy())));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Messages as bytes in, the answer as protobuf out. What a message takes unpacked is counted as well.
#[derive(Debug, Clone)]
struct AsBytes(Arc<Admitted>);

impl Codec for AsBytes {
    type Encode = ExportTraceServiceResponse;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        self.clone()
    }

    fn decoder(&mut self) -> Self {
        self.clone()
    }
}

impl Encoder for AsBytes {
    type Item = ExportTraceServiceResponse;
    type Error = Status;

    fn encode(&mut self, item: ExportTraceServiceResponse, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(out).map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for AsBytes {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        if !self.0.grow_to(message.remaining()) {
            return Err(busy());
        }
        Ok(Some(message.copy_to_bytes(message.remaining())))
    }
}

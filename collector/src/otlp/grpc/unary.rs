//! Serves the one method that each of OTLP's services has. Messages come as bytes, and what is on its way is counted, packed and unpacked,
//! so that many large requests at once are told to come back instead of filling memory.

use std::convert::Infallible;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http::{Request, Response};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use prost::Message;
use tonic::body::Body;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::BoxFuture;
use tonic::server::{Grpc, NamedService};
use tonic::{Code, Status};
use tower::{Service, service_fn};

use super::busy;
use crate::otlp::REQUEST_BYTES_MAX;
use crate::otlp::admission::{Admission, Admitted, Refused};

/// What one of OTLP's services does with the messages of its method.
pub(super) trait Export: Clone + Send + Sync + 'static {
    /// The service's name.
    const NAME: &'static str;
    /// The path of its only method.
    const PATH: &'static str;
    type Answer: Message + 'static;

    /// Who lets messages in, or why none are taken.
    fn admission(&self) -> Result<&Arc<Admission>, Status>;

    /// Takes a message. Holds [`Admitted`] for as long as it is in memory.
    fn take(self, message: Bytes, admitted: Arc<Admitted>)
    -> impl Future<Output = Result<Self::Answer, Status>> + Send;
}

/// The service of somebody who takes messages.
#[derive(Clone)]
pub(super) struct Unary<E>(pub E);

impl<E: Export> NamedService for Unary<E> {
    const NAME: &'static str = E::NAME;
}

impl<E: Export> Service<Request<Body>> for Unary<E> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let export = self.0.clone();
        Box::pin(async move {
            if request.uri().path() != E::PATH {
                return Ok(Status::unimplemented("this service only exports").into_http());
            }
            match export.admission() {
                Ok(admission) => Ok(serve(&export, admission, request).await),
                Err(reason) => Ok(reason.into_http()),
            }
        })
    }
}

/// Has a request's message taken, if there is room for it.
async fn serve<E: Export>(export: &E, admission: &Arc<Admission>, request: Request<Body>) -> Response<Body> {
    // Before the message is read, so that a refused one takes no memory.
    let Some(admitted) = admission.admit() else {
        admission.refuse(Refused::Busy);
        return busy().into_http();
    };
    let admitted = Arc::new(admitted);
    let metered = request.map(|inner| Body::new(Metered { inner, admitted: Arc::clone(&admitted) }));
    let taking = service_fn(|request: tonic::Request<Bytes>| {
        let taken = export.clone().take(request.into_inner(), Arc::clone(&admitted));
        async move { taken.await.map(tonic::Response::new) }
    });
    let answer = Grpc::new(AsBytes { admitted: Arc::clone(&admitted), answers: PhantomData })
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(REQUEST_BYTES_MAX)
        .unary(taking, metered)
        .await;
    if let Some(reason) = refused(&answer) {
        admission.refuse(reason);
    }
    answer
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

/// Messages as bytes in, answers as protobuf out.
struct AsBytes<A> {
    admitted: Arc<Admitted>,
    answers: PhantomData<A>,
}

impl<A: Message + 'static> Codec for AsBytes<A> {
    type Encode = A;
    type Decode = Bytes;
    type Encoder = Answers<A>;
    type Decoder = Messages;

    fn encoder(&mut self) -> Answers<A> {
        Answers(PhantomData)
    }

    fn decoder(&mut self) -> Messages {
        Messages(Arc::clone(&self.admitted))
    }
}

struct Answers<A>(PhantomData<A>);

impl<A: Message> Encoder for Answers<A> {
    type Item = A;
    type Error = Status;

    fn encode(&mut self, item: A, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(out).map_err(|error| Status::internal(error.to_string()))
    }
}

/// What a message takes unpacked is counted as well.
struct Messages(Arc<Admitted>);

impl Decoder for Messages {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        if !self.0.grow_to(message.remaining()) {
            return Err(busy());
        }
        Ok(Some(message.copy_to_bytes(message.remaining())))
    }
}

//! An answer's body on its way to the client; keeps the request counted, and its connection taken, until its end.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::backend::Lease;

/// A body with the lease of the replica that sends it.
#[derive(Debug)]
pub(super) struct LeasedBody {
    body: Incoming,
    lease: Option<Lease>,
}

impl LeasedBody {
    pub fn new(body: Incoming, lease: Lease) -> Self {
        let mut leased = Self { body, lease: Some(lease) };
        leased.release_at_end();
        leased
    }

    fn release_at_end(&mut self) {
        if self.body.is_end_stream()
            && let Some(mut lease) = self.lease.take()
        {
            lease.complete();
        }
    }
}

impl Body for LeasedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            None => {
                if let Some(mut lease) = self.lease.take() {
                    lease.complete();
                }
            }
            Some(Ok(_)) => self.release_at_end(),
            // The connection is of no more use: dropping the lease closes it.
            Some(Err(_)) => self.lease = None,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

//! The fault `retry-storm`: what calls look like without any of what keeps retries in bounds. Never repeats what may not be
//! repeated: the shop's books stay right.

use std::time::Duration;

use tokio::time::Instant;

use super::attempt;
use super::error::CallError;
use super::{Answer, Call};
use crate::chassis::deadline::Deadline;
use crate::chassis::request::RequestContext;

/// Tries of one call: ten times the load is a storm, and an end of it lets the callee recover.
const ATTEMPTS_MAX: u32 = 10;

/// Makes a call with little patience, again and again.
pub(super) async fn send(
    call: &Call,
    request: &RequestContext,
    deadline: Deadline,
    patience: Duration,
) -> Result<Answer, CallError> {
    let mut attempt = 1;
    loop {
        let until = deadline.at_most(Instant::now(), patience);
        let failed = match attempt::ask(call, request, deadline, until, attempt).await {
            Ok(answer) => return Ok(answer),
            Err(failed) => failed,
        };
        let is_over = attempt >= ATTEMPTS_MAX || deadline.remaining(Instant::now()).is_zero();
        if is_over || !failed.may_be_hammered(call.idempotent) {
            return Err(failed.error);
        }
        call.peer.0.retries.inc();
        attempt += 1;
    }
}

//! Who is asking: the user in a request's token. Whatever a request claims beside its token is not believed.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, header};
use lifecycle::Clock;

use crate::chassis::{AppError, RequestContext};
use crate::user::Tokens;

/// Tells users by their tokens.
#[derive(Clone)]
pub(super) struct Sessions {
    pub tokens: Tokens,
    pub clock: Arc<dyn Clock>,
}

impl Sessions {
    fn user(&self, token: &str) -> Option<String> {
        self.tokens.user(token, self.clock.now_ms())
    }
}

/// Replaces what the request carries as its user by what its token says. A bad token is refused even where none is needed,
/// so that a client learns that its session has ended.
pub(super) async fn read(
    State(sessions): State<Sessions>,
    mut request: Request,
    next: Next,
) -> Result<Response, AppError> {
    let user = match bearer(request.headers()) {
        None => None,
        Some(token) => Some(sessions.user(token).ok_or_else(|| AppError::unauthorized("the session has ended"))?),
    };
    if let Some(carried) = request.extensions_mut().get_mut::<RequestContext>() {
        *carried = carried.as_user(user.as_deref());
    }
    Ok(next.run(request).await)
}

/// Refuses a request without a user.
pub(super) async fn required(request: Request, next: Next) -> Result<Response, AppError> {
    let user = request.extensions().get::<RequestContext>().and_then(RequestContext::user);
    if user.is_none() {
        return Err(AppError::unauthorized("sign in first"));
    }
    Ok(next.run(request).await)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

//! The front door: routes, checks tokens, composes the product page; has no domain of its own. A request's user comes from
//! its token and from nowhere else, and a peer that fails takes nothing with it but its own part.

mod product_view;
mod session;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderName, Method, header};
use lifecycle::Supervisor;
use std::sync::Arc;
use std::time::Duration;

use self::session::Sessions;
use crate::chassis::{AppError, Context, Peer, RequestContext, StartError};
use crate::contract::IDEMPOTENCY_HEADER;
use crate::user::Tokens;

/// Bodies of this shop are small: an order of a hundred lines is 6 KiB.
const BODY_MAX: usize = 64 * 1024;
/// Placing an order waits for stock and payment, which have their own timeouts; others answer or do not.
const ORDER_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(2);

/// Where requests of one kind go.
#[derive(Clone)]
struct Door {
    peer: Peer,
    timeout: Duration,
    /// Doing it twice does no harm, whatever the method says.
    repeatable: bool,
}

/// Starts the service.
pub async fn start(context: &Context, _: &mut Supervisor) -> Result<Router, StartError> {
    let tokens = Tokens::new(context.config().token_secret()?);
    let sessions = Sessions { tokens, clock: Arc::clone(context.clock()) };
    let door =
        |name: &str, timeout| Ok::<_, StartError>(Door { peer: context.peer(name)?, timeout, repeatable: false });
    let (product, review) = (door("product", TIMEOUT)?, door("review", TIMEOUT)?);
    let order = door("order", ORDER_TIMEOUT)?;
    // A second session or a second token for the same card is a spare one.
    let (session, card) =
        (Door { repeatable: true, ..door("user", TIMEOUT)? }, Door { repeatable: true, ..door("payment", TIMEOUT)? });

    let open = Router::new()
        .route("/api/users", post(forward).with_state(door("user", TIMEOUT)?))
        .route("/api/sessions", post(forward).with_state(session))
        .route("/api/products", get(forward).with_state(product.clone()))
        .route("/api/products/changes", get(no_such_path))
        .route("/api/categories", get(forward).with_state(product))
        .route("/api/products/{id}/reviews", get(forward).with_state(review.clone()))
        .route("/api/search", get(forward).with_state(door("search", TIMEOUT)?))
        .route("/api/stock", get(forward).with_state(door("inventory", TIMEOUT)?))
        .route("/api/recommendations", get(forward).with_state(door("recommendation", TIMEOUT)?))
        .merge(product_view::routes(context)?);
    let signed_in = Router::new()
        .route("/api/users/me", get(forward).patch(forward).with_state(door("user", TIMEOUT)?))
        .route("/api/products/{id}/reviews", post(forward).with_state(review))
        .route("/api/cards", post(forward).with_state(card))
        .route("/api/orders", get(forward).post(forward).with_state(order.clone()))
        .route("/api/orders/{id}", get(forward).with_state(order.clone()))
        .route("/api/orders/{id}/tracking", get(forward).with_state(order))
        .route("/api/notifications", get(forward).with_state(door("notification", TIMEOUT)?))
        .route_layer(from_fn(session::required));
    Ok(open.merge(signed_in).layer(from_fn_with_state(sessions, session::read)))
}

async fn no_such_path() -> AppError {
    AppError::not_found("such path")
}

/// Passes a request on as it is, without its `/api`, and the answer back.
async fn forward(State(door): State<Door>, request: Request) -> Result<Response, AppError> {
    let (parts, body) = request.into_parts();
    let carried = parts.extensions.get::<RequestContext>().cloned();
    let carried = carried.ok_or_else(|| AppError::internal("a route is served outside the chassis"))?;
    let body = axum::body::to_bytes(body, BODY_MAX)
        .await
        .map_err(|_| AppError::bad_request(format!("a body of more than {BODY_MAX} bytes, or a broken one")))?;
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut call = door.peer.call(parts.method.clone(), path.strip_prefix("/api").unwrap_or(path));
    for name in [header::CONTENT_TYPE, HeaderName::from_static(IDEMPOTENCY_HEADER)] {
        if let Some(value) = parts.headers.get(&name) {
            call = call.header(name, value.clone());
        }
    }
    if door.repeatable || (parts.method == Method::POST && parts.headers.contains_key(IDEMPOTENCY_HEADER)) {
        call = call.idempotent();
    }
    let answer = call.body(body).timeout(door.timeout).send(&carried).await?;
    Ok(passed_on(answer.status, answer.headers.get(header::CONTENT_TYPE).cloned(), answer.body))
}

fn passed_on(status: http::StatusCode, content_type: Option<http::HeaderValue>, body: Bytes) -> Response {
    let mut response = (status, body).into_response();
    // Without it axum would call every body an octet stream.
    match content_type {
        Some(content_type) => response.headers_mut().insert(header::CONTENT_TYPE, content_type),
        None => response.headers_mut().remove(header::CONTENT_TYPE),
    };
    response
}

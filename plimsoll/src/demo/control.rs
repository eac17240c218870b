//! The demo's own port: faults are begun and ended while it runs, and it says which were on. Only JSON is taken, which no form
//! of a web page can send.

use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Json, Router};
use lifecycle::CancellationToken;
use reqwest::StatusCode;
use serde::Deserialize;
use tokio::net::TcpListener;

use super::fault::FaultSpec;
use super::plan::{Plan, Shown};

/// A day, as `--seconds` allows.
const SECONDS_MAX: f64 = 86_400.0;

/// Body of `POST /faults`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    /// `SERVICE:KIND[=VALUE]`.
    fault: String,
    /// How long; without it until it is ended or the load is.
    seconds: Option<f64>,
}

/// Serves until shutdown.
pub async fn serve(listener: TcpListener, plan: Plan, shutdown: CancellationToken) -> Result<(), std::io::Error> {
    let serving = axum::serve(listener, routes(plan)).into_future();
    tokio::select! {
        ended = serving => ended,
        () = shutdown.cancelled() => Ok(()),
    }
}

fn routes(plan: Plan) -> Router {
    Router::new()
        .route("/faults", get(list).post(begin).delete(end_all))
        .route("/faults/{id}", delete(end))
        .with_state(plan)
}

async fn list(State(plan): State<Plan>) -> Json<Vec<Shown>> {
    Json(plan.shown())
}

async fn begin(State(plan): State<Plan>, wish: Result<Json<Wish>, JsonRejection>) -> Result<Response, Refusal> {
    let shape = "send {\"fault\": \"payment:error=1\", \"seconds\": 30} as application/json";
    let Json(wish) = wish.map_err(|error| Refusal(error.status(), format!("{}; {shape}", error.body_text())))?;
    let wrong = |why: String| Refusal(StatusCode::UNPROCESSABLE_ENTITY, format!("{why}; {shape}"));
    let duration = match wish.seconds {
        None => None,
        Some(seconds) if seconds > 0.0 && seconds <= SECONDS_MAX => Some(Duration::from_secs_f64(seconds)),
        Some(seconds) => return Err(wrong(format!("seconds is {seconds}; expected more than 0 and at most a day"))),
    };
    let Some(elapsed) = plan.elapsed() else {
        return Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, "the shop is not open yet; try again".to_owned()));
    };
    let spec = FaultSpec::new(&wish.fault, elapsed, duration).map_err(wrong)?;
    let id = plan.add(spec).map_err(|why| Refusal(StatusCode::TOO_MANY_REQUESTS, why))?;
    Ok((StatusCode::CREATED, Json(plan.shown().into_iter().nth(id))).into_response())
}

async fn end(State(plan): State<Plan>, Path(id): Path<usize>) -> Result<StatusCode, Refusal> {
    if plan.end(Some(id)) {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Refusal(StatusCode::NOT_FOUND, format!("there is no fault {id}; GET /faults lists them")))
}

async fn end_all(State(plan): State<Plan>) -> StatusCode {
    plan.end(None);
    StatusCode::NO_CONTENT
}

/// Why not, in words.
struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(serde_json::json!({"error": self.1}))).into_response()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[tokio::test]
    async fn faults_are_begun_listed_ended_and_refused_with_the_remedy() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/faults", listener.local_addr().unwrap());
        let (plan, stop) = (Plan::default(), CancellationToken::new());
        let serving = tokio::spawn(serve(listener, plan.clone(), stop.clone()));
        let http = reqwest::Client::new();
        let post = async |body: Value| http.post(&url).json(&body).send().await.unwrap();

        let early = post(json!({"fault": "payment:error=1"})).await;
        assert_eq!(early.status(), StatusCode::SERVICE_UNAVAILABLE);
        plan.begin();
        let created = post(json!({"fault": "payment:error=1", "seconds": 30})).await;
        assert_eq!(created.status(), StatusCode::CREATED);
        let fault: Value = created.json().await.unwrap();
        assert_eq!((&fault["id"], &fault["state"], &fault["kind"]), (&json!(0), &json!("waiting"), &json!("error")));
        for (body, expected) in [
            (json!({"fault": "payment:explode"}), "there is no fault \"explode\""),
            (json!({"fault": "payment"}), "no SERVICE:KIND; send {\"fault\""),
            (json!({"fault": "payment:crash", "seconds": 0}), "seconds is 0"),
            (json!({"fault": "payment:crash", "minutes": 1}), "unknown field `minutes`"),
        ] {
            let refused = post(body).await;
            assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
            let text = refused.json::<Value>().await.unwrap()["error"].to_string();
            assert!(text.replace('\\', "").contains(expected), "{text}");
        }
        let form = http.post(&url).form(&[("fault", "payment:crash")]).send().await.unwrap();
        assert_eq!(form.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
        let end = async |id: &str| http.delete(format!("{url}/{id}")).send().await.unwrap().status();
        assert_eq!((end("0").await, end("7").await), (StatusCode::NO_CONTENT, StatusCode::NOT_FOUND));
        assert!(!plan.open()[0].spec.is_on(plan.elapsed().unwrap()));
        stop.cancel();
        serving.await.unwrap().unwrap();
    }
}

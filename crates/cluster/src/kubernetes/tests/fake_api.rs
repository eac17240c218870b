//! An API server in memory, without sockets, so that tests can pause time: lists in pages, watches, patches with preconditions,
//! and fails on demand.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures::stream;
use kube::Client;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

/// What happened to an object.
#[derive(Clone)]
struct Logged {
    version: u64,
    plural: String,
    namespace: String,
    line: String,
}

#[derive(Default)]
struct Inner {
    version: u64,
    objects: HashMap<String, BTreeMap<(String, String), Value>>,
    log: Vec<Logged>,
    /// Watches from before this version get 410.
    compacted: u64,
    forbidden: HashSet<String>,
    /// Kinds whose watches are silent.
    withheld: HashSet<String>,
    absent: HashSet<String>,
    /// Statuses for patches, by resource such as `pods/resize`: code and message.
    denied: HashMap<String, (u16, String)>,
    /// Patches of workloads that find another version than they planned on: before each, this happens.
    before_patch: Vec<(String, Value)>,
    /// The CPU request that a webhook gives to whatever is resized.
    rounds_to: Option<String>,
    /// All requests: method, resource, whether it is a watch.
    requests: Vec<(String, String, bool)>,
    writes: Vec<(String, Value)>,
}

/// The server; clones are the same one.
#[derive(Clone)]
pub struct FakeApi {
    inner: Arc<Mutex<Inner>>,
    /// Grows with each change, and when streams are to end.
    news: Arc<watch::Sender<(u64, u64)>>,
    cut: Arc<watch::Sender<bool>>,
    hung_writes: Arc<watch::Sender<bool>>,
    /// The resource whose writes are carried out and not answered.
    unanswered: Arc<watch::Sender<Option<String>>>,
}

/// Where a request goes.
struct Path {
    plural: String,
    namespace: Option<String>,
    name: Option<String>,
    subresource: Option<String>,
}

impl Path {
    fn parse(path: &str) -> Self {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let skip = if parts[0] == "api" { 2 } else { 3 };
        let mut rest = parts[skip..].iter().map(|part| (*part).to_owned());
        let first = rest.next().unwrap();
        let (namespace, plural) = match first.as_str() {
            "namespaces" => (rest.next(), rest.next().unwrap()),
            _ => (None, first),
        };
        Self { plural, namespace, name: rest.next(), subresource: rest.next() }
    }

    fn resource(&self) -> String {
        self.subresource.as_ref().map_or_else(|| self.plural.clone(), |sub| format!("{}/{sub}", self.plural))
    }
}

impl FakeApi {
    pub fn new() -> Self {
        let inner =
            Inner { version: 1, absent: HashSet::from(["verticalpodautoscalers".to_owned()]), ..Inner::default() };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            news: Arc::new(watch::Sender::new((0, 0))),
            cut: Arc::new(watch::Sender::new(false)),
            hung_writes: Arc::new(watch::Sender::new(false)),
            unanswered: Arc::default(),
        }
    }

    pub fn client(&self) -> Client {
        let api = self.clone();
        let router = Router::new().fallback(move |query: Query<HashMap<String, String>>, request: Request| {
            let api = api.clone();
            async move { api.answer(query.0, request).await }
        });
        Client::new(router, "default")
    }

    /// Makes or changes an object.
    pub fn put(&self, plural: &str, object: Value) {
        self.inner.lock().put(plural, object);
        self.news.send_modify(|(changes, _)| *changes += 1);
    }

    pub fn delete(&self, plural: &str, namespace: &str, name: &str) {
        let mut inner = self.inner.lock();
        let key = (namespace.to_owned(), name.to_owned());
        let object = inner.objects.get_mut(plural).and_then(|objects| objects.remove(&key)).unwrap();
        inner.record("DELETED", plural, object);
        drop(inner);
        self.news.send_modify(|(changes, _)| *changes += 1);
    }

    pub fn get(&self, plural: &str, namespace: &str, name: &str) -> Value {
        self.inner.lock().objects[plural][&(namespace.to_owned(), name.to_owned())].clone()
    }

    /// Ends all watches; with `compact`, what happened until now cannot be watched any more.
    pub fn end_watches(&self, compact: bool, meanwhile: impl FnOnce(&Self)) {
        self.cut.send_replace(true);
        self.news.send_modify(|(_, ends)| *ends += 1);
        meanwhile(self);
        if compact {
            let mut inner = self.inner.lock();
            inner.version += 1;
            inner.compacted = inner.version;
        }
        self.cut.send_replace(false);
    }

    /// From now on nothing is answered, and watches are silent; or all is well again.
    pub fn cut(&self, cut: bool) {
        self.cut.send_replace(cut);
        self.news.send_modify(|(changes, _)| *changes += 1);
    }

    /// From now on writes are not answered.
    pub fn hang_writes(&self, hang: bool) {
        self.hung_writes.send_replace(hang);
    }

    /// From now on writes of this resource are carried out and not answered.
    pub fn lose_answers(&self, resource: Option<&str>) {
        self.unanswered.send_replace(resource.map(str::to_owned));
    }

    pub fn forbid(&self, plural: &str, forbidden: bool) {
        let mut inner = self.inner.lock();
        if forbidden {
            inner.forbidden.insert(plural.to_owned())
        } else {
            inner.forbidden.remove(plural)
        };
        drop(inner);
        self.news.send_modify(|(_, ends)| *ends += 1);
    }

    /// From now on watches of this kind are told nothing; or everything that they missed.
    pub fn withhold(&self, plural: &str, withheld: bool) {
        let mut inner = self.inner.lock();
        if withheld {
            inner.withheld.insert(plural.to_owned())
        } else {
            inner.withheld.remove(plural)
        };
        drop(inner);
        self.news.send_modify(|(changes, _)| *changes += 1);
    }

    pub fn install(&self, plural: &str) {
        self.inner.lock().absent.remove(plural);
    }

    /// As if its definition were not there, and never had been.
    pub fn remove(&self, plural: &str) {
        self.inner.lock().absent.insert(plural.to_owned());
    }

    pub fn deny(&self, resource: &str, answer: Option<(u16, &str)>) {
        let mut inner = self.inner.lock();
        match answer {
            Some((code, message)) => inner.denied.insert(resource.to_owned(), (code, message.to_owned())),
            None => inner.denied.remove(resource),
        };
    }

    /// Just before the next patch arrives, somebody changes this object.
    pub fn before_next_patch(&self, plural: &str, object: Value) {
        self.inner.lock().before_patch.push((plural.to_owned(), object));
    }

    /// A webhook gives each pod that is resized this CPU request, whatever was asked for.
    pub fn round_to(&self, cpu: &str) {
        self.inner.lock().rounds_to = Some(cpu.to_owned());
    }

    /// How often something was asked: `GET pods`, `WATCH pods`, `PATCH pods/resize`.
    pub fn asked(&self, what: &str) -> usize {
        let (verb, resource) = what.split_once(' ').unwrap();
        let (method, watching) = if verb == "WATCH" { ("GET", true) } else { (verb, false) };
        let inner = self.inner.lock();
        inner.requests.iter().filter(|(m, r, w)| m == method && r == resource && *w == watching).count()
    }

    /// Writes so far: resource and name, body.
    pub fn writes(&self) -> Vec<(String, Value)> {
        self.inner.lock().writes.clone()
    }

    async fn answer(&self, query: HashMap<String, String>, request: Request) -> Response {
        let path = Path::parse(request.uri().path());
        let method = request.method().as_str().to_owned();
        let watching = query.contains_key("watch");
        self.inner.lock().requests.push((method.clone(), path.resource(), watching));
        let mut cut = self.cut.subscribe();
        cut.wait_for(|cut| !cut).await.unwrap();
        if let Some(refusal) = self.refusal(&path) {
            return refusal;
        }
        match method.as_str() {
            "GET" if watching => self.watch(&path, &query),
            "GET" if path.name.is_some() => {
                let key = (path.namespace.unwrap(), path.name.unwrap());
                let found = self.inner.lock().objects.get(&path.plural).and_then(|objects| objects.get(&key)).cloned();
                found.map_or_else(|| status(404, "NotFound", "not found"), |object| answer_with(200, &object))
            }
            "GET" => self.inner.lock().list(&path, &query),
            _ => {
                let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
                self.hung_writes.subscribe().wait_for(|hung| !hung).await.unwrap();
                let answer = self.inner.lock().write(&method, &path, &body);
                self.news.send_modify(|(changes, _)| *changes += 1);
                let lost = |lost: &Option<String>| lost.as_deref() != Some(path.resource().as_str());
                self.unanswered.subscribe().wait_for(lost).await.unwrap();
                answer
            }
        }
    }

    fn refusal(&self, path: &Path) -> Option<Response> {
        let (inner, plural) = (self.inner.lock(), &path.plural);
        if inner.absent.contains(plural) {
            return Some(status(404, "NotFound", "the server could not find the requested resource"));
        }
        inner.forbidden.contains(plural).then(|| {
            let user = "system:serviceaccount:plimsoll:autoscaler";
            let message = format!("{plural} is forbidden: User {user:?} cannot list resource {plural:?}");
            status(403, "Forbidden", &message)
        })
    }

    fn watch(&self, path: &Path, query: &HashMap<String, String>) -> Response {
        let from: u64 = query["resourceVersion"].parse().unwrap();
        let inner = self.inner.clone();
        if from < inner.lock().compacted {
            let gone =
                json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"});
            let line = json!({ "type": "ERROR", "object": gone }).to_string() + "\n";
            return Body::from(line).into_response();
        }
        let (plural, namespace) = (path.plural.clone(), path.namespace.clone());
        let (news, cut) = (self.news.subscribe(), self.cut.subscribe());
        let ends = news.borrow().1;
        let until = tokio::time::Instant::now() + Duration::from_secs(query["timeoutSeconds"].parse().unwrap());
        let lines = stream::unfold(from, move |from| {
            let (inner, plural, namespace) = (inner.clone(), plural.clone(), namespace.clone());
            let (mut news, cut) = (news.clone(), cut.clone());
            async move {
                loop {
                    if news.borrow_and_update().1 != ends {
                        return None;
                    }
                    if !*cut.borrow() {
                        let found = inner.lock().since(from, &plural, namespace.as_deref());
                        if let Some(logged) = found {
                            return Some((Ok::<_, Infallible>(Bytes::from(logged.line)), logged.version));
                        }
                    }
                    tokio::select! {
                        _ = news.changed() => {}
                        () = tokio::time::sleep_until(until) => return None,
                    }
                }
            }
        });
        Body::from_stream(lines).into_response()
    }
}

impl Inner {
    fn put(&mut self, plural: &str, mut object: Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key = (text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]));
        let known = self.objects.entry(plural.to_owned()).or_default().get(&key).cloned();
        let generation = known.as_ref().map_or(1, |known| {
            let generation = known["metadata"]["generation"].as_i64().unwrap_or(1);
            generation + i64::from(known["spec"] != object["spec"])
        });
        object["metadata"]["generation"] = json!(generation);
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = json!(format!("{plural}-{}-{}", key.0, key.1));
        }
        let kind = if known.is_some() { "MODIFIED" } else { "ADDED" };
        let object = self.record(kind, plural, object);
        self.objects.entry(plural.to_owned()).or_default().insert(key, object);
    }

    fn record(&mut self, kind: &str, plural: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
        let line = json!({ "type": kind, "object": object }).to_string() + "\n";
        self.log.push(Logged { version: self.version, plural: plural.to_owned(), namespace, line });
        object
    }

    fn since(&self, from: u64, plural: &str, namespace: Option<&str>) -> Option<Logged> {
        if self.withheld.contains(plural) {
            return None;
        }
        let mut log = self.log.iter().filter(|logged| logged.version > from && logged.plural == plural);
        log.find(|logged| namespace.is_none_or(|namespace| namespace == logged.namespace)).cloned()
    }

    fn list(&self, path: &Path, query: &HashMap<String, String>) -> Response {
        let objects = self.objects.get(&path.plural).into_iter().flatten();
        let wanted = objects.filter(|((namespace, _), _)| path.namespace.as_ref().is_none_or(|n| n == namespace));
        let name = query.get("fieldSelector").and_then(|fields| fields.strip_prefix("metadata.name="));
        let wanted = wanted.filter(|((_, known), _)| name.is_none_or(|name| name == known));
        let all: Vec<&Value> = wanted.map(|(_, object)| object).collect();
        let begin: usize = query.get("continue").map_or(0, |token| token.parse().unwrap());
        let limit: usize = query.get("limit").map_or(usize::MAX, |limit| limit.parse().unwrap());
        let end = all.len().min(begin.saturating_add(limit));
        let next = if end < all.len() { end.to_string() } else { String::new() };
        let metadata = json!({ "resourceVersion": self.version.to_string(), "continue": next });
        answer_with(200, &json!({ "metadata": metadata, "items": all[begin..end] }))
    }

    fn write(&mut self, method: &str, path: &Path, body: &[u8]) -> Response {
        let body: Value = serde_json::from_slice(body).unwrap();
        let name = path.name.clone().unwrap_or_default();
        self.writes.push((format!("{} {name}", path.resource()).trim().to_owned(), body.clone()));
        if let Some((code, message)) = self.denied.get(&path.resource()) {
            if *code == 404 && message == "not found" {
                return no_such(&name);
            }
            return status(*code, "Forbidden", message);
        }
        if method == "POST" {
            return self.create(path, body);
        }
        if let Some((plural, object)) = self.before_patch.pop() {
            self.put(&plural, object);
        }
        let key = (path.namespace.clone().unwrap_or_default(), name);
        let Some(known) = self.objects.get(&path.plural).and_then(|objects| objects.get(&key)).cloned() else {
            return no_such(&key.1);
        };
        for precondition in ["resourceVersion", "uid"] {
            let asked = &body["metadata"][precondition];
            if !asked.is_null() && *asked != known["metadata"][precondition] {
                return status(409, "Conflict", "the object has been modified");
            }
        }
        let mut object = known;
        if method == "PUT" {
            object = body;
        } else {
            merge(&mut object, &body);
        }
        if let Some(cpu) = self.rounds_to.as_ref().filter(|_| path.resource() == "pods/resize") {
            object["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!(cpu);
        }
        self.put(&path.plural, object);
        let now = self.objects[&path.plural][&key].clone();
        answer_with(200, &now)
    }
}

impl Inner {
    /// Only Leases are kept; of everything else it is enough to know that it was made.
    fn create(&mut self, path: &Path, body: Value) -> Response {
        if path.plural != "leases" {
            return answer_with(201, &body);
        }
        let key = (path.namespace.clone().unwrap_or_default(), body["metadata"]["name"].as_str().unwrap().to_owned());
        if self.objects.get("leases").is_some_and(|leases| leases.contains_key(&key)) {
            return status(409, "AlreadyExists", "it is there already");
        }
        self.put("leases", body);
        answer_with(201, &self.objects["leases"][&key])
    }
}

/// A merge patch; lists of named objects are merged by name, as a strategic one does.
fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    into.remove(key);
                } else {
                    merge(into.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (Value::Array(into), Value::Array(patch)) => {
            for wanted in patch {
                if let Some(found) = into.iter_mut().find(|found| found["name"] == wanted["name"]) {
                    merge(found, wanted);
                }
            }
        }
        (into, patch @ Value::Object(_)) => {
            *into = json!({});
            merge(into, patch);
        }
        (into, patch) => *into = patch.clone(),
    }
}

fn answer_with(code: u16, body: &Value) -> Response {
    (StatusCode::from_u16(code).unwrap(), body.to_string()).into_response()
}

/// An object that is not there is named, unlike a path that is not served.
fn no_such(name: &str) -> Response {
    let body = json!({
        "kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound", "message": "not found",
        "details": { "name": name },
    });
    answer_with(404, &body)
}

fn status(code: u16, reason: &str, message: &str) -> Response {
    let body = json!({ "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message });
    answer_with(code, &body)
}

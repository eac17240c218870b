//! The configuration as it may be shown: whole, in the order of the file, without comments, and with `<secret>` where a
//! secret stands.

use std::fmt;

use indexmap::IndexMap;
use protocol::yaml::{Document, DocumentError};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Fields whose values are secrets, wherever they stand.
const SECRET: [&str; 5] = ["password", "credentials", "bearer_token", "client_secret", "secret_key"];

/// What stands in a secret's place: Prometheus' words.
const MASK: &str = "<secret>";

/// YAML of any shape.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Node {
    Nothing(()),
    Bool(bool),
    Integer(i64),
    Number(f64),
    Text(String),
    List(Vec<Node>),
    Fields(IndexMap<String, Node>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyShape)
    }
}

/// By hand, because names are asked for as texts: to YAML, an unquoted `n` is otherwise a `false`.
struct AnyShape;

impl<'de> Visitor<'de> for AnyShape {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Nothing(()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(i64::try_from(value).map_or(Node::Number(value as f64), Node::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Node, A::Error> {
        let mut fields = IndexMap::new();
        while let Some((name, value)) = pairs.next_entry::<String, Node>()? {
            fields.insert(name, value);
        }
        Ok(Node::Fields(fields))
    }
}

/// The document without its secrets.
pub(super) fn shown(document: &Document) -> Result<String, DocumentError> {
    let mut node: Node = document.parse()?;
    mask(&mut node, "", "");
    serde_saphyr::to_string(&node).map_err(|error| document.error("", &error.to_string()))
}

fn mask(node: &mut Node, parent: &str, name: &str) {
    match node {
        Node::List(items) => items.iter_mut().for_each(|item| mask(item, parent, name)),
        Node::Fields(fields) => fields.iter_mut().for_each(|(field, value)| mask(value, name, field)),
        Node::Nothing(()) => {}
        // A webhook's address is often its password.
        value
            if SECRET.contains(&name)
                || (parent == "tls_config" && name == "key")
                || (parent == "webhooks" && name == "url") =>
        {
            *value = Node::Text(MASK.to_owned());
        }
        Node::Text(text) if text.contains("://") => mask_password(text),
        Node::Bool(_) | Node::Integer(_) | Node::Number(_) | Node::Text(_) => {}
    }
}

/// `http://user:password@host` loses its password.
fn mask_password(text: &mut String) {
    let Ok(mut url) = url::Url::parse(text) else { return };
    if url.password().is_some() && url.set_password(Some("xxxxx")).is_ok() {
        *text = url.to_string();
    }
}

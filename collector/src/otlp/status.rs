//! `google.rpc.Status`, the body of every OTLP error, as protobuf and as JSON; with `RetryInfo` when a client should
//! come back.

use std::time::Duration;

use prost::Message;
use serde::{Serialize, Serializer};

/// gRPC's codes that OTLP answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The request is not what it should be.
    InvalidArgument = 3,
    /// Too much is in flight; come back later.
    ResourceExhausted = 8,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message, Serialize)]
pub struct RpcStatus {
    /// gRPC's code.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// In words.
    #[prost(string, tag = "2")]
    pub message: String,
    /// Such as `RetryInfo`.
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Detail>,
}

/// `google.protobuf.Any`, here always a `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
pub struct Detail {
    /// The type of the message.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The message.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, Copy, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<WireDuration>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Message)]
struct WireDuration {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

const RETRY_INFO_TYPE: &str = "type.googleapis.com/google.rpc.RetryInfo";

impl RpcStatus {
    /// An error.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code: code as i32, message: message.into(), details: Vec::new() }
    }

    /// An error after which the client should come back; OTLP clients do so only if told when.
    pub fn retry_after(message: impl Into<String>, delay: Duration) -> Self {
        let seconds = i64::try_from(delay.as_secs()).unwrap_or(i64::MAX);
        let retry_delay = Some(WireDuration { seconds, nanos: delay.subsec_nanos().cast_signed() });
        let value = RetryInfo { retry_delay }.encode_to_vec();
        let detail = Detail { type_url: RETRY_INFO_TYPE.to_owned(), value };
        Self { details: vec![detail], ..Self::new(Code::ResourceExhausted, message) }
    }
}

impl Serialize for Detail {
    /// Protobuf's JSON form of `Any`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let delay = RetryInfo::decode(self.value.as_slice()).ok().and_then(|info| info.retry_delay).unwrap_or_default();
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("@type", &self.type_url)?;
        map.serialize_entry("retryDelay", &format!("{}.{:03}s", delay.seconds, delay.nanos / 1_000_000))?;
        map.end()
    }
}

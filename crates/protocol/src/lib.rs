//! Wire types and typed clients of Plimsoll's HTTP APIs, plus strict reading of the YAML documents that people write.
//! Holds no behaviour of any program. Start at the module named after the API: `prometheus`, `jaeger`, `graph`, `faults`, `scaling`.

pub mod api_token;
pub mod duration;
pub mod faults;
pub mod graph;
pub mod http_client;
pub mod jaeger;
pub mod number;
pub mod prometheus;
pub mod quantity;
pub mod scaling;
pub mod slos;
pub mod yaml;

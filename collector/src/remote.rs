//! Remote write: samples that come from elsewhere and go elsewhere, in the versions 1.0 and 2.0 of Prometheus' protocol. Meets the store
//! only through `series::Ingest`. `receiver` takes in, `sender` sends; `decode` reads the messages.

pub(crate) mod decode;
#[cfg(test)]
mod messages;
pub mod receiver;
pub mod sender;

//! Remote write: samples that come from elsewhere, in the versions 1.0 and 2.0 of Prometheus' protocol. Meets the store only through
//! `series::Ingest`. The receiver is in `receiver`, the messages are read in `decode`.

mod decode;
#[cfg(test)]
mod messages;
mod protobuf;
pub mod receiver;

//! The whole collector on free ports against targets of our own: what it scrapes, answers, and keeps when it is killed.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod answers;
mod cluster;
mod delivery;
mod durability;
mod example;
mod exposition;
mod fake_api;
mod guards;
mod histograms_beside;
mod kubernetes;
mod limits;
#[path = "../../src/exposition/protobuf/messages.rs"]
mod messages;
mod native_histograms;
mod otlp_metrics;
mod process;
mod prometheus;
mod questions;
mod remote_sender;
mod remote_write;
mod rules;
mod rules_beside;
mod running;
mod scraping;
mod secure;
mod spans;
mod spans_hostile;
mod spans_kept;
mod written;

//! The collector's HTTP API: Prometheus' endpoints over the store and the evaluator.
//! Evaluates and stores nothing itself. Start at `prometheus::routes`; what it needs from other parts is in `views`.

pub mod prometheus;
pub mod views;

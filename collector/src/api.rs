//! The collector's HTTP API: Prometheus' endpoints over the store and the evaluator.

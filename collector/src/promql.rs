//! Evaluates PromQL: pure, over anything that implements `series::Queryable`.
//! Start at `Engine`.

use std::time::Duration;

/// Limits of an evaluation.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// How far back an instant selector looks for a sample.
    pub lookback: Duration,
    /// The most samples that one query may hold in memory.
    pub samples_max: usize,
    /// The longest that one query may take.
    pub timeout: Duration,
}

impl Default for EngineOptions {
    /// Prometheus' defaults: `--query.lookback-delta`, `--query.max-samples`, `--query.timeout`.
    fn default() -> Self {
        Self { lookback: Duration::from_secs(300), samples_max: 50_000_000, timeout: Duration::from_secs(120) }
    }
}

/// Evaluates queries within its options.
#[derive(Debug, Clone, Default)]
pub struct Engine {
    options: EngineOptions,
}

impl Engine {
    /// An engine with these limits.
    pub fn new(options: EngineOptions) -> Self {
        Self { options }
    }

    /// The limits.
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }
}

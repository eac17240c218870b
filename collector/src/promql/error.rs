//! Why a query has no answer, in the classes that Prometheus' API tells apart.

/// Why a query has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The text is not PromQL, or asks for what cannot be.
    #[error("{0}")]
    Parse(String),
    /// It cannot be evaluated on these data.
    #[error("{0}")]
    Execution(String),
    /// It would hold more samples than allowed.
    #[error("query processing would load too many samples into memory in query execution: more than {0}")]
    TooManySamples(usize),
    /// It would read more series than allowed.
    #[error("query processing would read too many series: more than {0}")]
    TooManySeries(usize),
    /// Stored samples cannot be read.
    #[error("{0}")]
    Storage(String),
    /// It took too long.
    #[error("query timed out in expression evaluation")]
    Timeout,
    /// Nobody waits for the answer any more.
    #[error("query was canceled in expression evaluation")]
    Cancelled,
}

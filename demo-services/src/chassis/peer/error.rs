//! Why a call to a peer gave no answer.

use http::StatusCode;

use crate::contract::Problem;

/// A call that did not give its answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CallError {
    /// The peer understood and said no: 4xx.
    #[error("{peer} answered {}: {}", status.as_u16(), problem.error)]
    Rejected { peer: String, status: StatusCode, problem: Problem },
    /// The peer could not be reached, failed (5xx) or is overloaded (429). Whether it acted is not known, unless `unsent`.
    #[error("{peer} is unavailable: {why}")]
    Unavailable {
        peer: String,
        why: String,
        /// The request certainly did not reach the peer.
        unsent: bool,
    },
    /// The peer failed so often of late that it is not asked.
    #[error("{peer} is unavailable: it failed too often and is left alone for a while")]
    BreakerOpen { peer: String },
    /// No answer in the time there was. Whether the peer acted is not known.
    #[error("{peer} did not answer in time")]
    DeadlineExceeded { peer: String },
    /// The peer answered something else than it should.
    #[error("{peer} answered something else than expected: {why}")]
    Malformed { peer: String, why: String },
}

impl CallError {
    /// Whether the peer said no for good; otherwise the same call may succeed later.
    pub fn is_rejection(&self) -> bool {
        matches!(self, Self::Rejected { .. })
    }

    /// Whether the peer certainly did not act.
    pub fn is_without_effect(&self) -> bool {
        match self {
            Self::Rejected { .. } | Self::BreakerOpen { .. } => true,
            Self::Unavailable { unsent, .. } => *unsent,
            Self::DeadlineExceeded { .. } | Self::Malformed { .. } => false,
        }
    }

    /// The peer's code when it said no: `out_of_stock`.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Rejected { problem, .. } => Some(&problem.code),
            _ => None,
        }
    }
}

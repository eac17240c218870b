//! Whether what is known of the cluster may be acted upon. Nothing is planned on a picture that may be old.

/// What can be said of the picture of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Not everything has been read yet.
    NotSynced {
        /// What is missing, and why if it is known.
        reason: String,
    },
    /// Read, and kept up to date.
    Well,
    /// It was read, and may be old by now.
    Blind {
        /// Milliseconds since the epoch.
        since_ms: i64,
        /// Why.
        reason: String,
    },
}

impl Health {
    /// Why nothing should be planned; `None` when all is well.
    pub fn trouble(&self) -> Option<String> {
        match self {
            Self::NotSynced { reason } => Some(format!("the cluster is being read: {reason}")),
            Self::Well => None,
            Self::Blind { reason, .. } => Some(reason.clone()),
        }
    }
}

//! How a store is set up: how long it keeps, how late samples may be, when the log is forced to the disk.

use std::time::Duration;

/// When the log is forced from the operating system's memory to the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WalSync {
    /// When the operating system sees fit: survives the end of the process, not a power cut.
    #[default]
    Os,
    /// With every append: survives a power cut.
    Always,
    /// So often: a power cut loses no more than this.
    Every(Duration),
}

impl WalSync {
    /// Reads `os`, `always` or a duration.
    ///
    /// # Errors
    /// What may be written instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "os" => Ok(Self::Os),
            "always" => Ok(Self::Always),
            _ => protocol::duration::parse(text).ok().filter(|every| !every.is_zero()).map(Self::Every).ok_or_else(
                || format!("{text:?} is not a way to sync the log: write os, always, or a duration such as 5s"),
            ),
        }
    }
}

/// Bytes of samples in memory above which they are sealed into a block before their time: some 800 million samples of steady
/// series, and what a machine that runs a collector can spare.
pub const HEAD_BYTES_MAX: usize = 1 << 30;

/// How long samples are kept: Prometheus' default.
pub const RETENTION_DEFAULT: Duration = Duration::from_secs(15 * 86_400);

/// The longest that samples are kept: Prometheus' limit.
pub const RETENTION_MAX: Duration = Duration::from_secs(100 * 365 * 86_400);

/// How the store keeps.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Samples older than this are forgotten.
    pub retention: Duration,
    /// Bytes on disk above which the oldest blocks are forgotten.
    pub retention_bytes: Option<u64>,
    /// How late samples may be that are out of order; zero refuses them.
    pub late_window: Duration,
    /// When the log is forced to the disk.
    pub wal_sync: WalSync,
    /// Bytes of samples in memory above which they are sealed early; usually [`HEAD_BYTES_MAX`].
    pub head_bytes_max: usize,
}

impl Default for StoreOptions {
    /// Prometheus' retention, the log flushed as the operating system sees fit.
    fn default() -> Self {
        Self {
            retention: RETENTION_DEFAULT,
            retention_bytes: None,
            late_window: Duration::ZERO,
            wal_sync: WalSync::default(),
            head_bytes_max: HEAD_BYTES_MAX,
        }
    }
}

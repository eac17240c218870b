//! What the store tells of itself through the API.

use super::Store;
use crate::api::views::{Cardinality, HeadStats, StorageView};

impl StorageView for Store {
    fn cardinality(&self, limit: usize) -> Cardinality {
        let mut found = self.head.cardinality(limit);
        let mut times = (i64::MAX, i64::MIN);
        self.head.each(|state| {
            found.head_stats.chunk_count += state.chunk_count();
            times.0 = times.0.min(state.first_ms().unwrap_or(i64::MAX));
        });
        times.1 = self.window.newest_ms().unwrap_or(i64::MIN);
        // Without samples Prometheus says these very numbers.
        found.head_stats = HeadStats { min_time: times.0, max_time: times.1, ..found.head_stats };
        found
    }

    fn blocks(&self) -> Vec<serde_json::Value> {
        self.blocks.list().iter().filter_map(|block| serde_json::to_value(&block.meta).ok()).collect()
    }

    fn snapshot(&self, skip_head: bool) -> Result<String, String> {
        Self::snapshot(self, skip_head).map_err(|error| error.to_string())
    }
}

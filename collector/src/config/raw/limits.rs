//! Limits as they are written, in `global` and in each of the `scrape_configs`.

#[derive(Debug, Default)]
pub(in crate::config) struct Limits {
    pub body_size_limit: Option<String>,
    pub sample_limit: Option<usize>,
    pub series_limit: Option<i64>,
    pub label_limit: Option<usize>,
    pub label_name_length_limit: Option<usize>,
    pub label_value_length_limit: Option<usize>,
    pub target_limit: Option<usize>,
    pub keep_dropped_targets: Option<usize>,
}

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

/// Takes the limits out of what has a field for each: serde cannot both flatten and refuse unknown fields.
macro_rules! take_limits {
    ($section:expr) => {
        crate::config::raw::limits::Limits {
            body_size_limit: $section.body_size_limit.take(),
            sample_limit: $section.sample_limit,
            series_limit: $section.series_limit,
            label_limit: $section.label_limit,
            label_name_length_limit: $section.label_name_length_limit,
            label_value_length_limit: $section.label_value_length_limit,
            target_limit: $section.target_limit,
            keep_dropped_targets: $section.keep_dropped_targets,
        }
    };
}

pub(super) use take_limits;

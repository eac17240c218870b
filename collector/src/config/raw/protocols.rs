//! What targets are asked for and what becomes of their histograms, as it is written, in `global` and in each of the `scrape_configs`.

#[derive(Debug, Default)]
pub(in crate::config) struct Protocols {
    pub scrape_protocols: Option<Vec<String>>,
    pub fallback_scrape_protocol: Option<String>,
    pub scrape_native_histograms: Option<bool>,
    pub always_scrape_classic_histograms: Option<bool>,
    pub convert_classic_histograms_to_nhcb: Option<bool>,
    pub native_histogram_bucket_limit: Option<usize>,
    pub native_histogram_min_bucket_factor: Option<f64>,
}

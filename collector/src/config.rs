//! The scrape configuration: Prometheus' file format, read strictly and checked.

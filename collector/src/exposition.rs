//! Reads the Prometheus text format and OpenMetrics: samples out, problems beside them, never a panic.

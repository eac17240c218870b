//! Claims about otlp/convert.

//! Claims about otlp/http.

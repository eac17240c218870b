//! Claims about traces/jaeger.

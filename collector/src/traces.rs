//! Keeps recent traces, and learns rate, errors, duration and the service graph from them.

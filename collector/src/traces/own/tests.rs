//! Claims about traces/own.

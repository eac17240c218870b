//! Claims about traces/store.

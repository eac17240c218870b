//! Claims about traces/window.

//! Starts one service by name.

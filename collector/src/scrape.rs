//! Fetches targets on their schedule and appends what they print.

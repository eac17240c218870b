//! Claims about traces/pairing.

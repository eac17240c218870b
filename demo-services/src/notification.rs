//! Tells customers about their orders, once each.

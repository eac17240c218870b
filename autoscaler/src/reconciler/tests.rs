//! The unit tests of the reconciler.

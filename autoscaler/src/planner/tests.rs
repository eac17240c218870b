//! The unit tests of the planner.

//! Claims about traces/learner.

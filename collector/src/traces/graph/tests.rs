//! Claims about traces/graph.

//! Full-text search with filters and sorting.

//! What is bought together.

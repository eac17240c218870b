//! The catalogue: flexible documents.

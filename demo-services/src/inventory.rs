//! Stock and reservations: never sells what is not there.

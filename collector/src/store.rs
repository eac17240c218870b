//! Keeps samples: a head in memory behind a write-ahead log.

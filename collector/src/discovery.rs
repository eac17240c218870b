//! Finds targets: static, file and http discovery, and relabelling.

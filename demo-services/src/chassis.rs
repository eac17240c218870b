//! What every service stands on: HTTP server, telemetry, faults, calls to peers with deadline, retry budget and breaker.

//! Claims about traces/ledger.

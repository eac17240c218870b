//! Accounts, passwords, tokens.

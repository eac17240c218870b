//! The front door: routes, checks tokens, composes the product page; has no domain of its own.

//! Takes money once per order; keeps no card numbers.

//! Service level objectives: what is promised of services and journeys, in one file that everybody reads; the PromQL behind each;
//! how fast its error budget burns. Pure: no I/O apart from reading the named files, no clock, no randomness, no async. Start at
//! `Objective`, then `burn::judge`.

pub mod bound;
pub mod burn;
mod check;
pub mod counters;
pub mod export;
pub mod import;
mod load;
pub mod objective;
pub mod promql;
mod query;
mod raw;
pub mod rules;
pub mod windows;

pub use check::check;
pub use load::{from_documents, load};
pub use objective::{Indicator, Objective, Subject, Target};

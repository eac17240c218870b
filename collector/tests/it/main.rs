//! The whole collector on free ports against targets of our own: what it scrapes, answers, and keeps when it is killed.

mod durability;
mod running;
mod scraping;
mod spans;

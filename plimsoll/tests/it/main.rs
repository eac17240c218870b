//! The command as users meet it: the real binary, its ports, its screen in a terminal, its end by `kill -9`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod autoscaler;
mod bad_input;
mod dashboards;
mod demo;
mod kill;
mod policy;
mod process;
mod prometheus;
mod replay;
mod screen;
mod screen_cluster;
mod slo;
mod vertical;

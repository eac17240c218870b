//! What bytes from outside may do to the programs: for each way in a target that takes any bytes and panics if a promise is
//! broken. Never part of what is shipped. Start at `TARGETS`; `cargo xtask fuzz` runs one under libFuzzer, the tests here feed
//! each its seeds.

pub mod block;
pub mod config;
pub mod exposition;
pub mod families;
mod http_client;
mod input;
pub mod otlp;
pub mod policy;
pub mod query;
pub mod remote_write;
pub mod rules;
mod scene;
pub mod segment;
mod stored;
pub mod template;
pub mod wal;
mod wire;

/// A way in.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The name of its module, and of its binary.
    pub name: &'static str,
    /// Takes any bytes; panics if a promise is broken.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Words of its language, in libFuzzer's format.
    pub dictionary: Option<&'static str>,
}

/// All targets; those in front are reached from the network.
pub static TARGETS: [Target; 12] = [
    Target {
        name: "exposition",
        run: exposition::run,
        seeds: exposition::seeds,
        dictionary: Some(include_str!("../dictionaries/exposition.dict")),
    },
    Target { name: "families", run: families::run, seeds: families::seeds, dictionary: None },
    Target { name: "wal", run: wal::run, seeds: wal::seeds, dictionary: None },
    Target { name: "remote_write", run: remote_write::run, seeds: remote_write::seeds, dictionary: None },
    Target {
        name: "query",
        run: query::run,
        seeds: query::seeds,
        dictionary: Some(include_str!("../dictionaries/promql.dict")),
    },
    Target {
        name: "otlp",
        run: otlp::run,
        seeds: otlp::seeds,
        dictionary: Some(include_str!("../dictionaries/otlp.dict")),
    },
    Target { name: "segment", run: segment::run, seeds: segment::seeds, dictionary: None },
    Target { name: "block", run: block::run, seeds: block::seeds, dictionary: None },
    Target {
        name: "config",
        run: config::run,
        seeds: config::seeds,
        dictionary: Some(include_str!("../dictionaries/config.dict")),
    },
    Target {
        name: "rules",
        run: rules::run,
        seeds: rules::seeds,
        dictionary: Some(include_str!("../dictionaries/config.dict")),
    },
    Target {
        name: "template",
        run: template::run,
        seeds: template::seeds,
        dictionary: Some(include_str!("../dictionaries/template.dict")),
    },
    Target {
        name: "policy",
        run: policy::run,
        seeds: policy::seeds,
        dictionary: Some(include_str!("../dictionaries/config.dict")),
    },
];

/// What is done once, before the first input. A panic of the PromQL parser's own is expected by whoever calls it, and ends in an
/// error there; any other ends the process at once, as libFuzzer wants it.
pub fn begin() {
    let end = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.location().is_some_and(|place| place.file().contains("/promql-parser-")) {
            end(panic);
        }
    }));
}

#[cfg(test)]
mod tests;

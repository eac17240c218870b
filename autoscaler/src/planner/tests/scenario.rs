//! Runs scenario files: a policy, then lines of what is so and what is expected. The language, one statement a line:
//!
//! - `policy YAML`: the lines up to the first blank one are the policy's `spec` below `target`
//! - `start N`: the workload has N ready replicas of 100 millicores
//! - `every SECONDS`: time between ticks
//! - `at TIME cpu PERCENT`: from then on the work needs so many percent of one replica's request, shared by all of them
//! - `at TIME cpu missing`: from then on no reading
//! - `at TIME expect FROM -> TO because TEXT`: the tick at that time moves so, and its sentence holds TEXT
//! - `at TIME expect FROM because TEXT`: the tick at that time holds

use std::path::Path;

use super::*;

enum Line {
    Cpu(Option<i64>),
    Expect { from: i32, to: i32, because: String },
}

/// Runs one file and lists what went otherwise.
pub fn run(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let (spec, script) = text.split_once("\n\n").expect("a blank line after the policy");
    let policy = policy(&spec.lines().filter(|l| !l.starts_with('#')).map(|l| format!("{l}\n")).collect::<String>());
    let (mut replicas, mut every, mut lines) = (1, 15, Vec::new());
    for line in script.lines().filter(|l| !l.trim().is_empty() && !l.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["start", number] => replicas = number.parse().unwrap(),
            ["every", seconds] => every = seconds.parse().unwrap(),
            ["at", time, "cpu", "missing"] => lines.push((seconds(time), Line::Cpu(None))),
            ["at", time, "cpu", percent] => lines.push((seconds(time), Line::Cpu(Some(percent.parse().unwrap())))),
            ["at", time, "expect", from, rest @ ..] => {
                let to = if rest[0] == "->" { rest[1] } else { from };
                let because = line.split_once(" because ").expect("because").1.to_owned();
                let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
                lines.push((seconds(time), Line::Expect { from, to, because }));
            }
            _ => panic!("{}: unknown line {line:?}", file.display()),
        }
    }
    play(file, &policy, replicas, every, &lines)
}

fn seconds(time: &str) -> i64 {
    i64::try_from(protocol::duration::parse(time).unwrap().as_secs()).unwrap()
}

fn play(file: &Path, policy: &Policy, mut replicas: usize, every: i64, lines: &[(i64, Line)]) -> Vec<String> {
    let end = lines.iter().map(|(at, _)| *at).max().unwrap();
    let mut wrong = Vec::new();
    let mut history = None;
    let mut work = Some(0);
    let mut checked = 0;
    for at in (0..=end).step_by(usize::try_from(every).unwrap()) {
        let now_ms = START_MS + at * 1000;
        for (_, line) in lines.iter().filter(|(when, _)| *when <= at && *when > at - every) {
            if let Line::Cpu(percent) = line {
                work = *percent;
            }
        }
        let mut observed = observation(now_ms, &vec![work.unwrap_or(0) / i64::try_from(replicas).unwrap(); replicas]);
        if work.is_none() {
            observed.readings = vec![Reading::Missing(Gap::Empty)];
        }
        let history = history.get_or_insert_with(|| History::begin(now_ms, observed.desired));
        let plan = plan(policy, &observed, history);
        for (_, line) in lines.iter().filter(|(when, _)| *when == at) {
            if let Line::Expect { from, to, because } = line {
                checked += 1;
                if (plan.from, plan.wish) != (*from, *to) || !plan.message.contains(because.as_str()) {
                    wrong.push(format!(
                        "{}: at {at}s: expected {from} -> {to} because {because}; got {}",
                        file.display(),
                        plan.message
                    ));
                }
            }
        }
        if let Some(wish) = plan.recommendation {
            history.remember(now_ms, wish, policy.behavior.as_ref());
        }
        history.blind_since_ms = plan.blind.then(|| history.blind_since_ms.unwrap_or(now_ms));
        if let Some(to) = plan.write {
            history.changed(now_ms, plan.from, to, policy.behavior.as_ref());
            replicas = usize::try_from(to).unwrap();
        }
    }
    let expected = lines.iter().filter(|(_, line)| matches!(line, Line::Expect { .. })).count();
    if checked != expected {
        wrong.push(format!("{}: {} expectations fall on no tick", file.display(), expected - checked));
    }
    wrong
}

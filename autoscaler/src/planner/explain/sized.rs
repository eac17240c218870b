//! The words and numbers of a record that tells by how much load a workload was sized. Decides nothing.

use protocol::scaling::{SizingCase, SizingRecord};

use super::number;

/// Why a workload needs as many replicas as it does.
pub(super) fn sizing_words(record: &SizingRecord) -> String {
    match record {
        SizingRecord::Queue { front_rate, workers, quantile, below_seconds, utilization_max, likely, .. } => {
            let rate = match front_rate {
                Some(front) if *front > 0.0 => {
                    let visits = number(likely.rate / front);
                    format!(
                        "{} requests/s at the front door x {visits} = {} requests/s",
                        number(*front),
                        number(likely.rate)
                    )
                }
                _ => format!("{} requests/s", number(likely.rate)),
            };
            if likely.rate <= 0.0 {
                return format!("{rate} need no more than {}", replicas(likely));
            }
            let each = if *workers > 1 { format!(" of {workers}") } else { String::new() };
            format!(
                "{rate} at {} need {} busy workers; {}{each} keep the wait's {} percentile under {}, and at most {}% busy",
                seconds(likely.service_seconds),
                number(busy(likely)),
                replicas(likely),
                ordinal(quantile * 100.0),
                seconds(wait_seconds(*below_seconds, likely)),
                number(utilization_max * 100.0),
            )
        }
        SizingRecord::Drain { waiting, within_seconds, likely, .. } => {
            format!(
                "{} waiting and {}/s arriving, of which a replica does {}/s; {} are done with it within {}",
                number(*waiting),
                number(likely.rate),
                number(1.0 / likely.service_seconds),
                replicas(likely),
                seconds(*within_seconds),
            )
        }
    }
}

/// Workers that are busy, or what waits.
pub(super) fn value_of(record: &SizingRecord) -> f64 {
    match record {
        SizingRecord::Queue { likely, .. } => busy(likely),
        SizingRecord::Drain { waiting, .. } => *waiting,
    }
}

/// Workers that `from` replicas are, or nothing that waits.
pub(super) fn target_of(record: &SizingRecord, from: i32) -> f64 {
    match record {
        SizingRecord::Queue { workers, .. } => f64::from(*workers) * f64::from(from),
        SizingRecord::Drain { .. } => 0.0,
    }
}

fn busy(case: &SizingCase) -> f64 {
    case.rate * case.service_seconds
}

fn wait_seconds(below_seconds: f64, case: &SizingCase) -> f64 {
    crate::planner::sizing::wait_seconds(below_seconds, case.service_seconds)
}

fn replicas(case: &SizingCase) -> String {
    format!("{} replica{}", case.replicas, if case.replicas == 1 { "" } else { "s" })
}

fn seconds(seconds: f64) -> String {
    if seconds >= 1.0 { format!("{} s", number(seconds)) } else { format!("{} ms", number(seconds * 1000.0)) }
}

/// `99th`, `99.9th`.
fn ordinal(percent: f64) -> String {
    let text = number(percent);
    let last = text.bytes().last().filter(|_| !text.contains('.') && (text.len() == 1 || !text.starts_with('1')));
    let ending = match last {
        Some(b'1') => "st",
        Some(b'2') => "nd",
        Some(b'3') => "rd",
        _ => "th",
    };
    format!("{text}{ending}")
}

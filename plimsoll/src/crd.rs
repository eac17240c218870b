//! `plimsoll crd`: prints the custom resource ScalingPolicy, for `kubectl apply -f -`.

use std::io::Write;

use crate::outcome::Outcome;

/// Prints it.
pub fn run() -> Outcome {
    let mut out = std::io::stdout().lock();
    Outcome::of(out.write_all(autoscaler::policy::crd::yaml().as_bytes()).and_then(|()| out.flush()))
}

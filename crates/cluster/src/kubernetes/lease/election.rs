//! Who leads, as one candidate knows it: what it may send next, what follows from an answer, and until when its lead holds.
//! Pure. Time is the candidate's own and only ever compared with itself: when *it* sent something and when *it* saw a Lease
//! change, never what time anybody wrote into one.

use std::time::Duration;

/// Longest that a leader's own word on its lease's length is believed: a mistyped one must not keep everybody out for good.
const LEASE_MAX: Duration = Duration::from_secs(60);

/// How long things hold. `renew` must be well below `lease`: the difference covers clocks that run at different speeds, and
/// writes that the API server has taken and not carried out yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// A Lease that has not changed for so long may be taken.
    pub lease: Duration,
    /// A lead holds so long from before its renewal was sent.
    pub renew: Duration,
    /// Time between two looks or renewals.
    pub retry: Duration,
}

impl Default for Terms {
    /// Another one acts within 15 s of a leader's death: at most 2 s after its last renewal was seen, plus 10 s, plus a write.
    fn default() -> Self {
        Self { lease: Duration::from_secs(10), renew: Duration::from_secs(6), retry: Duration::from_secs(2) }
    }
}

/// A Lease as it was read or written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its resourceVersion.
    pub version: String,
    /// Who holds it; empty when it was given back.
    pub holder: String,
    /// How long its holder says that it lasts.
    pub lasts: Duration,
    /// How often it has changed hands.
    pub transitions: i32,
    /// Where its holder answers.
    pub address: Option<String>,
}

/// What to send to the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Read the Lease.
    Look,
    /// Make the Lease, held by this candidate.
    Create,
    /// Take or renew the Lease, on condition that it still has this version.
    Write {
        /// The version.
        version: String,
        /// How often it has changed hands then.
        transitions: i32,
    },
}

/// What the API server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The Lease as it is.
    Found(Seen),
    /// There is none.
    Absent,
    /// It was written as asked.
    Written(Seen),
    /// It was written by another one in between.
    Outrun,
    /// Nothing, or an error.
    Failed(String),
}

/// Who leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// This process.
    Leading,
    /// Another one.
    Following {
        /// Its identity.
        leader: String,
        /// Where it answers.
        address: Option<String>,
    },
    /// Nobody, as far as is known.
    Nobody {
        /// Why.
        reason: String,
    },
}

/// What is known of the Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Known {
    Nothing,
    /// There is none, and none may be made before this time: somebody may still believe to hold the one that was deleted.
    Absent(Duration),
    Since(Seen, Duration),
}

/// One candidate.
#[derive(Debug, Clone)]
pub struct Election {
    me: String,
    terms: Terms,
    known: Known,
    until: Option<Duration>,
    /// Answers to what was sent before say nothing about a lead: another one was seen to have it since.
    deposed: Option<Duration>,
    failure: Option<String>,
    closed: bool,
}

impl Election {
    /// A candidate that has seen nothing yet.
    pub fn new(me: String, terms: Terms) -> Self {
        Self { me, terms, known: Known::Nothing, until: None, deposed: None, failure: None, closed: false }
    }

    /// The time up to which this candidate leads, if it does.
    pub fn until(&self) -> Option<Duration> {
        self.until.filter(|_| !self.closed)
    }

    /// What to send now.
    pub fn order(&self, now: Duration) -> Order {
        match &self.known {
            Known::Nothing => Order::Look,
            Known::Absent(free) if now >= *free => Order::Create,
            Known::Absent(_) => Order::Look,
            Known::Since(seen, _) if seen.holder == self.me => {
                Order::Write { version: seen.version.clone(), transitions: seen.transitions }
            }
            Known::Since(seen, since) if now >= self.free_at(seen, *since) => {
                Order::Write { version: seen.version.clone(), transitions: seen.transitions.saturating_add(1) }
            }
            Known::Since(..) => Order::Look,
        }
    }

    /// When to send next, at the latest; `sent` is when the last order went out.
    pub fn wake(&self, sent: Duration) -> Duration {
        let regular = sent + self.terms.retry;
        let free = match &self.known {
            Known::Since(seen, since) if seen.holder != self.me => self.free_at(seen, *since),
            Known::Absent(free) => *free,
            _ => return regular,
        };
        // What was sent when it was free already, and failed, is not sent again at once.
        if self.failure.is_some() && free <= sent { regular } else { regular.min(free) }
    }

    fn free_at(&self, seen: &Seen, since: Duration) -> Duration {
        if seen.holder.is_empty() { since } else { since + seen.lasts.clamp(self.terms.lease, LEASE_MAX) }
    }

    /// Learns from an answer. `sent` is when its order went out, `now` when the answer came; it may come late, or twice.
    pub fn learn(&mut self, sent: Duration, now: Duration, answer: Answer) {
        self.failure = None;
        match answer {
            Answer::Found(seen) => self.see(seen, now),
            Answer::Absent => {
                self.known = Known::Absent(match &self.known {
                    // Whoever held one that was deleted just now may believe in it for as long as a Lease lasts.
                    Known::Nothing => now + self.terms.lease,
                    Known::Absent(free) => *free,
                    Known::Since(seen, since) if seen.holder != self.me => self.free_at(seen, *since),
                    Known::Since(..) => now + self.terms.lease,
                });
                self.until = None;
                self.deposed = Some(now);
            }
            Answer::Written(seen) => {
                let is_news = self.deposed.is_none_or(|deposed| sent >= deposed);
                if seen.holder == self.me && is_news {
                    let until = sent + self.terms.renew;
                    self.until = Some(self.until.map_or(until, |known| known.max(until)));
                    self.known = Known::Since(seen, now);
                }
            }
            // Whoever wrote in between may lead: what is known is no more. The own lead, if any, runs out as it would.
            Answer::Outrun => self.known = Known::Nothing,
            Answer::Failed(reason) => self.failure = Some(reason),
        }
    }

    fn see(&mut self, seen: Seen, now: Duration) {
        if seen.holder != self.me {
            self.until = None;
            self.deposed = Some(now);
        }
        match &self.known {
            Known::Since(known, _) if *known == seen => {}
            _ => self.known = Known::Since(seen, now),
        }
    }

    /// Gives the lead up for good, before anything is sent; the version under which the Lease may be given back, if it is held.
    pub fn close(&mut self) -> Option<String> {
        self.closed = true;
        self.until = None;
        self.held_version()
    }

    /// The version of the Lease, if this candidate holds it as far as it knows.
    pub fn held_version(&self) -> Option<String> {
        match &self.known {
            Known::Since(seen, _) if seen.holder == self.me => Some(seen.version.clone()),
            _ => None,
        }
    }

    /// Who leads now.
    pub fn standing(&self, now: Duration) -> Standing {
        if self.until().is_some_and(|until| now < until) {
            return Standing::Leading;
        }
        let because = self.failure.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let nobody = |reason: String| Standing::Nobody { reason };
        match &self.known {
            _ if self.closed => nobody("this autoscaler is shutting down".to_owned()),
            Known::Nothing => nobody(format!("the Lease was not read yet{because}")),
            Known::Absent(_) => nobody(format!("there is no Lease yet{because}")),
            Known::Since(seen, _) if seen.holder == self.me => {
                nobody(format!("the Lease could not be renewed{because}"))
            }
            Known::Since(seen, _) if seen.holder.is_empty() => nobody(format!("the last leader gave it up{because}")),
            Known::Since(seen, since) if now >= self.free_at(seen, *since) => {
                nobody(format!("{} has not renewed the Lease{because}", seen.holder))
            }
            Known::Since(seen, _) => Standing::Following { leader: seen.holder.clone(), address: seen.address.clone() },
        }
    }
}

#[cfg(test)]
mod tests;

//! The unit tests of the election: candidates with clocks of their own before one API server that loses, delays and repeats
//! what passes between them. Never two lead at one time; where the network is well, soon one does.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const STEP: Duration = Duration::from_millis(100);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn held_by(holder: &str, version: u64) -> Seen {
    Seen {
        version: version.to_string(),
        holder: holder.to_owned(),
        lasts: seconds(10),
        transitions: 0,
        address: Some(format!("http://{holder}")),
    }
}

#[test]
fn a_lease_is_taken_when_it_has_not_changed_for_as_long_as_it_lasts() {
    let mut election = Election::new("b".to_owned(), Terms::default());
    assert_eq!(election.order(seconds(100)), Order::Look);
    election.learn(seconds(100), seconds(101), Answer::Found(held_by("a", 1)));
    election.learn(seconds(104), seconds(105), Answer::Found(held_by("a", 2)));
    election.learn(seconds(110), seconds(111), Answer::Found(held_by("a", 2)));
    let following = Standing::Following { leader: "a".to_owned(), address: Some("http://a".to_owned()) };
    assert_eq!(election.standing(seconds(111)), following);
    assert_eq!((election.order(seconds(114)), election.wake(seconds(114))), (Order::Look, seconds(115)));
    assert_eq!(election.order(seconds(115)), Order::Write { version: "2".to_owned(), transitions: 1 });
    election.learn(seconds(115), seconds(116), Answer::Written(held_by("b", 3)));
    assert_eq!((election.standing(seconds(116)), election.until()), (Standing::Leading, Some(seconds(121))));
    election.learn(seconds(117), seconds(119), Answer::Failed("no answer within 2 s".to_owned()));
    assert_eq!(election.standing(seconds(120)), Standing::Leading);
    let lost = Standing::Nobody { reason: "the Lease could not be renewed: no answer within 2 s".to_owned() };
    assert_eq!(election.standing(seconds(121)), lost);
}

#[test]
fn a_lease_that_was_given_back_is_taken_at_once() {
    let mut election = Election::new("b".to_owned(), Terms::default());
    election.learn(seconds(1), seconds(1), Answer::Found(held_by("", 7)));
    assert_eq!(election.order(seconds(1)), Order::Write { version: "7".to_owned(), transitions: 1 });
    assert_eq!(election.wake(seconds(1)), seconds(1));
}

#[test]
fn a_deleted_lease_is_not_made_anew_while_its_holder_may_still_believe_in_it() {
    let mut election = Election::new("b".to_owned(), Terms::default());
    election.learn(seconds(0), seconds(1), Answer::Found(held_by("a", 1)));
    election.learn(seconds(2), seconds(3), Answer::Absent);
    assert_eq!(election.order(seconds(10)), Order::Look);
    assert_eq!(election.order(seconds(11)), Order::Create);
}

#[test]
fn a_lease_that_was_never_seen_is_made_when_nobody_can_believe_in_an_earlier_one() {
    let mut fresh = Election::new("b".to_owned(), Terms::default());
    assert_eq!(fresh.order(seconds(2)), Order::Look);
    fresh.learn(seconds(2), seconds(3), Answer::Absent);
    assert_eq!((fresh.order(seconds(4)), fresh.wake(seconds(2))), (Order::Look, seconds(4)));
    fresh.learn(seconds(12), seconds(12), Answer::Absent);
    assert_eq!((fresh.order(seconds(12)), fresh.wake(seconds(12))), (Order::Look, seconds(13)));
    assert_eq!(fresh.order(seconds(13)), Order::Create);
    // Another one was quicker.
    fresh.learn(seconds(13), seconds(14), Answer::Outrun);
    assert_eq!((fresh.order(seconds(14)), fresh.until()), (Order::Look, None));
    fresh.learn(seconds(14), seconds(14), Answer::Found(held_by("a", 1)));
    assert!(matches!(fresh.standing(seconds(14)), Standing::Following { .. }));
    // Outrun, it knows no more whose the Lease was that is gone now: its holder may believe in it still.
    fresh.learn(seconds(30), seconds(30), Answer::Outrun);
    fresh.learn(seconds(31), seconds(31), Answer::Absent);
    assert_eq!(fresh.order(seconds(40)), Order::Look);
}

#[test]
fn what_fails_at_once_is_not_tried_again_at_once() {
    let mut election = Election::new("b".to_owned(), Terms::default());
    election.learn(seconds(0), seconds(0), Answer::Found(held_by("a", 1)));
    let failed = || Answer::Failed("etcdserver: no space".to_owned());
    election.learn(seconds(9), seconds(9), failed());
    assert_eq!(election.wake(seconds(9)), seconds(10), "a look that failed puts nothing off");
    assert!(matches!(election.order(seconds(10)), Order::Write { .. }));
    election.learn(seconds(10), seconds(10), failed());
    assert_eq!(election.wake(seconds(10)), seconds(12));
}

#[test]
fn nobody_is_kept_out_for_long_by_a_mistyped_duration() {
    let mut election = Election::new("b".to_owned(), Terms::default());
    let lasts = Duration::from_secs(1_000_000);
    election.learn(seconds(0), seconds(0), Answer::Found(Seen { lasts, ..held_by("a", 1) }));
    assert!(matches!(election.order(LEASE_MAX), Order::Write { .. }));
}

#[test]
fn who_gave_the_lead_up_never_has_it_again() {
    let mut election = Election::new("a".to_owned(), Terms::default());
    election.learn(seconds(0), seconds(0), Answer::Written(held_by("a", 1)));
    assert_eq!(election.close(), Some("1".to_owned()));
    election.learn(seconds(1), seconds(2), Answer::Written(held_by("a", 2)));
    assert_eq!(election.until(), None);
    assert!(matches!(election.standing(seconds(2)), Standing::Nobody { .. }));
}

/// The API server's side: one Lease, written on condition of its version.
#[derive(Default)]
struct Server {
    lease: Option<Seen>,
    versions: u64,
}

impl Server {
    fn answer(&mut self, from: &str, order: &Order) -> Answer {
        match (order, &self.lease) {
            (Order::Look, None) => Answer::Absent,
            (Order::Look, Some(seen)) => Answer::Found(seen.clone()),
            (Order::Create, None) => self.write(from, 0),
            (Order::Write { version, transitions }, Some(seen)) if seen.version == *version => {
                self.write(from, *transitions)
            }
            _ => Answer::Outrun,
        }
    }

    fn write(&mut self, holder: &str, transitions: i32) -> Answer {
        self.versions += 1;
        let seen = Seen { transitions, ..held_by(holder, self.versions) };
        self.lease = Some(seen.clone());
        Answer::Written(seen)
    }
}

struct Candidate {
    election: Election,
    name: String,
    /// Its clock: how fast it runs, in percent, and where it began.
    percent: u32,
    began: Duration,
    /// When its latest order went out and whether an answer is still awaited, in its own time.
    sent: Duration,
    waits: bool,
    down_until: Duration,
    life: u32,
}

impl Candidate {
    fn clock(&self, now: Duration) -> Duration {
        self.began + now * self.percent / 100
    }

    fn leads(&self, now: Duration) -> bool {
        self.election.until().is_some_and(|until| self.clock(now) < until)
    }
}

/// What passes between candidate and server, by the time at which it arrives.
enum Passing {
    Request { candidate: usize, life: u32, order: Order, sent: Duration },
    Response { candidate: usize, life: u32, answer: Answer, sent: Duration },
}

/// How the network and the candidates behave: each choice takes the next of these numbers.
struct Fate {
    numbers: Vec<u8>,
    next: usize,
    calm: bool,
}

impl Fate {
    fn choose(&mut self, one_in: u8) -> bool {
        !self.calm && self.number().is_multiple_of(one_in)
    }

    fn number(&mut self) -> u8 {
        self.next = (self.next + 1) % self.numbers.len();
        self.numbers[self.next].wrapping_add(u8::try_from(self.next % 251).unwrap_or(0))
    }

    fn delay(&mut self) -> Duration {
        if self.calm {
            return STEP;
        }
        // Mostly quick, now and then longer than a lease.
        let millis = if self.number().is_multiple_of(8) { 60 } else { 4 };
        Duration::from_millis(u64::from(self.number()) * millis)
    }
}

struct World {
    server: Server,
    candidates: Vec<Candidate>,
    passing: BTreeMap<(Duration, u64), Passing>,
    posted: u64,
    fate: Fate,
}

impl World {
    fn new(clocks: &[(u32, u64)], numbers: Vec<u8>) -> Self {
        let candidate = |(index, (percent, began)): (usize, &(u32, u64))| Candidate {
            election: Election::new(format!("candidate-{index}"), Terms::default()),
            name: format!("candidate-{index}"),
            percent: *percent,
            began: seconds(*began),
            sent: Duration::ZERO,
            waits: false,
            down_until: Duration::ZERO,
            life: 0,
        };
        Self {
            server: Server::default(),
            candidates: clocks.iter().enumerate().map(candidate).collect(),
            passing: BTreeMap::new(),
            posted: 0,
            fate: Fate { numbers, next: 0, calm: false },
        }
    }

    fn post(&mut self, at: Duration, passing: Passing) {
        self.posted += 1;
        self.passing.insert((at, self.posted), passing);
    }

    fn deliver(&mut self, now: Duration) {
        while let Some(entry) = self.passing.first_entry().filter(|entry| entry.key().0 <= now) {
            match entry.remove() {
                Passing::Request { candidate, life, order, sent } => {
                    let name = self.candidates[candidate].name.clone();
                    for _ in 0..if self.fate.choose(16) { 2 } else { 1 } {
                        let answer = self.server.answer(&name, &order);
                        if self.fate.choose(6) {
                            continue;
                        }
                        for _ in 0..if self.fate.choose(10) { 2 } else { 1 } {
                            let at = now + self.fate.delay();
                            self.post(at, Passing::Response { candidate, life, answer: answer.clone(), sent });
                        }
                    }
                }
                Passing::Response { candidate, life, answer, sent } => {
                    let candidate = &mut self.candidates[candidate];
                    if candidate.life == life && now >= candidate.down_until {
                        let clock = candidate.clock(now);
                        candidate.election.learn(sent, clock, answer);
                        candidate.waits &= sent != candidate.sent;
                    }
                }
            }
        }
    }

    fn act(&mut self, index: usize, now: Duration) {
        let candidate = &mut self.candidates[index];
        if now < candidate.down_until {
            return;
        }
        if self.fate.choose(250) {
            // It dies, and comes back later knowing nothing but its name.
            candidate.down_until = now + seconds(5);
            candidate.life += 1;
            candidate.waits = false;
            candidate.election = Election::new(candidate.name.clone(), Terms::default());
            return;
        }
        let clock = candidate.clock(now);
        let gave_up = candidate.waits && clock >= candidate.sent + seconds(2);
        if gave_up {
            let sent = candidate.sent;
            candidate.election.learn(sent, clock, Answer::Failed("no answer".to_owned()));
            candidate.waits = false;
        }
        if candidate.waits || (clock < candidate.election.wake(candidate.sent) && !gave_up) {
            return;
        }
        let order = candidate.election.order(clock);
        candidate.sent = clock;
        candidate.waits = true;
        if !self.fate.choose(6) {
            let (life, at) = (candidate.life, now + self.fate.delay());
            self.post(at, Passing::Request { candidate: index, life, order, sent: clock });
        }
    }

    fn leaders(&self, now: Duration) -> Vec<&str> {
        self.candidates.iter().filter(|c| c.leads(now)).map(|c| c.name.as_str()).collect()
    }

    /// Runs for so long; the most who ever led at one time, and whether somebody ever did.
    fn run(&mut self, from: Duration, length: Duration) -> Result<bool, String> {
        let mut now = from;
        let mut led = false;
        while now < from + length {
            self.deliver(now);
            for index in 0..self.candidates.len() {
                self.act(index, now);
            }
            let leaders = self.leaders(now);
            if leaders.len() > 1 {
                return Err(format!("{leaders:?} lead at {now:?}"));
            }
            led |= !leaders.is_empty();
            now += STEP;
        }
        Ok(led)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Clocks that differ by half in speed, which no two machines do.
    #[test]
    fn never_two_lead_at_one_time(
        clocks in proptest::collection::vec((80_u32..=120, 0_u64..100_000), 2..=3),
        numbers in proptest::collection::vec(any::<u8>(), 64..512),
    ) {
        let mut world = World::new(&clocks, numbers);
        world.run(Duration::ZERO, seconds(120)).map_err(TestCaseError::fail)?;
        world.fate.calm = true;
        let mut settled = world.run(seconds(120), seconds(40)).map_err(TestCaseError::fail)?;
        settled &= world.leaders(seconds(160) - STEP).len() == 1;
        prop_assert!(settled, "where nothing is lost somebody leads");
    }
}

#[test]
fn another_one_leads_within_the_time_promised_once_a_leader_is_gone() {
    let mut world = World::new(&[(100, 0), (100, 50)], vec![1]);
    world.fate.calm = true;
    assert_eq!(world.run(Duration::ZERO, seconds(30)), Ok(true));
    let leader = world.candidates.iter().position(|c| c.leads(seconds(30))).unwrap();
    world.candidates[leader].down_until = seconds(1_000);
    world.candidates[leader].election.close();
    world.run(seconds(30), seconds(13)).unwrap();
    assert_eq!(world.leaders(seconds(43)).len(), 1, "13 s after the leader's death");
    assert_eq!(world.server.lease.as_ref().map(|seen| seen.transitions), Some(1));
}

//! What the rollout plan promises: bounds are kept at every step, and it always gets to the end.

use proptest::prelude::*;

use super::{Bounds, Plan, Replica, plan};

fn replica(id: u64, current: bool, available: bool) -> Replica {
    Replica { id, current, available, cost: 0 }
}

fn parse(text: &str) -> Vec<Replica> {
    let replica = |(id, word): (usize, &str)| replica(id as u64, word.starts_with('n'), word.ends_with('+'));
    text.split_whitespace().enumerate().map(replica).collect()
}

/// `n` is of the new version and `o` of the old, `+` is available; surge and unavailable; what to create and to end.
#[test]
fn takes_the_expected_step() {
    for (replicas, desired, surge, unavailable, create, end) in [
        ("", 3, 1, 0, 3, vec![]),
        ("n+ n+", 3, 1, 0, 1, vec![]),
        ("n+ n+ n+", 1, 1, 0, 0, vec![2, 1]),
        ("n+ n- n+", 2, 1, 0, 0, vec![1]),
        ("n+", 0, 1, 0, 0, vec![0]),
        ("o+ o+", 2, 1, 0, 1, vec![]),
        ("o+ o+ n-", 2, 1, 0, 0, vec![]),
        ("o+ o+ n+", 2, 1, 0, 0, vec![1]),
        ("o+ n+", 2, 1, 0, 1, vec![]),
        ("o+ n+ n+", 2, 1, 0, 0, vec![0]),
        ("o+ o- n-", 2, 1, 0, 0, vec![1]),
        ("o+ o+ o+ o+", 4, 0, 1, 0, vec![3]),
        ("o+", 1, 0, 0, 0, vec![0]),
        ("o+ o+", 0, 1, 0, 0, vec![1, 0]),
    ] {
        let step = plan(&parse(replicas), desired, Bounds { surge, unavailable });
        assert_eq!(step, Plan { create, end }, "{replicas:?} to {desired}, surge {surge}, unavailable {unavailable}");
    }
}

#[test]
fn the_cheapest_end_first_but_never_before_those_that_do_not_serve() {
    let costs = [(true, 5), (true, -1), (false, 9), (true, 5), (true, 0)];
    let replicas: Vec<Replica> =
        (0u64..).zip(costs).map(|(id, (available, cost))| Replica { cost, ..replica(id, true, available) }).collect();
    let step = plan(&replicas, 1, Bounds { surge: 1, unavailable: 0 });
    assert_eq!(step.end, [2, 1, 4, 3]);
}

proptest! {
    #[test]
    fn keeps_its_bounds_and_reaches_the_end(
        old in 0u64..8, desired in 0u32..8, surge in 0u32..3, unavailable in 0u32..3, delay in 0usize..3,
    ) {
        let bounds = Bounds { surge, unavailable };
        let mut replicas: Vec<Replica> = (0..old).map(|id| replica(id, false, true)).collect();
        let mut next_id = old;
        let floor = |before: usize| {
            let gap = if surge == 0 { unavailable.max(1) } else { unavailable };
            (desired.saturating_sub(gap) as usize).min(before)
        };
        for step in 0..200 {
            let available = replicas.iter().filter(|r| r.available).count();
            let Plan { create, end } = plan(&replicas, desired, bounds);
            if create == 0 && end.is_empty() && replicas.iter().all(|r| r.available) {
                break;
            }
            replicas.retain(|r| !end.contains(&r.id));
            let after = replicas.iter().filter(|r| r.available).count();
            prop_assert!(after >= floor(available), "{after} available of {desired} at step {step}");
            for _ in 0..create {
                replicas.push(replica(next_id, true, false));
                next_id += 1;
            }
            prop_assert!(create == 0 || replicas.len() <= (desired + surge) as usize, "{} replicas", replicas.len());
            if step % (delay + 1) == delay {
                replicas.iter_mut().for_each(|r| r.available = true);
            }
        }
        prop_assert!(replicas.iter().all(|r| r.current && r.available), "{replicas:?}");
        prop_assert_eq!(replicas.len(), desired as usize);
    }
}

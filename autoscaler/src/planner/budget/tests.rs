//! Both guards alone, and in their places in the plan.

use proptest::prelude::*;

use super::super::tests::{CPU_65, START_MS, observation, policy};
use super::super::{History, Observation, Plan, Reason, plan};
use super::*;

fn budget(state: State, left: Option<f64>, packing: bool) -> ErrorBudget {
    let over = Duration::from_secs(3600);
    ErrorBudget { state, objective: "availability".to_owned(), rate: 22.4, over, left, packing }
}

/// Plans for replicas with so much usage each, whose lower wish has been there for long enough.
fn planned(budget: Option<ErrorBudget>, usage: &[i64]) -> Plan {
    let now_ms = START_MS + 3_600_000;
    plan(&policy(CPU_65), &Observation { budget, ..observation(now_ms, usage) }, &History::default())
}

#[test]
fn a_fast_burn_forbids_less_and_nothing_else() {
    let fast = || Some(budget(State::FastBurn, Some(-0.5), false));
    let held = planned(fast(), &[20, 20, 20, 20]);
    assert_eq!((held.wish, held.write, held.reason), (4, None, Reason::FastBurnForbidsDown));
    assert_eq!(
        held.message,
        "order stays at 4: 2 would be enough, but its availability burned the error budget 22 times too fast in the last 1h"
    );
    assert_eq!(held.guards.last().map(|g| (g.guard.as_str(), g.before, g.after)), Some(("burnRate", 2, 4)));
    let raised = planned(fast(), &[130, 130]);
    assert_eq!((raised.wish, raised.reason), (4, Reason::SignalAboveTarget));
    let above = Observation { desired: 9, budget: fast(), ..observation(START_MS, &[20; 9]) };
    let above = plan(&policy(CPU_65), &above, &History::default());
    assert_eq!((above.wish, above.reason), (8, Reason::AboveMaximum), "an operator's limit holds");
}

#[test]
fn other_states_and_no_objectives_change_nothing() {
    let without = planned(None, &[20, 20, 20, 20]);
    assert_eq!(without.wish, 2);
    assert!(without.guards.iter().all(|g| g.guard != "burnRate" && g.guard != "errorBudget"));
    for state in [State::NoData, State::Ok, State::SlowBurn] {
        let with = planned(Some(budget(state, Some(0.99), false)), &[20, 20, 20, 20]);
        assert_eq!((with.wish, &with.message), (2, &without.message), "{state:?}");
        assert_eq!(with.guards.last().map(|g| (g.guard.as_str(), g.note.as_str())), Some(("burnRate", "")));
    }
}

#[test]
fn a_full_budget_packs_where_its_owner_lets_it() {
    // 202 millicores at 65 each are 3.1 replicas: four, or three that are 4 % above their target.
    let usage = [51, 51, 50, 50];
    assert_eq!(planned(None, &usage).wish, 4);
    let packed = planned(Some(budget(State::Ok, Some(0.97), true)), &usage);
    assert_eq!((packed.wish, packed.reason, packed.recommendation), (3, Reason::SignalBelowTarget, Some(3)));
    assert_eq!(
        packed.message,
        "order 4 -> 3: cpu utilization 50% is below 65%, and 97% of the error budget is left, so fewer do"
    );
    for refused in [
        budget(State::Ok, Some(0.97), false),
        budget(State::Ok, Some(0.8), true),
        budget(State::Ok, None, true),
        budget(State::SlowBurn, Some(0.97), true),
    ] {
        assert_eq!(planned(Some(refused.clone()), &usage).wish, 4, "{refused:?}");
    }
    let stays = planned(Some(budget(State::Ok, Some(0.97), true)), &[68, 68, 68]);
    assert_eq!((stays.wish, stays.reason), (3, Reason::WithinTolerance), "what was packed is not unpacked");
}

proptest! {
    #[test]
    fn a_guard_never_raises_above_what_there_is_and_packing_never_leaves_the_tolerance(
        from in 1i32..50, wish in 1i32..60, demand in 0.1f64..60.0, tolerance in 0.0f64..0.5, fast: bool,
    ) {
        let state = if fast { State::FastBurn } else { State::Ok };
        let budget = budget(state, Some(0.9), true);
        let (held, _) = hold(&budget, from, wish);
        let expected = if fast { wish.max(from) } else { wish };
        prop_assert_eq!(held, expected);
        let (packed, note) = pack(&budget, wish, from, demand, tolerance);
        prop_assert_eq!(packed == wish, note.is_empty());
        prop_assert!(packed == wish || demand / f64::from(packed) <= 1.0 + tolerance);
    }
}

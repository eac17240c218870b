//! Claims about downstream budgets: never more than there is, and fairly.

use proptest::prelude::*;

use super::*;

fn claim(from: u32, wish: u32, each: u32) -> Claim {
    Claim { from, wish, live: from, ending: 0, needs: vec![(0, each)] }
}

#[test]
fn what_is_left_goes_to_whoever_has_least() {
    // 200 connections, 20 each: ten replicas in all, of which four are there.
    let claims = [claim(3, 8, 20), claim(1, 8, 20)];
    assert_eq!(allot(&[200], &claims), [5, 5]);
    assert_eq!(allot(&[200], &[claim(3, 4, 20), claim(1, 8, 20)]), [4, 6], "who wants less leaves more");
    assert_eq!(allot(&[200], &[claim(3, 8, 20), claim(1, 8, 40)]), [6, 2], "shares are of the budget, not of replicas");
    assert_eq!(allot(&[210], &[claim(4, 9, 20), claim(4, 9, 20)]), [5, 5], "ten are left over");
    assert_eq!(allot(&[220], &[claim(4, 9, 20), claim(4, 9, 20)]), [6, 5], "the first of equals");
}

#[test]
fn nothing_is_taken_away_and_what_goes_leaves_no_room_yet() {
    assert_eq!(allot(&[100], &[claim(6, 9, 20), claim(2, 5, 20)]), [6, 2], "beyond the budget already");
    assert_eq!(allot(&[100], &[claim(4, 1, 20), claim(1, 5, 20)]), [1, 1], "the three are still there");
    let ending = Claim { ending: 3, ..claim(1, 5, 20) };
    assert_eq!(allot(&[100], &[ending]), [2]);
    let surge = Claim { live: 3, ..claim(2, 5, 20) };
    assert_eq!(allot(&[80], &[surge]), [4], "the one that surges holds its share");
}

#[test]
fn what_one_budget_forbids_is_left_to_others_in_the_other() {
    let both = Claim { needs: vec![(0, 10), (1, 1)], ..claim(1, 9, 0) };
    let one = claim(1, 9, 10);
    // The first may have two by the second budget, and so the other gets the rest of the first.
    assert_eq!(allot(&[100, 2], &[both, one]), [2, 8]);
}

#[test]
fn who_is_held_is_told_by_whom() {
    let allowance = Allowance {
        budget: "postgres-connections".to_owned(),
        total: 200,
        per_replica: 20,
        ending: 1,
        others_hold: 130,
        is_unlisted: false,
        others: vec![
            ("user".to_owned(), 60),
            ("cart".to_owned(), 40),
            ("search".to_owned(), 20),
            ("mail".to_owned(), 10),
        ],
    };
    let (held, note) = hold(std::slice::from_ref(&allowance), 1, 6);
    assert_eq!(held, 2);
    assert_eq!(
        note,
        "the budget postgres-connections has room for 2: of 200, user holds 60, cart holds 40, search holds 20, others hold \
         10, replicas that are ending 20, and each replica takes 20"
    );
    assert_eq!(hold(std::slice::from_ref(&allowance), 4, 6).0, 4, "nothing is taken");
    assert_eq!(hold(std::slice::from_ref(&allowance), 4, 2), (2, String::new()), "and nothing is kept");
    let unlisted = Allowance { is_unlisted: true, ..allowance.clone() };
    assert_eq!(
        [6, 2].map(|wish| hold(std::slice::from_ref(&unlisted), 4, wish).0),
        [4, 4],
        "until it is known what it holds"
    );
    let alone = Allowance { ending: 0, others_hold: 0, others: Vec::new(), ..allowance };
    assert!(hold(&[alone], 3, 99).1.ends_with("has room for 10: of 200, each replica takes 20"));
}

prop_compose! {
    fn any_claim(budgets: usize)(
        from in 1u32..12,
        wish in 1u32..30,
        live in 0u32..14,
        ending in 0u32..4,
        needs in proptest::collection::btree_map(0..budgets, 1u32..40, 1..=budgets),
    ) -> Claim {
        Claim { from, wish, live, ending, needs: needs.into_iter().collect() }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn a_budget_is_never_exceeded_and_never_wasted(
        claims in proptest::collection::vec(any_claim(3), 1..8),
        totals in proptest::collection::vec(1u64..2_000, 3),
    ) {
        let given = allot(&totals, &claims);
        let now: Vec<u32> = claims.iter().map(|claim| claim.from).collect();
        let (before, after) = (held(3, &claims, &now), held(3, &claims, &given));
        for ((before, after), total) in before.iter().zip(&after).zip(&totals) {
            prop_assert!(after <= total || after == before, "{after} of {total}, {before} before");
        }
        for (claim, given) in claims.iter().zip(&given) {
            prop_assert!(*given >= claim.from.min(claim.wish) && *given <= claim.from.max(claim.wish));
            let holds_one_more = claim.holders(given + 1) - claim.holders(*given);
            let is_full = |(budget, each): &(usize, u32)| after[*budget] + u64::from(*each) * holds_one_more > totals[*budget];
            prop_assert!(*given >= claim.wish || claim.needs.iter().any(is_full), "room was left: {claim:?} {given}");
        }
        prop_assert_eq!(&given, &allot(&totals, &claims));
    }
}

//! Claims about how much is taken at once.

use proptest::prelude::*;

use super::*;

fn shop() -> Calls {
    // gateway calls order and search; order calls payment and stock; mail stands alone.
    Calls::new([("gateway", "order"), ("gateway", "search"), ("order", "payment"), ("order", "stock")].into_iter())
}

fn member(service: &str, from: i32, wish: i32) -> Member<'_> {
    Member { service, from, wish }
}

fn may(members: &[Member<'_>], lowered: &Lowered) -> Vec<Option<bool>> {
    let shares = ration(members, &shop(), lowered, 100_000);
    let step = |member: &Member<'_>| (member.from - member.wish).unsigned_abs();
    shares.iter().zip(members).map(|(share, member)| share.as_ref().map(|share| share.bears(step(member)))).collect()
}

#[test]
fn a_cone_is_who_calls_and_who_is_called_in_the_end() {
    let calls = shop();
    let cone = |service| {
        let mut names: Vec<&str> = calls.cone(service).into_iter().collect();
        names.sort_unstable();
        names
    };
    assert_eq!(cone("payment"), ["gateway", "order", "payment"]);
    assert_eq!(cone("search"), ["gateway", "search"]);
    assert_eq!(cone("gateway"), ["gateway", "order", "payment", "search", "stock"]);
    assert_eq!(cone("mail"), ["mail"]);
    let circle = Calls::new([("a", "b"), ("b", "a")].into_iter());
    assert_eq!(circle.cone("a").len(), 2);
}

#[test]
fn a_fifth_of_a_cone_at_once_and_always_one_workload() {
    let all = [
        member("gateway", 4, 4),
        member("order", 6, 3),
        member("payment", 4, 2),
        member("search", 4, 3),
        member("mail", 3, 1),
    ];
    // Of order's cone of 14 replicas two may go; its three do, as somebody must be let. Nobody else of it: payment's cone is the same,
    // and search shares the gateway with order only.
    assert_eq!(may(&all, &Lowered::default()), [None, Some(true), Some(false), Some(true), Some(true)]);
    let mut lowered = Lowered::default();
    lowered.add(80_000, "payment", 2);
    let order = may(&all, &lowered)[1];
    assert_eq!(order, Some(false), "payment had its turn 20 s ago, and may go on");
    assert_eq!(may(&all, &lowered)[2], Some(true));
    let mut long_ago = Lowered::default();
    long_ago.add(70_000, "payment", 2);
    assert_eq!(may(&all, &long_ago)[1], Some(true));
}

#[test]
fn the_words_have_the_numbers() {
    let share = Share { services: 3, replicas: 14, lowered: 2, most: 2 };
    assert_eq!(
        share.note(),
        "2 of the 14 replicas of the 3 services that depend on each other were taken within 30 s, and 2 may be"
    );
}

proptest! {
    #[test]
    fn no_cone_loses_more_than_a_fifth_unless_to_one_workload(
        steps in proptest::collection::vec((1i32..10, 0i32..10), 6),
        edges in proptest::collection::vec((0usize..6, 0usize..6), 0..10),
    ) {
        const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
        let calls = Calls::new(edges.iter().map(|(one, other)| (NAMES[*one], NAMES[*other])));
        let members: Vec<Member<'_>> =
            steps.iter().zip(NAMES).map(|((from, less), name)| member(name, *from, (from - less).max(0))).collect();
        let shares = ration(&members, &calls, &Lowered::default(), 0);
        let step = |index: usize| (members[index].from - members[index].wish).unsigned_abs();
        let goes = |index: usize| shares[index].is_some_and(|share| share.bears(step(index)));
        prop_assert!((0..6).all(|index| step(index) == 0) || (0..6).any(goes), "somebody may");
        for index in (0..6).filter(|index| goes(*index)) {
            let share = shares[index].unwrap();
            let is_first = share.lowered == 0;
            prop_assert!(is_first || f64::from(share.lowered + step(index)) <= 0.2 * f64::from(share.replicas));
        }
    }
}

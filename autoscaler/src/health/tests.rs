//! Claims about who is ready: a leader and its followers are, and whoever knows of no leader says why it is not.

use cluster::kubernetes::lease::Standing;
use tokio::sync::watch;

use super::*;

#[test]
fn a_leader_and_a_follower_are_ready_and_a_lost_election_is_not() {
    let lost = "the Lease could not be renewed: the API server does not answer";
    let (standing, seen) = watch::channel(Standing::Nobody { reason: "the Lease was not read yet".to_owned() });
    let health = Health::new(Lead::elected(seen), Liveness::default());
    health.set(Part::Tick, None);
    let unknown = "no autoscaler leads, as far as is known: the Lease was not read yet";
    assert_eq!(health.missing(), [unknown]);
    for well in [Standing::Leading, Standing::Following { leader: "b".to_owned(), address: None }] {
        standing.send_replace(well);
        assert_eq!(health.missing(), Vec::<String>::new());
    }
    standing.send_replace(Standing::Nobody { reason: lost.to_owned() });
    assert_eq!(health.missing(), [format!("no autoscaler leads, as far as is known: {lost}")]);
    drop(standing);
    assert_eq!(health.missing(), ["the election has ended"]);
}

#[test]
fn without_an_election_the_first_tick_is_all_that_is_waited_for() {
    let health = Health::default();
    assert_eq!(health.missing(), ["the first tick has not gone through"]);
    health.set(Part::Tick, None);
    assert!(health.missing().is_empty());
}

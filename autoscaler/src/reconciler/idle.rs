//! Which replicas go first where there are to be fewer: those with the fewest requests under way, so that those that work go on. Pure; a
//! cluster that knows nothing of it ends its own choice.

use crate::signal::UnderWay;

/// Costs of a tenth of a request: between two replicas that have as good as none there is still a choice.
const STEPS: f64 = 10.0;

/// What it costs to end each of a workload's replicas; empty where nothing is known of any. One of which nothing is known costs as much as
/// the busiest.
pub fn costs(namespace: &str, replicas: &[String], under_way: &UnderWay) -> Vec<(String, i32)> {
    let known: Vec<Option<i32>> = replicas
        .iter()
        .map(|pod| under_way.of(namespace, pod).map(|requests| (requests * STEPS).round().clamp(0.0, 1e9) as i32))
        .collect();
    let Some(most) = known.iter().copied().flatten().max() else { return Vec::new() };
    replicas.iter().zip(known).map(|(pod, cost)| (pod.clone(), cost.unwrap_or(most))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_idlest_costs_least_and_an_unknown_one_most() {
        let mut under_way = UnderWay::default();
        for (pod, requests) in [("a", 3.2), ("b", 0.04), ("c", 0.3)] {
            under_way.insert("shop", pod, requests);
        }
        under_way.insert("dev", "d", 0.0);
        let replicas = ["a", "b", "c", "d"].map(str::to_owned);
        let named: Vec<(String, i32)> = replicas.iter().cloned().zip([32, 0, 3, 32]).collect();
        assert_eq!(costs("shop", &replicas, &under_way), named);
        assert!(costs("shop", &replicas[3..], &under_way).is_empty());
    }
}

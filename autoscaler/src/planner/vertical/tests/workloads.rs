//! Workloads that are given what is planned, for days.

use super::*;

const BOTH: &str = "cpu: {min: 20m, max: 4}, memory: {min: 32Mi, max: 4Gi}";

/// Between 0 and 1, the same for the same number.
fn noise(number: u64) -> f64 {
    let mixed = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    ((mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) >> 11) as f64 / (1u64 << 53) as f64
}

#[test]
fn a_weekly_peak_survives_a_quiet_weekend() {
    let mut bench = Bench::new(BOTH, (0.2, 256.0), None);
    let mut forgotten = false;
    // Two weeks, of which the second begins with what the first has taught.
    while bench.now_ms < MONDAY_MS + 14 * 24 * HOUR_MS {
        let is_peak = (9..11).contains(&hour_of_week(bench.now_ms));
        let (cpu, memory) = if is_peak { (0.8, 400.0) } else { (0.1, 100.0) };
        bench.uses(cpu, memory);
        bench.tick(5 * MINUTE_MS);
        let is_eve = hour_of_week(bench.now_ms) == 167;
        if is_eve || is_peak && bench.now_ms > MONDAY_MS + 7 * 24 * HOUR_MS {
            assert!(bench.cores() >= 0.8 && bench.mib() >= 400.0, "{} cores, {} MiB", bench.cores(), bench.mib());
        }
        let p90 = bench.record("cpu").models.iter().find(|model| model.model == "p90");
        forgotten |= is_eve && p90.is_some_and(|model| model.wish < 0.2);
    }
    assert!(forgotten, "a percentile that is decayed within a day has forgotten Monday by Sunday");
    assert!(bench.cores() <= 0.8 * 1.2 && bench.mib() <= 400.0 * 1.2, "{} {}", bench.cores(), bench.mib());
}

/// A process that needs `peak` MiB, and is killed whenever its limit is below that.
fn kill_until_it_fits(resources: &str, start: f64, peak: f64, days: i64) -> (Bench, u64) {
    let mut bench = Bench::new(resources, (0.2, start), Some(1.0));
    let (mut kills, mut most) = (0, 0.0f64);
    for tick in 0..days * 24 * 12 {
        let limit = bench.mib_limit();
        let fits = limit >= peak;
        // It grows for ten minutes, and is read at most just before it reaches its limit.
        let used = if fits { peak } else { limit * if tick % 2 == 0 { 0.5 } else { 0.95 } };
        bench.uses(0.1, used);
        if !fits && tick % 2 == 1 {
            kills += 1;
            bench.replica().kills = Some(kills);
        }
        bench.tick(5 * MINUTE_MS);
        most = most.max(bench.record("memory").unbounded.unwrap() / MIB);
    }
    assert!(most <= 1.5 * peak, "{most} MiB were wished for a peak of {peak}");
    (bench, kills)
}

#[test]
fn kills_are_ended_at_no_more_than_one_and_a_half_times_the_peak() {
    for (start, peak) in [(128.0, 300.0), (64.0, 70.0), (100.0, 900.0)] {
        let (bench, kills) = kill_until_it_fits("memory: {min: 32Mi, max: 4Gi}", start, peak, 2);
        assert!(bench.mib_limit() >= peak && bench.mib() <= 1.5 * peak, "{peak}: {} MiB", bench.mib());
        assert!(kills <= 15, "{kills} kills from {start} to {peak}");
    }
}

/// kubernetes/autoscaler#9521: with a maximum below the peak each kill raised what the next one was raised from.
#[test]
fn kills_at_a_maximum_below_the_peak_do_not_feed_themselves() {
    let (bench, kills) = kill_until_it_fits("memory: {min: 32Mi, max: 256Mi}", 128.0, 300.0, 3);
    assert!(kills > 100 && bench.mib() == 256.0, "{kills} {}", bench.mib());
    let record = bench.record("memory");
    assert!(record.message.ends_with("256Mi are the most allowed: raise resources.memory.max"), "{}", record.message);
    assert!(record.unbounded.unwrap() / MIB <= 256.0 * 1.2 + 1.0);
}

#[test]
fn memory_shrinks_to_what_is_used_and_nothing_is_killed() {
    for seed in 0..10 {
        let mut bench = Bench::new("memory: {min: 32Mi, max: 4Gi}", (0.2, 1024.0), Some(1.0));
        let (base, daily) = (80.0 + 200.0 * noise(seed), 1.0 + 1.5 * noise(seed + 100));
        let mut peak = 0.0f64;
        for tick in 0..12 * 24 * 12u64 {
            let hour = hour_of_week(bench.now_ms) % 24;
            let daily = if (12..14).contains(&hour) { daily } else { 1.0 };
            let used = base * daily * (1.0 + 0.1 * noise(seed * 1_000_003 + tick));
            peak = peak.max(used);
            assert!(used <= bench.mib_limit(), "seed {seed}: killed at {} with {used}", bench.mib_limit());
            bench.uses(0.1, used);
            bench.tick(5 * MINUTE_MS);
        }
        assert!(bench.mib() <= 1.3 * peak && bench.mib() >= peak, "seed {seed}: {} for {peak}", bench.mib());
        assert!(bench.changes_a_day() <= 2, "{:?}", bench.changes);
    }
}

/// What it is let use of what it needs, and the share of periods in which it is held back.
fn throttle(need: f64, limit: f64) -> (f64, f64) {
    (need.min(limit), if need > limit { ((need - limit) / need * 1.5).min(1.0) } else { 0.0 })
}

#[test]
fn a_throttled_workload_is_given_more_until_it_is_not() {
    let mut bench = Bench::new("cpu: {min: 20m, max: 4}", (0.1, 64.0), Some(2.0));
    let first = bench.cores();
    for _ in 0..24 * 60 {
        let (used, throttled) = throttle(0.9, bench.cores_limit());
        bench.uses(used, 50.0);
        bench.replica().throttled = Some(throttled);
        bench.tick(MINUTE_MS);
    }
    assert!(bench.cores() > first && bench.cores_limit() >= 0.85, "{} up to {}", bench.cores(), bench.cores_limit());
    assert!(bench.cores() <= 2.0 * 0.9, "{} cores for a need of 0.9", bench.cores());
    assert!(bench.record("cpu").models.len() == models::Model::ALL.len());
}

#[test]
fn throttling_raises_at_once_what_usage_alone_would_leave() {
    let mut bench = Bench::new("cpu: {min: 20m, max: 4}", (0.1, 64.0), Some(1.0));
    bench.uses(0.1, 50.0);
    let without = bench.plan();
    assert_eq!(without.write, None);
    bench.replica().throttled = Some(0.6);
    let with = bench.plan();
    let said = "cpu of order 100m -> 160m: its limit held it back in 60% of its periods";
    assert_eq!(with.records[0].message, said);
    assert_eq!(with.write.map(|amounts| amounts.cpu), Some(Amounts { request: Some(160), limit: Some(160) }));
    // Nobody counts it any more: what was felt holds, and nothing is lowered.
    bench.replica().throttled = None;
    assert_eq!(bench.plan().records[0].wish, Some(0.16));
}

#[test]
fn pressure_raises_what_was_used() {
    let mut bench = Bench::new(BOTH, (0.1, 64.0), None);
    bench.uses(0.1, 60.0);
    bench.replica().cpu_pressure = Some(0.5);
    let plan = bench.plan();
    assert_eq!(plan.records[0].message, "cpu of order 100m -> 150m: its tasks waited for CPU 50% of the time");
    bench.replica().memory_pressure = Some(0.4);
    let plan = bench.plan();
    assert_eq!(plan.records[1].message, "memory of order 64Mi -> 84Mi: its tasks waited for memory 40% of the time");
}

#[test]
fn constant_load_changes_at_most_twice_a_day() {
    for seed in 0..8 {
        let request = (0.05 + noise(seed), 64.0 + 1000.0 * noise(seed + 50));
        let mut bench = Bench::new(BOTH, request, Some(1.5));
        for tick in 0..4 * 24 * 30u64 {
            let wobble = 1.0 + 0.2 * noise(seed * 7919 + tick) - 0.1;
            bench.uses(0.2 * wobble, 200.0 * wobble);
            bench.tick(2 * MINUTE_MS);
        }
        assert!(bench.changes_a_day() <= 2, "seed {seed}: {:?}", bench.changes);
        assert!((0.2..0.3).contains(&bench.cores()) && (200.0..300.0).contains(&bench.mib()), "{:?}", bench.changes);
    }
}

/// Replicas and resources are planned together, and both steer by CPU: utilization over what the manifest requests.
#[test]
fn replicas_and_resources_do_not_drive_each_other() {
    for (load, seed) in [(260.0, 1), (900.0, 2), (100.0, 3)] {
        let spec = "  replicas: {max: 20}\n  signals: [{utilization: {resource: cpu, target: 65%}}]\n  \
                    resources: {cpu: {min: 10m, max: 4}}\n";
        let (policy, mut history) = (policy(spec), History::default());
        let (mut replicas, mut amounts) =
            ((load / 65.0f64).ceil() as usize, Amounts { request: Some(100), limit: None });
        let (mut changes, first) = (Vec::new(), replicas);
        for tick in 0..3 * 24 * 60u64 {
            let now_ms = MONDAY_MS + tick as i64 * MINUTE_MS;
            let each = load / replicas as f64 * (0.97 + 0.06 * noise(tick * 31 + seed));
            // The pods' requests are those of the manifest, whatever was resized: `observe` sees to that.
            let usage = vec![each as i64; replicas];
            let of = |n: usize| ReplicaUse {
                pod: format!("order-{n}"),
                warm: true,
                cpu: Some((each / 1000.0, now_ms)),
                ..ReplicaUse::default()
            };
            let replicas_of = (0..replicas).map(of).collect();
            let each = vec![Container {
                name: "order".to_owned(),
                cpu: amounts,
                replicas: replicas_of,
                ..Container::default()
            }];
            let containers = Some(Containers { each, gap: None });
            let observed = Observation { containers, ..observation(now_ms, &usage) };
            history.learn(&policy, &observed);
            let planned = crate::planner::plan(&policy, &observed, &history);
            if let Some(wish) = planned.write {
                replicas = wish as usize;
                changes.push((now_ms, format!("{wish} replicas")));
            }
            if let Some(write) = planned.resources[0].write {
                amounts = write.cpu;
                changes.push((now_ms, format!("{:?}", write.cpu.request)));
            }
        }
        let within = |from: i64| changes.iter().filter(|(at, _)| (from..from + 24 * HOUR_MS).contains(at)).count();
        let most = changes.iter().map(|(at, _)| within(*at)).max().unwrap_or(0);
        assert!(most <= 2, "{load}: {changes:?}");
        assert_eq!(replicas, first, "{load}: {changes:?}");
        assert_ne!(amounts.request, Some(100), "{load}: resources follow what is used");
    }
}

#[test]
fn what_another_recorded_is_as_good_as_what_was_seen() {
    let levels = |amount: f64| {
        let last = slots::slot_of(MONDAY_MS) - 1;
        (0..slots::SLOTS as i64).map(|age| (last - slots::SLOTS as i64 + 1 + age, amount)).collect::<Vec<_>>()
    };
    let mut bench = Bench::new(BOTH, (1.0, 1024.0), None);
    bench.uses(0.1, 100.0);
    bench.plan();
    bench.history.containers.restore("order", &levels(0.1), &levels(100.0 * MIB));
    let plan = bench.plan();
    assert_eq!(plan.records[0].hours_known, 24.25);
    let said =
        "cpu of order 1 -> 500m: the mean of what was used and three standard deviations, the cheapest of 5 models";
    assert_eq!(plan.records[0].message, said);
    assert_eq!(plan.write.map(|amounts| amounts.memory.request), Some(Some(512 * 1_048_576_000)), "a cut takes half");
}

#[test]
fn a_container_takes_less_than_12_kib() {
    let logs = std::mem::size_of::<log::ContainerLog>();
    let heap = 2 * slots::SLOTS * 4 + 3 * std::mem::size_of::<[f32; histogram::BUCKETS]>();
    assert!(logs + heap < 12 * 1024, "{logs} + {heap}");
}

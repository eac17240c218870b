//! Cgroups on made-up directories: which are found, which are made, which are left alone.

use std::fs;
use std::path::Path;

use super::{Cgroups, locate, mounts, quota_micros, remove_stale, v1, v2};

const SYSTEMD: &str = "\
24 1 0:22 / /sys rw,nosuid shared:7 - sysfs sysfs rw
30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate
31 24 0:27 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct
32 24 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
";

#[test]
fn finds_cgroup_mounts_only() {
    let found: Vec<_> = mounts(SYSTEMD).map(|mount| (mount.kind, mount.point, mount.root)).collect();
    let expected = [
        ("cgroup2", "/sys/fs/cgroup", "/"),
        ("cgroup", "/sys/fs/cgroup/cpu,cpuacct", "/docker/abc"),
        ("cgroup", "/sys/fs/cgroup/memory", "/"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_path_outside_of_the_mount_leads_to_the_mount_itself() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("own")).unwrap();
    let info = format!("1 2 0:3 /docker/abc {} rw - cgroup2 cgroup2 rw\n", folder.path().display());
    let mount = mounts(&info).next().unwrap();
    assert_eq!(locate(&mount, "/docker/abc/own"), folder.path().join("own"));
    assert_eq!(locate(&mount, "/elsewhere/own"), folder.path());
}

#[test]
fn a_limit_becomes_a_quota_that_the_kernel_accepts() {
    assert_eq!([5, 100, 1500].map(quota_micros), [1000, 10_000, 150_000]);
}

#[test]
fn removes_only_its_own_cgroups_of_dead_runs() {
    let folder = tempfile::tempdir().unwrap();
    let living = format!("plimsoll-{}-7", std::process::id());
    // Process ids end at 4,194,304 on Linux.
    for name in ["plimsoll-4999999-1/a-b", &living, "plimsoll-x", "other", "plimsoll"] {
        fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    remove_stale(folder.path());
    let mut left: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    left.sort();
    let mut expected = vec!["other".to_owned(), "plimsoll".to_owned(), living, "plimsoll-x".to_owned()];
    expected.sort();
    assert_eq!(left, expected);
}

fn fake_v2(top: &Path, own: &str, handed_down: &str) -> Result<v2::Parent, String> {
    fs::create_dir_all(top.join(own.trim_start_matches('/'))).unwrap();
    fs::write(top.join("cgroup.subtree_control"), handed_down).unwrap();
    let info = format!("1 2 0:3 / {} rw - cgroup2 cgroup2 rw\n", top.display());
    v2::Parent::create(&format!("0::{own}\n"), &info, "plimsoll-1-1")
}

#[test]
fn version_2_is_made_below_the_nearest_cgroup_that_hands_controllers_down() {
    let folder = tempfile::tempdir().unwrap();
    let parent = fake_v2(folder.path(), "/user/session", "cpuset cpu memory").unwrap();
    assert_eq!(parent.directory(), folder.path().join("plimsoll-1-1"));
    let child = parent.child("order-1").unwrap();
    v2::set(&child, Some(25_000), None, 100).unwrap();
    let read = |file: &str| fs::read_to_string(child.join(file)).unwrap();
    assert_eq!(
        (read("cpu.max"), read("memory.max"), read("cpu.weight")),
        ("25000 100000".into(), "max".into(), "4".into())
    );
    fs::write(child.join("cpu.stat"), "usage_usec 1500000\nnr_periods 9\nnr_throttled 4\n").unwrap();
    fs::write(child.join("memory.current"), "5000\n").unwrap();
    fs::write(child.join("memory.stat"), "anon 1\ninactive_file 1000\n").unwrap();
    fs::write(child.join("memory.events"), "oom 3\noom_kill 2\n").unwrap();
    let usage = v2::usage(&child).unwrap();
    assert_eq!((usage.cpu_seconds, usage.memory_bytes), (1.5, 4000));
    let throttling = usage.throttling.unwrap();
    assert_eq!((throttling.periods, throttling.throttled, throttling.oom_kills), (9, 4, 2));
    assert_eq!(usage.pressure, None, "a kernel that does not tell");
    let pressure =
        |total: u64| format!("some avg10=0.00 avg60=0.00 avg300=0.00 total={total}\nfull avg10=0.00 total=1\n");
    fs::write(child.join("cpu.pressure"), pressure(2_500_000)).unwrap();
    fs::write(child.join("memory.pressure"), pressure(1000)).unwrap();
    let waited = v2::usage(&child).unwrap().pressure.unwrap();
    assert_eq!((waited.cpu_seconds, waited.memory_seconds), (2.5, 0.001));
}

#[test]
fn version_2_without_controllers_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let reason = fake_v2(folder.path(), "/session", "pids").unwrap_err();
    assert_eq!(reason, "cgroup v2 hands no cpu and memory controllers down to this process");
}

#[test]
fn version_1_is_made_in_each_hierarchy() {
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path().display();
    fs::create_dir_all(folder.path().join("both")).unwrap();
    fs::create_dir_all(folder.path().join("memory/own")).unwrap();
    let info = format!(
        "1 2 0:3 / {top}/both rw - cgroup cgroup rw,cpu,cpuacct\n1 2 0:3 / {top}/memory rw - cgroup cgroup rw,memory\n"
    );
    let parents = v1::Parents::create("4:memory:/own\n1:cpu,cpuacct:/\n", &info, "plimsoll-1-1").unwrap();
    let expected = [folder.path().join("both/plimsoll-1-1"), folder.path().join("memory/own/plimsoll-1-1")];
    assert_eq!(parents.directories(), expected);
    let reason = v1::Parents::create("", "", "x").unwrap_err();
    assert_eq!(reason, "cgroup v1 has no cpu controller here");
}

#[test]
fn without_cgroups_the_reason_is_told() {
    let none = Cgroups::None { reason: "no controllers".to_owned() };
    assert_eq!(none.describe(), "not enforced: no controllers");
    assert!(none.replica("a").unwrap().is_none());
}

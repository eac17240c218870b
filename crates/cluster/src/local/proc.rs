//! Usage of a process from `/proc/PID`, for machines on which no cgroup may be made.

use std::fs;

use super::cgroup::Usage;

/// What the process has used since it started; `None` when it is gone.
pub(super) fn usage(pid: u32) -> Option<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let cpu_seconds = cpu_ticks(&stat)? as f64 / rustix::param::clock_ticks_per_second() as f64;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    let memory_bytes = pages.saturating_mul(rustix::param::page_size() as u64);
    Some(Usage { cpu_seconds, memory_bytes, throttling: None, pressure: None })
}

/// User plus system time. The name in parentheses may hold blanks and parentheses itself, so counting begins after it.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, after) = stat.rsplit_once(')')?;
    let mut fields = after.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times_behind_a_name_with_parentheses() {
        let stat = "42 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 70 8 0 0 20 0 1 0 100";
        assert_eq!(cpu_ticks(stat), Some(78));
        assert_eq!(cpu_ticks("42 (a"), None);
    }

    #[test]
    fn knows_this_process() {
        let usage = usage(std::process::id()).unwrap();
        assert!(usage.memory_bytes > 100_000, "{usage:?}");
    }
}

//! CPU time as /proc tells it: of single processes, and of everything.

/// Clock ticks of /proc in a second: `USER_HZ`, part of the kernel's interface and 100 on every architecture we build for.
const TICKS: f64 = 100.0;

/// CPU seconds used so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Used {
    /// Of the gateway processes, in user space and in the kernel on their behalf.
    pub gateways: f64,
    /// Of everything on the machine, interrupts included.
    pub all: f64,
}

impl Used {
    /// Reads the clocks of `pids` and of the machine. A process that is gone counts as zero.
    pub fn now(pids: &[u32]) -> Used {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let gateways = pids.iter().filter_map(|pid| process_ticks(&read(&format!("/proc/{pid}/stat"))));
        Used {
            gateways: gateways.sum::<u64>() as f64 / TICKS,
            all: busy_ticks(&read("/proc/stat")).unwrap_or(0) as f64 / TICKS,
        }
    }

    /// What was used since `earlier`.
    pub fn since(self, earlier: Used) -> Used {
        Used { gateways: self.gateways - earlier.gateways, all: self.all - earlier.all }
    }
}

/// utime + stime, fields 14 and 15, counted after the command name, which may hold anything.
fn process_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Every kind of time of the first line but idle and iowait; guest time is part of user time already.
fn busy_ticks(stat: &str) -> Option<u64> {
    let line = stat.lines().find(|line| line.starts_with("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    let busy = ticks.iter().take(8).enumerate().filter(|(index, _)| !matches!(index, 3 | 4));
    Some(busy.map(|(_, ticks)| ticks).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_charged_user_and_system_time_whatever_its_name() {
        let stat = "12 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 700 31 0 0 20 0 3 0 99 0 0\n";
        assert_eq!(process_ticks(stat), Some(731));
        assert_eq!(process_ticks(""), None);
        assert_eq!(process_ticks("12 (a) S 1"), None);
    }

    #[test]
    fn idle_iowait_and_guest_time_are_not_work() {
        let stat = "cpu  1 2 4 1000 2000 8 16 32 5000 6000\ncpu0 9 9 9 9\n";
        assert_eq!(busy_ticks(stat), Some(63));
        assert_eq!(busy_ticks("intr 1\n"), None);
    }

    #[test]
    fn this_process_has_used_something_or_nothing_but_never_less() {
        let before = Used::now(&[std::process::id()]);
        let after = Used::now(&[std::process::id()]).since(before);
        assert!(after.gateways >= 0.0 && after.all >= 0.0);
    }
}

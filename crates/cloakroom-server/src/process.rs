//! What the operating system says of processes of this machine and of the machine, because a program's own word
//! does not compare with another's.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// CPU time that a process has used so far, from `/proc`, to the hundredth of a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CpuTime {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
    /// Of its children that have ended.
    pub(crate) children_user: Duration,
    pub(crate) children_system: Duration,
}

impl CpuTime {
    /// That of a process.
    ///
    /// # Errors
    /// If there is no such process, or no such file system.
    pub(crate) fn of(process: u32) -> io::Result<Self> {
        let path = format!("/proc/{process}/stat");
        let stat = fs::read_to_string(&path)
            .map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))?;
        Self::parse(&stat)
            .ok_or_else(|| io::Error::other(format!("{path} is not as Linux writes it")))
    }

    /// User and system together.
    pub(crate) fn sum(self) -> Duration {
        self.user + self.system
    }

    /// The fields from `utime` on; the name before them may have blanks in it.
    fn parse(stat: &str) -> Option<Self> {
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_whitespace().skip(11);
        // The kernel tells it in hundredths of a second, whatever it counts in.
        let mut field = || {
            Some(Duration::from_millis(
                fields.next()?.parse::<u64>().ok()? * 10,
            ))
        };
        Some(Self {
            user: field()?,
            system: field()?,
            children_user: field()?,
            children_system: field()?,
        })
    }
}

/// Bytes of memory that this process has now, and had at most; 0 where the system does not say so.
pub(crate) fn resident() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    (kilobytes(&status, "VmRSS:"), kilobytes(&status, "VmHWM:"))
}

/// Bytes of memory that this machine has; 0 where the system does not say so.
pub(crate) fn machine() -> u64 {
    kilobytes(
        &fs::read_to_string("/proc/meminfo").unwrap_or_default(),
        "MemTotal:",
    )
}

/// Lets this process have as many files open as it may, and returns how many that are. Most systems begin with 1024,
/// for the sake of programs that wait by `select`, and let whoever needs more say so.
pub(crate) fn raise_files() -> u64 {
    let before = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: before.maximum,
        ..before
    };
    let now = match setrlimit(Resource::Nofile, most) {
        Ok(()) => most,
        Err(_) => before,
    };
    now.current.unwrap_or(u64::MAX)
}

fn kilobytes(text: &str, name: &str) -> u64 {
    let rest = text.lines().find_map(|line| line.strip_prefix(name));
    let number = rest.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) * 1_024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_moves_no_field() {
        let stat = "12 (a ) b) S 1 12 12 0 -1 4194304 1 0 0 0 70 30 2 1 20 0 5 0 1 2 3";
        let time = CpuTime::parse(stat).unwrap();
        assert_eq!(time.sum(), Duration::from_secs(1));
        assert_eq!(time.system, Duration::from_millis(300));
        assert_eq!(time.children_user, Duration::from_millis(20));
        assert_eq!(time.children_system, Duration::from_millis(10));
        assert_eq!(CpuTime::parse("12 (a"), None);
    }

    #[test]
    fn memory_is_told_in_bytes() {
        let status = "Name:\tx\nVmHWM:\t    20 kB\nVmRSS:\t    10 kB\n";
        assert_eq!(kilobytes(status, "VmRSS:"), 10_240);
        assert_eq!(kilobytes(status, "VmSwap:"), 0);
        let (now, most) = resident();
        assert!(0 < now && now <= most && most < machine());
    }
}

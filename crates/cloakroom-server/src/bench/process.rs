//! What the operating system says of a process of this machine, because no server's own word compares with
//! another's.

use std::fs;
use std::io;
use std::time::Duration;

/// CPU time that a process has used so far, user and system, from `/proc`.
///
/// # Errors
/// If there is no such process, or no such file system.
pub(super) fn cpu_of(process: u32) -> io::Result<Duration> {
    let path = format!("/proc/{process}/stat");
    let stat = fs::read_to_string(&path)
        .map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))?;
    ticks(&stat)
        // The kernel tells it in hundredths of a second, whatever it counts in.
        .map(|ticks| Duration::from_millis(ticks * 10))
        .ok_or_else(|| io::Error::other(format!("{path} is not as Linux writes it")))
}

/// The fields `utime` and `stime` together; the name before them may have blanks in it.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut field = || fields.next()?.parse::<u64>().ok();
    Some(field()? + field()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_moves_no_field() {
        let stat = "12 (a ) b) S 1 12 12 0 -1 4194304 1 0 0 0 70 30 0 0 20 0 5 0 1 2 3";
        assert_eq!(ticks(stat), Some(100));
        assert_eq!(ticks("12 (a"), None);
    }
}

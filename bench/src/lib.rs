//! What the benchmarks share: sessions of the size that the goals name, a store call without a
//! runtime, what the operating system says of time and memory; the applications and their load.

pub mod directory;
pub mod load;
pub mod peers;
pub mod redis_server;
pub mod resp;
pub mod wait;
pub mod waits;
pub mod wire;

pub mod wire_clients;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cloakroom_core::codec::Codec;
use cloakroom_core::id::SlotTag;
use cloakroom_core::record::{Changes, Fields, NewSession, Subject, Value};
use cloakroom_core::{Handle, Lifetimes, StoredKey};

/// Fields of a session, each a name of 5 bytes and a value of 45: 400 bytes of payload.
pub const FIELDS: usize = 8;

const VALUE_BYTES: usize = 45;

/// A number as good as random, for keys, handles and the order of accesses.
pub fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The subject of the session with this number: 11 bytes.
pub fn subject(number: u64) -> Subject {
    Subject::new(&format!("user{number:07}")).expect("eleven letters and digits")
}

/// The key of the session with this number, in its `round`-th life.
pub fn key(number: u64, round: u64) -> StoredKey {
    let tag = SlotTag::of_subject(&subject(number));
    let mut hash = [0; 32];
    for (at, part) in hash.chunks_exact_mut(8).enumerate() {
        let seed = (number * 4 + at as u64).wrapping_add(mix(round));
        part.copy_from_slice(&mix(seed).to_le_bytes());
    }
    StoredKey::from_parts(tag, hash)
}

/// The name of a key as other frameworks have it: 43 bytes.
pub fn string_key(number: u64) -> [u8; 43] {
    let mut name = *b"session:fw:................................";
    for (at, part) in name[11..].chunks_exact_mut(16).enumerate() {
        let digits = format!("{:016x}", mix(number * 2 + at as u64));
        part.copy_from_slice(digits.as_bytes());
    }
    name
}

/// A value of the usual size; `large` gives one that is over 64 bytes.
pub fn value(number: u64, large: bool) -> Value {
    let digits = format!("{:016x}", mix(number));
    let len = if large { 70 } else { VALUE_BYTES };
    let text: String = digits.chars().cycle().take(len - 2).collect();
    Value::new(Codec::Json, format!("\"{text}\"").into_bytes())
}

/// The name of a session's field: 5 bytes.
pub fn field(number: usize) -> String {
    format!("fld{number:02}")
}

/// The fields of a session, 400 bytes in 8 fields; with `large`, one of them is over 64 bytes and
/// the others are smaller for it.
pub fn fields(number: u64, large: bool) -> Fields {
    let mut changes = Changes::new();
    for at in 0..FIELDS {
        let value = match (large, at) {
            (true, 0) => value(number, true),
            (true, 1) => Value::new(Codec::Json, vec![b'1'; VALUE_BYTES - (70 - VALUE_BYTES)]),
            _ => value(number * 8 + at as u64, false),
        };
        changes.set(&field(at), value).expect("within the limits");
    }
    let (fields, _) = Fields::default()
        .changed(&changes)
        .expect("within the limits");
    fields
}

/// The session with this number: signed in, half an hour idle, a day in any case.
pub fn session(number: u64, large: bool) -> NewSession {
    let mut handle = [0; Handle::BYTES];
    handle[..8].copy_from_slice(&mix(!number).to_le_bytes());
    let lifetimes = Lifetimes::new(Duration::from_secs(1_800), Duration::from_secs(86_400));
    NewSession {
        handle: Handle::from_bytes(handle),
        lifetimes: lifetimes.expect("within the limits"),
        subject: Some(subject(number)),
        label: None,
        max_sessions: None,
        fields: fields(number, large),
    }
}

/// The answer of a future that is ready at once, as those of the embedded store are.
pub fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("the embedded store never waits"),
    }
}

/// CPU time that this thread has used.
pub fn thread_cpu() -> Duration {
    cpu(rustix::time::ClockId::ThreadCPUTime)
}

/// CPU time that this process has used.
pub fn process_cpu() -> Duration {
    cpu(rustix::time::ClockId::ProcessCPUTime)
}

fn cpu(clock: rustix::time::ClockId) -> Duration {
    let time = rustix::time::clock_gettime(clock);
    let nanos = u32::try_from(time.tv_nsec).expect("below a second");
    Duration::new(time.tv_sec.unsigned_abs(), nanos)
}

/// CPU time that another process has used, in steps of 10 ms.
pub fn cpu_of(process: u32) -> Duration {
    let path = format!("/proc/{process}/stat");
    let stat = std::fs::read_to_string(path).expect("a running process on Linux");
    let after_name = stat.rsplit_once(')').expect("a name in brackets").1;
    let ticks = after_name.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// Bytes that were written to the disk that a directory is on, by whoever; if Linux tells of it. What it tells of
/// a process counts a large page of its cache each time that a part of it was changed.
#[must_use]
pub fn disk_bytes_of(directory: &std::path::Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let device = std::fs::metadata(directory).ok()?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let stat = std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).ok()?;
    let sectors: u64 = stat.split_whitespace().nth(6)?.parse().ok()?;
    Some(sectors * 512)
}

/// Ties this thread, and what it starts, to one processor. Does nothing if there is no such.
pub fn tie_to_processor(number: usize) {
    if std::thread::available_parallelism().is_ok_and(|count| count.get() > number) {
        let mut set = rustix::thread::CpuSet::new();
        set.set(number);
        if let Err(error) = rustix::thread::sched_setaffinity(None, &set) {
            eprintln!("this thread cannot be tied to processor {number}: {error}");
        }
    }
}

/// Resident memory of a process, in bytes.
pub fn resident(process: u32) -> u64 {
    let path = format!("/proc/{process}/status");
    let status = std::fs::read_to_string(path).expect("a running process on Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kilobytes.expect("the kernel tells VmRSS") * 1024
}

/// The number given as the program's first argument, or `usual`.
pub fn size_argument(usual: u64) -> u64 {
    match std::env::args().nth(1) {
        None => usual,
        Some(text) => match text.parse() {
            Ok(number) if number > 0 => number,
            _ => panic!("give the number of sessions, not {text:?}"),
        },
    }
}

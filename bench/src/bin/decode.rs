//! The decoder of the Redis protocol, which is ours, beside the crate `redis-protocol`: both find the words of
//! the same pipeline in one buffer. `decode [rounds]`. Ours is compiled from the server's own files.
//!
//! The crate is asked in its cheapest way (places in the buffer, `decode_range`) and in those that its users
//! take (`Bytes` that share the buffer, copies). Ours is asked as a connection asks it: 32 commands are found,
//! then each one's words are looked at.

use std::hint::black_box;
use std::time::Duration;

use cloakroom_bench::{mix, size_argument, thread_cpu};
use redis_protocol::resp2::decode::{decode, decode_bytes, decode_range};
use redis_protocol::resp2::types::{BytesFrame, OwnedFrame, RangeFrame};

#[allow(
    dead_code,
    reason = "the server's own file, of which the server uses more"
)]
#[path = "../../../crates/cloakroom-server/src/serve/resp/limits.rs"]
mod limits;
#[allow(
    dead_code,
    reason = "the server's own file, of which the server uses more"
)]
#[path = "../../../crates/cloakroom-server/src/serve/resp/number.rs"]
mod number;
#[allow(
    dead_code,
    reason = "the server's own file, of which the server uses more"
)]
#[path = "../../../crates/cloakroom-server/src/serve/resp/decode.rs"]
mod server_decode;

use server_decode::{Decoder, Frame};

/// Commands in the buffer: what one read of a connection brings, or more.
const COMMANDS: u64 = 128;
/// How often the buffer is read in a round.
const TIMES: u32 = 2_000;
/// Commands that a connection finds before it runs the first.
const AHEAD: usize = 32;

/// A way to read the buffer; returns the bytes of all words, so that none can be left out.
type Way = fn(&bytes::Bytes) -> usize;

const WAYS: [(&str, Way); 4] = [
    ("ours", ours),
    ("redis-protocol, `decode_range`: places", places),
    ("redis-protocol, `decode_bytes`: shared `Bytes`", shared),
    ("redis-protocol, `decode`: copies", copies),
];

fn main() {
    let rounds = size_argument(9);
    println!(
        "| a pipeline of {COMMANDS} commands, least of {rounds} rounds | GET, ns each | x ours | SET .. EX of 400 bytes, ns each | x ours |"
    );
    println!("| --- | ---: | ---: | ---: | ---: |");
    let buffers = [gets(), sets()];
    let mut least = [[Duration::MAX; 2]; WAYS.len()];
    for _ in 0..rounds {
        for (at, (name, way)) in WAYS.iter().enumerate() {
            for (buffer, least) in buffers.iter().zip(&mut least[at]) {
                assert_eq!(way(buffer), ours(buffer), "{name} finds other words");
                let before = thread_cpu();
                for _ in 0..TIMES {
                    black_box(way(black_box(buffer)));
                }
                *least = (*least).min(thread_cpu() - before);
            }
        }
    }
    let nanos = |took: Duration| took.as_nanos() as f64 / f64::from(TIMES) / COMMANDS as f64;
    for (at, (name, _)) in WAYS.iter().enumerate() {
        let cells = [0, 1].map(|kind| {
            let (took, ours) = (nanos(least[at][kind]), nanos(least[0][kind]));
            format!("{took:.0} | {:.1}", took / ours)
        });
        println!("| {name} | {} |", cells.join(" | "));
    }
}

fn gets() -> bytes::Bytes {
    let mut buffer = Vec::new();
    for number in 0..COMMANDS {
        words(&mut buffer, &[b"GET", &key(number)]);
    }
    buffer.into()
}

fn sets() -> bytes::Bytes {
    let mut buffer = Vec::new();
    let value = [b'v'; 400];
    for number in 0..COMMANDS {
        words(&mut buffer, &[b"SET", &key(number), &value, b"EX", b"1800"]);
    }
    buffer.into()
}

fn key(number: u64) -> Vec<u8> {
    let [one, two] = [mix(number), mix(!number)];
    format!("sess:{one:019x}{two:019x}").into_bytes()
}

fn words(buffer: &mut Vec<u8>, words: &[&[u8]]) {
    buffer.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        buffer.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        buffer.extend_from_slice(word);
        buffer.extend_from_slice(b"\r\n");
    }
}

fn ours(buffer: &bytes::Bytes) -> usize {
    let (mut decoder, mut frames) = (Decoder::default(), Vec::<Frame>::new());
    let (mut from, mut sum) = (0, 0);
    loop {
        let mut at = from;
        while frames.len() < AHEAD
            && let Ok(Some(frame)) = decoder.next(&buffer[at..], false)
        {
            at += frame.taken;
            frames.push(frame);
        }
        if frames.is_empty() {
            return sum;
        }
        for frame in frames.drain(..) {
            let (bytes, words) = decoder.words(&frame, &buffer[from..]);
            let word =
                |(from, to): &(u32, u32)| black_box(&bytes[*from as usize..*to as usize]).len();
            sum += words.iter().map(word).sum::<usize>();
            from += frame.taken;
        }
        decoder.forget();
    }
}

fn places(buffer: &bytes::Bytes) -> usize {
    let (mut at, mut sum) = (0, 0);
    while let Ok(Some((RangeFrame::Array(words), taken))) = decode_range(&buffer[at..]) {
        for word in &words {
            if let RangeFrame::BulkString((from, to)) = word {
                sum += black_box(&buffer[at + from..at + to]).len();
            }
        }
        at += taken;
    }
    sum
}

fn shared(buffer: &bytes::Bytes) -> usize {
    let (mut rest, mut sum) = (buffer.clone(), 0);
    while let Ok(Some((BytesFrame::Array(words), taken))) = decode_bytes(&rest) {
        for word in &words {
            if let BytesFrame::BulkString(word) = word {
                sum += black_box(word).len();
            }
        }
        rest = rest.slice(taken..);
    }
    sum
}

fn copies(buffer: &bytes::Bytes) -> usize {
    let (mut at, mut sum) = (0, 0);
    while let Ok(Some((OwnedFrame::Array(words), taken))) = decode(&buffer[at..]) {
        for word in &words {
            if let OwnedFrame::BulkString(word) = word {
                sum += black_box(word).len();
            }
        }
        at += taken;
    }
    sum
}

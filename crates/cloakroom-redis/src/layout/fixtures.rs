//! Bytes outlive processes: what version 1 wrote must read back for ever, so the bytes themselves are
//! in the repository (tests/fixtures), and both directions are compared with them.

use std::time::Duration;

use cloakroom_core::codec::Codec;
use cloakroom_core::expiry::Times;
use cloakroom_core::id::{Handle, SlotTag, StoredKey};
use cloakroom_core::record::{Changes, Fields, Label, Subject, Value};
use cloakroom_core::{Lifetimes, Record, UnixMillis};

use super::{Kept, LayoutName};
use crate::epoch::Epoch;
use crate::head::Marker;
use crate::wire::Reply;

const EPOCH: Epoch = *b"epoch-01";

#[test]
fn packed_version_1_reads_and_writes_the_same_bytes() {
    let text = include_str!("../../tests/fixtures/packed-v1.hex");
    check(LayoutName::Packed, text, ["SET"; 2]);
}

#[test]
fn fields_version_1_reads_and_writes_the_same_bytes() {
    let text = include_str!("../../tests/fixtures/fields-v1.hex");
    check(LayoutName::Fields, text, ["HSET"; 2]);
}

#[test]
fn plain_version_1_reads_and_writes_the_same_bytes() {
    let text = include_str!("../../tests/fixtures/plain-v1.hex");
    check(LayoutName::Plain, text, ["HSET", "SET"]);
}

/// Each line of a fixture that is no comment is one Redis string, or one name or value of a hash.
fn check(layout: LayoutName, text: &str, commands: [&str; 2]) {
    let mut parts = text.split("# marker\n").map(strings);
    let [record, marker] = [parts.next(), parts.next()].map(|part| part.expect("two parts"));
    let writes = [
        layout.write("key", &example(), EPOCH),
        layout.end("key", &example_marker()),
    ];
    let kept = [
        Kept::Record(Box::new(example()), EPOCH),
        Kept::Ended(example_marker()),
    ];
    let all = [record, marker].into_iter().zip(commands);
    for (((strings, command), writes), kept) in all.zip(writes).zip(kept) {
        let set = writes
            .iter()
            .map(words)
            .find(|words| words[0] == command.as_bytes());
        let set = set.expect("it is written by this command");
        let written: Vec<String> = set[2..2 + strings.len()]
            .iter()
            .map(|word| hex(word))
            .collect();
        let fixed: Vec<String> = strings.iter().map(|word| hex(word)).collect();
        assert_eq!(written, fixed, "what is written");
        let mut replies: Vec<_> = strings.into_iter().map(Reply::BulkString).collect();
        let reply = match layout {
            LayoutName::Packed => replies.remove(0),
            LayoutName::Fields => Reply::Array(replies),
            LayoutName::Plain if command == "SET" => {
                Reply::Array(vec![Reply::Int(0), replies.remove(0), Reply::Array(vec![])])
            }
            LayoutName::Plain => {
                Reply::Array(vec![Reply::Int(0), Reply::Nil, Reply::Array(replies)])
            }
        };
        assert_eq!(
            layout.decode(reply).expect("it is ours"),
            kept,
            "what is read"
        );
    }
}

fn example() -> Record {
    let mut changes = Changes::new();
    let fields = [
        ("cart", Codec::Json, &b"[\"coat\"]"[..]),
        ("count", Codec::Json, b"42"),
        ("odd", Codec::Json, b"\x01"),
        ("pack", Codec::MessagePack, b"\xc3"),
        ("proto", Codec::Protobuf, b"\x08\x01"),
        ("raw", Codec::Raw, b"\x00\xff"),
    ];
    for (name, codec, bytes) in fields {
        changes
            .set(name, Value::new(codec, bytes))
            .expect("the field is allowed");
    }
    let [idle, absolute] = [1800, 28_800].map(Duration::from_secs);
    Record {
        handle: Handle::from_bytes(*b"handle-bytes"),
        times: Times {
            created_at: UnixMillis::new(1_767_225_600_000),
            authenticated_at: Some(UnixMillis::new(1_767_225_601_000)),
            seen_at: UnixMillis::new(1_767_225_602_000),
            lifetimes: Lifetimes::new(idle, absolute).expect("the lifetimes are allowed"),
        },
        subject: Some(Subject::new("alice").expect("the name is allowed")),
        label: Some(Label::new("Firefox on Linux")),
        version: 7,
        fields: Fields::default().changed(&changes).expect("they fit").0,
    }
}

fn example_marker() -> Marker {
    let tag = SlotTag::new(0x3fa).expect("there is such a tag");
    Marker {
        forgotten_at: UnixMillis::new(1_767_225_722_000),
        forward: Some((
            StoredKey::from_parts(tag, [7; 32]),
            UnixMillis::new(1_767_225_612_000),
        )),
    }
}

fn strings(text: &str) -> Vec<Vec<u8>> {
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| unhex(line.split(' ').next().unwrap_or_default()))
        .collect()
}

fn words(command: &crate::wire::Command) -> Vec<Vec<u8>> {
    let words = command.args_iter().map(|word| match word {
        redis::Arg::Simple(word) => word.to_vec(),
        _ => Vec::new(),
    });
    words.collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks_exact(2);
    let bytes = digits.map(|pair| {
        let pair = str::from_utf8(pair).expect("fixtures are ASCII");
        u8::from_str_radix(pair, 16).expect("fixtures are hexadecimal")
    });
    bytes.collect()
}

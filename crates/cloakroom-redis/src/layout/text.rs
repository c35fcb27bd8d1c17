//! Values as other programs write and expect them: text. A JSON string is its bare text, wherever
//! that text could be nothing else; everything else is as in the fields layout.

use cloakroom_core::codec::{self, Codec};
use cloakroom_core::record::{Value, ValueRef};
use serde::de::IgnoredAny;

use super::fields;

/// A value as its Redis field holds it.
pub(super) fn encode(value: ValueRef<'_>) -> Vec<u8> {
    if value.codec != Codec::Json {
        return fields::encode_value(value);
    }
    if !is_json(value.bytes) {
        return [&[4], value.bytes].concat();
    }
    bare(value).unwrap_or_else(|| fields::encode_value(value))
}

/// What a Redis field holds, as a value: what we wrote, or JSON, or text, or else raw bytes.
pub(super) fn decode(bytes: &[u8]) -> Value {
    let is_ours = matches!(bytes.first(), Some(1..=4));
    if is_ours || is_json(bytes) {
        return fields::decode_value(bytes);
    }
    let text = str::from_utf8(bytes).ok();
    let value = text.and_then(|text| codec::encode(Codec::Json, "", text).ok());
    value.unwrap_or_else(|| Value::new(Codec::Raw, bytes))
}

/// The text of a JSON string, if it reads back as the same string.
fn bare(value: ValueRef<'_>) -> Option<Vec<u8>> {
    let text = value.bytes.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let reads_back = decode(text).as_ref() == value;
    reads_back.then(|| text.to_vec())
}

fn is_json(bytes: &[u8]) -> bool {
    let codec = Codec::Json;
    codec::decode::<IgnoredAny>("", ValueRef { codec, bytes }).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_write_reads_back() {
        let json: &[&[u8]] = &[
            br#""alice""#,
            br#""42""#,
            br#""true""#,
            br#""{}""#,
            br#""""#,
            br#""say \"hi\"""#,
            br#""\u0041""#,
            b"\"\\u0001\"",
            "\"\u{e9}\"".as_bytes(),
            b"42",
            b" 42 ",
            b"null",
            b"[1,2]",
            br#"{"a":1}"#,
            b"not json",
            b"\"",
            b"\"\"\"",
            b"\x01",
            b"",
            b"\xff",
        ];
        for bytes in json {
            for codec in [Codec::Json, Codec::Raw, Codec::MessagePack, Codec::Protobuf] {
                let value = Value::new(codec, *bytes);
                let kept = encode(value.as_ref());
                let words = format!("{codec:?} {:?}", String::from_utf8_lossy(bytes));
                let read = decode(&kept);
                assert_eq!(read.as_ref().codec, codec, "{words}");
                assert_eq!(read.as_ref().bytes, *bytes, "{words}");
            }
        }
    }

    #[test]
    fn others_see_bare_text() {
        let cases: [(&str, &str); 6] = [
            (r#""alice""#, "alice"),
            (r#""42""#, r#""42""#),
            (r#""""#, ""),
            (r#""two words""#, "two words"),
            ("42", "42"),
            (r#"["a"]"#, r#"["a"]"#),
        ];
        for (json, kept) in cases {
            let value = Value::new(Codec::Json, json.as_bytes());
            assert_eq!(String::from_utf8_lossy(&encode(value.as_ref())), kept);
        }
    }

    #[test]
    fn what_others_write_is_read() {
        let cases: [(&[u8], Codec, &[u8]); 6] = [
            (b"alice", Codec::Json, br#""alice""#),
            (b"42", Codec::Json, b"42"),
            (br#"{"a": 1}"#, Codec::Json, br#"{"a": 1}"#),
            (b"", Codec::Json, br#""""#),
            (b"say \"hi\"", Codec::Json, br#""say \"hi\"""#),
            (b"\xff\xfe", Codec::Raw, b"\xff\xfe"),
        ];
        for (kept, codec, bytes) in cases {
            let read = decode(kept);
            assert_eq!((read.as_ref().codec, read.as_ref().bytes), (codec, bytes));
        }
    }
}

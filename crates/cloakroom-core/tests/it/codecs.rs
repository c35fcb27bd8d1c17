//! Values written by one codec and read back; other types, other codecs, and bombs.

use std::collections::BTreeMap;

use cloakroom_core::codec::{decode, decode_message, encode, encode_message};
use cloakroom_core::record::Value;
use cloakroom_core::{Codec, ErrorKind};
use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Cart {
    items: Vec<String>,
    prices: BTreeMap<String, f64>,
    note: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Preferences {
    #[prost(string, tag = "1")]
    language: String,
    #[prost(uint32, repeated, tag = "2")]
    seats: Vec<u32>,
}

fn cart() -> Cart {
    Cart {
        items: vec!["coat".to_owned(), "hat \u{1f3a9}".to_owned()],
        prices: [("coat".to_owned(), 12.5)].into(),
        note: None,
    }
}

fn undecodable<T: std::fmt::Debug>(result: Result<T, cloakroom_core::Error>) {
    let kind = ErrorKind::Undecodable {
        field: "field".to_owned(),
    };
    assert_eq!(result.unwrap_err().kind(), &kind);
}

#[test]
fn values_read_back() {
    for codec in [Codec::Json, Codec::MessagePack] {
        let value = encode(codec, "field", &cart()).expect("a cart encodes");
        assert_eq!(
            decode::<Cart>("field", value.as_ref()).expect("a cart"),
            cart()
        );
        undecodable(decode::<u32>("field", value.as_ref()));
        for number in [0, 1, -1, i64::MAX, i64::MIN] {
            let value = encode(codec, "field", &number).expect("a number encodes");
            assert_eq!(
                value.as_ref().as_integer("field").expect("an integer"),
                number
            );
        }
    }
    let message = Preferences {
        language: "de".to_owned(),
        seats: vec![1, 300],
    };
    let value = encode_message(&message);
    let read: Preferences = decode_message("field", value.as_ref()).expect("a message");
    assert_eq!(read, message);
    undecodable(decode::<Cart>("field", value.as_ref()));
    let json = encode(Codec::Json, "field", &cart()).expect("a cart encodes");
    undecodable(decode_message::<Preferences>("field", json.as_ref()));
}

#[test]
fn a_struct_may_grow() {
    #[derive(Deserialize)]
    struct Newer {
        items: Vec<String>,
        #[serde(default)]
        voucher: Option<String>,
    }
    for codec in [Codec::Json, Codec::MessagePack] {
        let value = encode(codec, "field", &cart()).expect("a cart encodes");
        let newer: Newer = decode("field", value.as_ref()).expect("a newer cart");
        assert_eq!((newer.items.len(), newer.voucher), (2, None));
    }
}

#[test]
fn damaged_values_are_errors() {
    for codec in [Codec::Json, Codec::MessagePack] {
        let whole = encode(codec, "field", &cart()).expect("a cart encodes");
        let bytes = whole.as_ref().bytes;
        for cut in 0..bytes.len() {
            let value = Value::new(codec, &bytes[..cut]);
            undecodable(decode::<Cart>("field", value.as_ref()));
        }
        let more = Value::new(codec, [bytes, b"x"].concat());
        undecodable(decode::<Cart>("field", more.as_ref()));
    }
    for codec in [Codec::Raw, Codec::Protobuf] {
        let refused = encode(codec, "field", &1);
        assert!(matches!(
            refused.unwrap_err().kind(),
            ErrorKind::Unencodable { .. }
        ));
        undecodable(decode::<u8>("field", Value::new(codec, *b"1").as_ref()));
    }
    let keys: BTreeMap<Vec<u8>, u8> = [(vec![1], 1)].into();
    assert!(encode(Codec::Json, "field", &keys).is_err());
}

#[test]
fn bombs_are_errors() {
    let deep_json = Value::new(Codec::Json, "[".repeat(60_000).into_bytes());
    undecodable(decode::<serde_json::Value>("field", deep_json.as_ref()));
    let deep_pack = Value::new(Codec::MessagePack, vec![0x91; 60_000]);
    undecodable(decode::<serde_json::Value>("field", deep_pack.as_ref()));
    // An array, a map, a string and bytes that say they have four thousand million elements.
    for head in [0xdd, 0xdf, 0xdb, 0xc6] {
        let long = Value::new(Codec::MessagePack, vec![head, 0xff, 0xff, 0xff, 0xff, 0x01]);
        undecodable(decode::<serde_json::Value>("field", long.as_ref()));
        undecodable(decode::<Vec<u64>>("field", long.as_ref()));
    }
    let long = Value::new(Codec::Protobuf, vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f, 1]);
    undecodable(decode_message::<Preferences>("field", long.as_ref()));
}

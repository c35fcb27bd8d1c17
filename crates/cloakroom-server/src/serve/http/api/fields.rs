//! Fields as JSON. Values are kept byte for byte as they were sent, so that no number is rounded;
//! values that other codecs wrote are shown as what they are.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cloakroom_core::record::{Changes, Fields, Value, ValueRef};
use cloakroom_core::{Codec, Error, ErrorKind, codec, limits};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// Names and JSON values.
pub(super) type JsonFields = BTreeMap<String, Box<RawValue>>;

/// Reads names with what they stand for. One that is there twice is refused: one of the two would be a lost write.
pub(super) fn each_once<'de, D, T>(from: D) -> Result<BTreeMap<String, T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    from.deserialize_map(EachOnce(PhantomData))
}

struct EachOnce<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for EachOnce<T> {
    type Value = BTreeMap<String, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fields, each of them once")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<Self::Value, M::Error> {
        let mut fields = BTreeMap::new();
        while let Some((name, value)) = members.next_entry()? {
            if fields.insert(name, value).is_some() {
                return Err(M::Error::custom(
                    "a field is named twice; say one thing of each field",
                ));
            }
        }
        Ok(fields)
    }
}

/// The fields of a session, sorted by who can read them.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct FieldsView {
    /// Fields that hold JSON or `MessagePack`, as JSON.
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    fields: JsonFields,
    /// Fields that hold something else.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    opaque: BTreeMap<String, Opaque>,
}

/// A value that this API does not read.
#[derive(Debug, Serialize, ToSchema)]
struct Opaque {
    /// What wrote it: `raw`, `protobuf`, or the codec whose value is damaged.
    codec: &'static str,
    /// Its bytes, in base64 (RFC 4648, 4).
    base64: String,
}

impl FieldsView {
    /// All fields. One that does not decode hides no other.
    pub(super) fn of(fields: &Fields) -> Self {
        let mut view = Self::default();
        for (name, value) in fields {
            match json_of(name, value) {
                Some(json) => {
                    view.fields.insert(name.to_owned(), json);
                }
                None => {
                    view.opaque.insert(name.to_owned(), Opaque::of(value));
                }
            }
        }
        view
    }
}

impl Opaque {
    fn of(value: ValueRef<'_>) -> Self {
        Self {
            codec: match value.codec {
                Codec::Raw => "raw",
                Codec::Json => "json",
                Codec::MessagePack => "messagepack",
                Codec::Protobuf => "protobuf",
            },
            base64: STANDARD.encode(value.bytes),
        }
    }
}

/// Says in `changes` that these fields are set.
pub(super) fn set_all(changes: &mut Changes, fields: &JsonFields) -> Result<(), Error> {
    for (name, json) in fields {
        let json = json.get();
        let depth = depth(json.as_bytes());
        if depth > limits::DECODE_DEPTH {
            return Err(ErrorKind::Limit {
                what: "field depth",
                limit: limits::DECODE_DEPTH,
                size: depth,
            }
            .into());
        }
        changes.set(name, Value::new(Codec::Json, json.as_bytes()))?;
    }
    Ok(())
}

fn json_of(name: &str, value: ValueRef<'_>) -> Option<Box<RawValue>> {
    match value.codec {
        Codec::Json => {
            let text = str::from_utf8(value.bytes).ok()?;
            RawValue::from_string(text.to_owned()).ok()
        }
        Codec::MessagePack => {
            let value: serde_json::Value = codec::decode(name, value).ok()?;
            serde_json::value::to_raw_value(&value).ok()
        }
        Codec::Raw | Codec::Protobuf => None,
    }
}

/// How deep this valid JSON is nested. Whoever reads the field later recurses as deep.
fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

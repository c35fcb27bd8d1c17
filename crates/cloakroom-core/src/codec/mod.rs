//! How a field's value becomes bytes. Each value remembers which codec wrote it, so that an
//! application can change its codec and still read what is there.

mod json;
mod msgpack;
mod protobuf;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::record::{Value, ValueRef};
use crate::{Error, ErrorKind};

pub use protobuf::{decode_message, encode_message};

/// Which codec wrote a value. The numbers are stored: two bits, so never more than four.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Codec {
    /// Bytes that Cloakroom does not look into.
    Raw = 0,
    /// JSON (RFC 8259). The default: people and other programs can read it.
    #[default]
    Json = 1,
    /// `MessagePack`, with field names: compact, and still self-describing.
    MessagePack = 2,
    /// Protocol Buffers: a message whose schema the application has.
    Protobuf = 3,
}

impl Codec {
    /// The codec with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        match number & 3 {
            0 => Self::Raw,
            1 => Self::Json,
            2 => Self::MessagePack,
            _ => Self::Protobuf,
        }
    }

    /// The number that is stored.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }
}

/// Encodes `value` for the field `name`.
///
/// # Errors
/// [`ErrorKind::Unencodable`] if the codec cannot write it: a map with keys that are no strings in
/// JSON, or any value with [`Codec::Raw`] or [`Codec::Protobuf`], which serde cannot write.
pub fn encode<T: Serialize + ?Sized>(codec: Codec, name: &str, value: &T) -> Result<Value, Error> {
    let bytes = match codec {
        Codec::Json => json::encode(value),
        Codec::MessagePack => msgpack::encode(value),
        Codec::Raw | Codec::Protobuf => Err("this codec does not write serde values".into()),
    };
    let bytes = bytes.map_err(|source| {
        Error::new(ErrorKind::Unencodable {
            field: name.to_owned(),
        })
        .with_source(source)
    })?;
    Ok(Value::new(codec, bytes))
}

/// Decodes the value of the field `name`, whichever codec wrote it.
///
/// # Errors
/// [`ErrorKind::Undecodable`] if the bytes are no such value. Nothing is changed by that.
pub fn decode<T: DeserializeOwned>(name: &str, value: ValueRef<'_>) -> Result<T, Error> {
    let decoded = match value.codec {
        Codec::Json => json::decode(value.bytes),
        Codec::MessagePack => msgpack::decode(value.bytes),
        Codec::Raw | Codec::Protobuf => Err(CodecError::from("not written by serde")),
    };
    decoded.map_err(|source| undecodable(name, source))
}

type CodecError = Box<dyn std::error::Error + Send + Sync>;

/// The cause is kept as its kind and place alone: decoders quote the data in their messages.
fn undecodable(name: &str, source: CodecError) -> Error {
    Error::new(ErrorKind::Undecodable {
        field: name.to_owned(),
    })
    .with_source(source)
}

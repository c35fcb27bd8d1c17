//! A schema'd message as a field's value, by `prost`.

use prost::Message;

use super::Codec;
use crate::record::{Value, ValueRef};
use crate::{Error, ErrorKind};

/// Encodes a Protocol Buffers message.
#[must_use]
pub fn encode_message<M: Message>(message: &M) -> Value {
    Value::new(Codec::Protobuf, message.encode_to_vec())
}

/// Decodes a Protocol Buffers message of the field `name`.
///
/// # Errors
/// [`ErrorKind::Undecodable`] if another codec wrote the value, or it is no such message.
pub fn decode_message<M: Message + Default>(name: &str, value: ValueRef<'_>) -> Result<M, Error> {
    let undecodable = || {
        Error::new(ErrorKind::Undecodable {
            field: name.to_owned(),
        })
    };
    if value.codec != Codec::Protobuf {
        return Err(undecodable().with_source("not written as Protocol Buffers"));
    }
    M::decode(value.bytes).map_err(|error| undecodable().with_source(error))
}

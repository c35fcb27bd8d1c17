//! `MessagePack` values by `rmp-serde`, with names (so that a struct may grow) and bounded depth.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::CodecError;
use crate::limits;

pub(super) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    Ok(rmp_serde::to_vec_named(value)?)
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
    reader.set_max_depth(limits::DECODE_DEPTH);
    let value = T::deserialize(&mut reader).map_err(|_| "no such MessagePack value")?;
    if !reader.get_ref().is_empty() {
        return Err("bytes after the MessagePack value".into());
    }
    Ok(value)
}

//! `MessagePack` values by `rmp-serde`, with names (so that a struct may grow) and bounded depth.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::CodecError;
use crate::limits;

pub(super) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    Ok(rmp_serde::to_vec_named(value)?)
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    // The reader takes from `rest` what it reads; a reader of the slice itself would not tell where
    // it stopped.
    let mut rest = bytes;
    let mut reader = rmp_serde::Deserializer::new(&mut rest);
    reader.set_max_depth(limits::DECODE_DEPTH);
    let value = T::deserialize(&mut reader).map_err(|_| "no such MessagePack value")?;
    if !rest.is_empty() {
        return Err("bytes after the MessagePack value".into());
    }
    Ok(value)
}

//! JSON values (RFC 8259) by `serde_json`, whose reader bounds its own depth (128).

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::CodecError;

pub(super) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    Ok(serde_json::to_vec(value)?)
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    serde_json::from_slice(bytes).map_err(|error| {
        let class = match error.classify() {
            serde_json::error::Category::Data => "another type",
            serde_json::error::Category::Eof => "cut short",
            serde_json::error::Category::Io | serde_json::error::Category::Syntax => "no JSON",
        };
        format!("{class} at column {}", error.column()).into()
    })
}

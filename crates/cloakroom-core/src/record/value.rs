//! One field's value: bytes, and which codec wrote them. `Debug` shows the size alone.

use std::fmt;

use crate::codec::Codec;
use crate::{Error, ErrorKind};

/// A value that somebody owns.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Value {
    codec: Codec,
    bytes: Box<[u8]>,
}

/// A value inside a record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ValueRef<'a> {
    /// Which codec wrote it.
    pub codec: Codec,
    /// What it wrote.
    pub bytes: &'a [u8],
}

impl Value {
    /// A value of these bytes. Its size is checked when it is put into a record.
    #[must_use]
    pub fn new(codec: Codec, bytes: impl Into<Box<[u8]>>) -> Self {
        Self {
            codec,
            bytes: bytes.into(),
        }
    }

    /// An integer, written so that every codec's reader and every store understands it: decimal
    /// digits, which are JSON.
    #[must_use]
    pub fn integer(number: i64) -> Self {
        Self::new(Codec::Json, number.to_string().into_bytes())
    }

    /// This value, borrowed.
    #[must_use]
    pub fn as_ref(&self) -> ValueRef<'_> {
        ValueRef {
            codec: self.codec,
            bytes: &self.bytes,
        }
    }
}

impl ValueRef<'_> {
    /// A copy that outlives the record.
    #[must_use]
    pub fn to_value(self) -> Value {
        Value::new(self.codec, self.bytes)
    }

    /// The integer in this value, whether JSON or `MessagePack` wrote it.
    ///
    /// # Errors
    /// [`ErrorKind::NotAnInteger`] (for the field `name`) if it is none that fits 64 bits.
    pub fn as_integer(self, name: &str) -> Result<i64, Error> {
        let number = match self.codec {
            Codec::Json | Codec::MessagePack => crate::codec::decode(name, self).ok(),
            Codec::Raw | Codec::Protobuf => None,
        };
        number.ok_or_else(|| {
            ErrorKind::NotAnInteger {
                field: name.to_owned(),
            }
            .into()
        })
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

impl fmt::Debug for ValueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({} bytes)", self.codec, self.bytes.len())
    }
}

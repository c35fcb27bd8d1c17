//! The small parts that effects are made of: numbers (LEB128), times (six bytes), keys, runs of
//! bytes with their length in front.

use cloakroom_core::id::SlotTag;
use cloakroom_core::{StoredKey, UnixMillis};

use crate::journal::recover::Refused;

const TIME_BYTES: usize = 6;
/// The time that stands for "never".
const NEVER: u64 = (1 << (8 * TIME_BYTES)) - 1;

/// Bytes that are written.
#[derive(Clone, Debug, Default)]
pub(super) struct Out(Vec<u8>);

impl Out {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Keeps the memory for the next, unless it was a rare burst.
    pub(super) fn clear(&mut self) {
        const KEPT: usize = 16 << 10;
        self.0.clear();
        self.0.shrink_to(KEPT);
    }

    pub(super) fn tag(&mut self, tag: u8) -> &mut Self {
        self.byte(tag)
    }

    pub(super) fn byte(&mut self, byte: u8) -> &mut Self {
        self.0.push(byte);
        self
    }

    pub(super) fn number(&mut self, mut number: u64) -> &mut Self {
        while number >= 0x80 {
            self.0.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.byte(number as u8)
    }

    pub(super) fn time(&mut self, at: UnixMillis) -> &mut Self {
        self.raw(&at.as_millis().min(NEVER - 1).to_le_bytes()[..TIME_BYTES])
    }

    pub(super) fn deadline(&mut self, at: Option<UnixMillis>) -> &mut Self {
        match at {
            Some(at) => self.time(at),
            None => self.raw(&NEVER.to_le_bytes()[..TIME_BYTES]),
        }
    }

    pub(super) fn score(&mut self, score: f64) -> &mut Self {
        self.raw(&score.to_le_bytes())
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as u64).raw(bytes)
    }

    pub(super) fn stored_key(&mut self, key: &StoredKey) -> &mut Self {
        self.raw(&key.tag().number().to_le_bytes()).raw(key.hash())
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }
}

/// Bytes that are still to be read. They come from a disk: nothing is believed of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct In<'a>(pub(super) &'a [u8]);

impl<'a> In<'a> {
    pub(super) fn byte(&mut self) -> Result<u8, Refused> {
        let (&byte, rest) = self.0.split_first().ok_or(Refused::Damaged)?;
        self.0 = rest;
        Ok(byte)
    }

    pub(super) fn number(&mut self) -> Result<u64, Refused> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Refused::Damaged)
    }

    /// A number of 32 bits.
    pub(super) fn small(&mut self) -> Result<u32, Refused> {
        u32::try_from(self.number()?).map_err(|_| Refused::Damaged)
    }

    pub(super) fn time(&mut self) -> Result<UnixMillis, Refused> {
        self.deadline()?.ok_or(Refused::Damaged)
    }

    pub(super) fn deadline(&mut self) -> Result<Option<UnixMillis>, Refused> {
        let mut number = [0; 8];
        number[..TIME_BYTES].copy_from_slice(self.raw(TIME_BYTES)?);
        let millis = u64::from_le_bytes(number);
        Ok((millis != NEVER).then_some(UnixMillis::new(millis)))
    }

    pub(super) fn score(&mut self) -> Result<f64, Refused> {
        Ok(f64::from_le_bytes(self.array()?))
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Refused> {
        let len = usize::try_from(self.number()?).map_err(|_| Refused::Damaged)?;
        self.raw(len)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Refused> {
        str::from_utf8(self.bytes()?).map_err(|_| Refused::Damaged)
    }

    pub(super) fn stored_key(&mut self) -> Result<StoredKey, Refused> {
        let tag = u16::from_le_bytes(self.array()?);
        let tag = SlotTag::new(tag).ok_or(Refused::Damaged)?;
        Ok(StoredKey::from_parts(tag, self.array()?))
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Refused> {
        let mut array = [0; N];
        array.copy_from_slice(self.raw(N)?);
        Ok(array)
    }

    fn raw(&mut self, len: usize) -> Result<&'a [u8], Refused> {
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(Refused::Damaged)?;
        self.0 = rest;
        Ok(bytes)
    }
}

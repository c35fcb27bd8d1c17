//! The fields of a session, packed into one run of bytes: a load copies it once and decodes only
//! the fields that are asked for.
//!
//! One field is: a byte with the codec (2 high bits) and the name's length less one (6 low bits);
//! the value's length as LEB128 (7 bits a byte, low first, at most 3 bytes); the name; the value.

use std::fmt;
use std::ops::Range;

use super::changes::{Change, Changes};
use super::names::{FieldName, within};
use super::value::{Value, ValueRef};
use crate::codec::Codec;
use crate::{Error, ErrorKind, limits};

/// The packed fields of one session. `Debug` shows names and sizes, no values.
#[derive(Default, PartialEq, Eq)]
pub struct Fields(Box<[u8]>);

impl Clone for Fields {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }

    /// Into the same place of the memory, if they are as long.
    fn clone_from(&mut self, source: &Self) {
        self.0.clone_from(&source.0);
    }
}

impl Fields {
    /// Fields from bytes that [`Fields::as_bytes`] gave.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if they are anything else; limits as for writing.
    pub fn from_bytes(bytes: Box<[u8]>) -> Result<Self, Error> {
        within("session", bytes.len(), limits::RECORD_BYTES)?;
        let mut rest = &*bytes;
        let (mut count, mut seen) = (0, Seen::default());
        while let Some((name, value, next)) = split_first(rest) {
            within("field value", value.bytes.len(), limits::FIELD_VALUE_BYTES)?;
            count += 1;
            within("fields", count, limits::FIELDS)?;
            // One value has one encoding, one name one value.
            let before = &bytes[..bytes.len() - rest.len()];
            let header = rest.len() - next.len() - name.len() - value.bytes.len();
            let twice = seen.may_have(name) && is_among(name, before);
            if header != 1 + digits(value.bytes.len()) || twice {
                break;
            }
            rest = next;
        }
        if !rest.is_empty() {
            return Err(ErrorKind::Invalid {
                what: "not the packed fields of a session",
            }
            .into());
        }
        Ok(Self(bytes))
    }

    /// Fields from names and values, for a store that keeps them apart.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for an empty name or one that comes twice; limits as for writing.
    pub fn collect<'a>(
        fields: impl Iterator<Item = (&'a str, ValueRef<'a>)> + Clone,
    ) -> Result<Self, Error> {
        let mut size = 0;
        for (number, (name, value)) in fields.clone().enumerate() {
            within("field name", name.len(), limits::FIELD_NAME_BYTES)?;
            within("field value", value.bytes.len(), limits::FIELD_VALUE_BYTES)?;
            within("fields", number + 1, limits::FIELDS)?;
            size += size_of(name, value);
        }
        within("session", size, limits::RECORD_BYTES)?;
        let (mut packed, mut seen) = (Vec::with_capacity(size), Seen::default());
        for (name, value) in fields {
            if name.is_empty() || seen.may_have(name) && is_among(name, &packed) {
                let what = "a field without a name, or one that comes twice";
                return Err(ErrorKind::Invalid { what }.into());
            }
            push(&mut packed, name, value);
        }
        Ok(Self(packed.into()))
    }

    /// A copy that is as large as it is, because a buffer that is made smaller leaves a scrap behind, which
    /// costs an allocator more than the copy does.
    fn copied(packed: &[u8]) -> Self {
        Self(packed.into())
    }

    /// The bytes that [`Fields::as_bytes`] gave, taken on trust by a store that kept them itself.
    /// Bytes that are something else read as fewer fields, never as a panic.
    #[must_use]
    pub const fn from_trusted_bytes(bytes: Box<[u8]>) -> Self {
        Self(bytes)
    }

    /// The packed bytes, for a store to keep.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The value of the field `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<ValueRef<'_>> {
        let mut rest = &*self.0;
        while let Some((known, value, next)) = split_first_bytes(rest) {
            if known == name.as_bytes() {
                return Some(value);
            }
            rest = next;
        }
        None
    }

    /// All fields, in the order in which they were first written.
    #[must_use]
    pub const fn iter(&self) -> FieldsIter<'_> {
        FieldsIter(&self.0)
    }

    /// How many fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields with `changes` made, and what each increment made of its field, in their order.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if a field, their number or their sum gets too large;
    /// [`ErrorKind::NotAnInteger`] for an increment of something else or beyond 64 bits.
    pub fn changed(&self, changes: &Changes) -> Result<(Self, Vec<i64>), Error> {
        let mut packed = Vec::with_capacity(self.size_with(changes));
        let increments = self.push_all_changed(&mut packed, changes)?;
        let fields = if packed.len() == packed.capacity() {
            Self(packed.into())
        } else {
            Self::copied(&packed)
        };
        Ok((fields, increments))
    }

    /// As [`Fields::changed`], where they are: a value that is as long as the one before it is written over that.
    ///
    /// # Errors
    /// As [`Fields::changed`]; nothing is changed then.
    pub fn change(&mut self, changes: &Changes) -> Result<Vec<i64>, Error> {
        if write_over(&mut self.0, changes) {
            return Ok(Vec::new());
        }
        let (changed, increments) = self.changed(changes)?;
        *self = changed;
        Ok(increments)
    }

    /// Puts the bytes of [`Fields::changed`] behind what is in `packed`, for who sends them on. What is put
    /// there in case of an error is nothing to rely on.
    ///
    /// # Errors
    /// As [`Fields::changed`].
    pub fn push_changed_bytes(
        &self,
        packed: &mut Vec<u8>,
        changes: &Changes,
    ) -> Result<Vec<i64>, Error> {
        // In one go, and then looked through there: the other way round each field would be waited for by itself.
        let begin = packed.len();
        packed.extend_from_slice(&self.0);
        if write_over(&mut packed[begin..], changes) {
            return Ok(Vec::new());
        }
        packed.truncate(begin);
        self.push_all_changed(packed, changes)
    }

    fn push_all_changed(&self, packed: &mut Vec<u8>, changes: &Changes) -> Result<Vec<i64>, Error> {
        let begin = packed.len();
        let (mut count, mut met) = (0, 0);
        // What stays between two changes lies in one run, and is copied as it lies.
        let (mut stays, mut rest) = (&*self.0, &*self.0);
        while let Some((name, _, next)) = split_first_bytes(rest) {
            count += 1;
            if let Some((name, change)) = changes.of(name) {
                met += 1;
                count -= usize::from(matches!(change, Change::Remove));
                packed.extend_from_slice(&stays[..stays.len() - rest.len()]);
                self.push_changed(packed, name.as_str(), change)?;
                stays = next;
            }
            rest = next;
        }
        packed.extend_from_slice(&stays[..stays.len() - rest.len()]);
        let mut increments = Vec::new();
        for (name, change) in changes.iter() {
            if met < changes.len() && self.get(name.as_str()).is_none() {
                count += usize::from(!matches!(change, Change::Remove));
                self.push_changed(packed, name.as_str(), change)?;
            }
            if let Change::Increment(by) = change {
                increments.push(self.incremented(name.as_str(), *by)?);
            }
        }
        within("session", packed.len() - begin, limits::RECORD_BYTES)?;
        within("fields", count, limits::FIELDS)?;
        Ok(increments)
    }

    /// How many bytes the fields take with `changes`; a few more, where integers are added.
    fn size_with(&self, changes: &Changes) -> usize {
        let (mut more, mut less) = (0, 0);
        for (name, change) in changes.iter() {
            let name = name.as_str();
            if let Some(old) = self.get(name) {
                less += size_of(name, old);
            }
            more += match change {
                Change::Set(value) => size_of(name, value.as_ref()),
                Change::Increment(_) => name.len() + 24,
                Change::Remove => 0,
            };
        }
        self.0.len() + more - less
    }

    /// These names alone.
    #[must_use]
    pub fn only(&self, names: &[FieldName]) -> Self {
        let mut packed = Vec::with_capacity(self.0.len());
        for (name, value) in self {
            if names.iter().any(|kept| kept.as_str() == name) {
                push(&mut packed, name, value);
            }
        }
        Self(packed.into())
    }

    fn push_changed(&self, packed: &mut Vec<u8>, name: &str, change: &Change) -> Result<(), Error> {
        match change {
            Change::Set(value) => {
                let value = value.as_ref();
                within("field value", value.bytes.len(), limits::FIELD_VALUE_BYTES)?;
                push(packed, name, value);
            }
            Change::Increment(by) => {
                push(
                    packed,
                    name,
                    Value::integer(self.incremented(name, *by)?).as_ref(),
                );
            }
            Change::Remove => {}
        }
        Ok(())
    }

    fn incremented(&self, name: &str, by: i64) -> Result<i64, Error> {
        let old = self
            .get(name)
            .map_or(Ok(0), |value| value.as_integer(name))?;
        let new = old.checked_add(by);
        new.ok_or_else(|| {
            ErrorKind::NotAnInteger {
                field: name.to_owned(),
            }
            .into()
        })
    }
}

/// Iterates over names and values.
#[derive(Clone)]
pub struct FieldsIter<'a>(&'a [u8]);

impl<'a> FieldsIter<'a> {
    /// Iterates over bytes that [`Fields::as_bytes`] gave, where a store keeps them, without a
    /// copy. Bytes that are something else read as fewer fields, never as a panic.
    #[must_use]
    pub const fn over_trusted_bytes(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// How many bytes of the packed fields are still to come; a value that was just read ends
    /// where they begin.
    #[must_use]
    pub const fn remaining_bytes(&self) -> usize {
        self.0.len()
    }
}

impl<'a> Iterator for FieldsIter<'a> {
    type Item = (&'a str, ValueRef<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value, rest) = split_first(self.0)?;
        self.0 = rest;
        Some((name, value))
    }
}

impl<'a> IntoIterator for &'a Fields {
    type Item = (&'a str, ValueRef<'a>);
    type IntoIter = FieldsIter<'a>;

    fn into_iter(self) -> FieldsIter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl fmt::Debug for FieldsIter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.clone()).finish()
    }
}

const NAME_MASK: u8 = 0x3f;
const CODEC_SHIFT: u32 = 6;
const MORE: u8 = 0x80;

fn push(packed: &mut Vec<u8>, name: &str, value: ValueRef<'_>) {
    let name_length = u8::try_from(name.len() - 1).unwrap_or(NAME_MASK) & NAME_MASK;
    packed.push(value.codec.number() << CODEC_SHIFT | name_length);
    let mut length = value.bytes.len();
    while length >= usize::from(MORE) {
        packed.push((length & 0x7f) as u8 | MORE);
        length >>= 7;
    }
    packed.push(length as u8);
    packed.extend_from_slice(name.as_bytes());
    packed.extend_from_slice(value.bytes);
}

/// Makes `changes` in packed fields, if each gives a field that is there a value as long as the one before it;
/// else nothing is changed.
fn write_over(packed: &mut [u8], changes: &Changes) -> bool {
    let fits = changes.iter().all(|(name, change)| match change {
        Change::Set(value) => place_of(packed, name.as_str(), value.as_ref()).is_some(),
        Change::Remove | Change::Increment(_) => false,
    });
    if !fits {
        return false;
    }
    for (name, change) in changes.iter() {
        if let Change::Set(value) = change
            && let value = value.as_ref()
            && let Some((head, place)) = place_of(packed, name.as_str(), value)
        {
            packed[head] = value.codec.number() << CODEC_SHIFT | packed[head] & NAME_MASK;
            packed[place].copy_from_slice(value.bytes);
        }
    }
    true
}

/// Where the field `name` begins and where its value is, if that is as long as `value`.
fn place_of(packed: &[u8], name: &str, value: ValueRef<'_>) -> Option<(usize, Range<usize>)> {
    let mut rest = packed;
    while let Some((known, there, next)) = split_first_bytes(rest) {
        if known == name.as_bytes() {
            let end = packed.len() - next.len();
            let place = end - there.bytes.len()..end;
            return (there.bytes.len() == value.bytes.len())
                .then_some((packed.len() - rest.len(), place));
        }
        rest = next;
    }
    None
}

/// How many bytes [`push`] writes.
const fn size_of(name: &str, value: ValueRef<'_>) -> usize {
    1 + digits(value.bytes.len()) + name.len() + value.bytes.len()
}

/// How many bytes [`push`] says a length in.
const fn digits(length: usize) -> usize {
    match length {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        _ => 3,
    }
}

/// Which names were seen, as one bit for each: a name whose bit is missing was not, and need not be looked for.
#[derive(Default)]
struct Seen(u64);

impl Seen {
    /// Whether `name` may have been seen before; it is seen now.
    fn may_have(&mut self, name: &str) -> bool {
        let ends = [name.as_bytes().first(), name.as_bytes().last()];
        let [first, last] = ends.map(|end| end.map_or(0, |byte| usize::from(*byte)));
        let bit = 1 << ((first * 8 + last + name.len() * 16) % 64);
        let may = self.0 & bit != 0;
        self.0 |= bit;
        may
    }
}

/// Whether packed fields have one of this name.
fn is_among(name: &str, packed: &[u8]) -> bool {
    let mut rest = packed;
    while let Some((known, _, next)) = split_first_bytes(rest) {
        if known == name.as_bytes() {
            return true;
        }
        rest = next;
    }
    false
}

fn split_first(bytes: &[u8]) -> Option<(&str, ValueRef<'_>, &[u8])> {
    let (name, value, rest) = split_first_bytes(bytes)?;
    Some((str::from_utf8(name).ok()?, value, rest))
}

fn split_first_bytes(bytes: &[u8]) -> Option<(&[u8], ValueRef<'_>, &[u8])> {
    let (&head, mut rest) = bytes.split_first()?;
    let mut length = 0;
    for shift in [0, 7, 14] {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        length |= usize::from(byte & !MORE) << shift;
        if byte & MORE == 0 {
            break;
        } else if shift == 14 {
            return None;
        }
    }
    let (name, rest) = rest.split_at_checked(usize::from(head & NAME_MASK) + 1)?;
    let (bytes, rest) = rest.split_at_checked(length)?;
    Some((
        name,
        ValueRef {
            codec: Codec::from_number(head >> CODEC_SHIFT),
            bytes,
        },
        rest,
    ))
}

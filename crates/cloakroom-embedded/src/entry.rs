//! One session as the bytes of its slot. Numbers are little-endian; times are milliseconds.
//!
//! | offset | bytes | what |
//! | --- | --- | --- |
//! | 0 | 4 | generation: how many `revoke_all` the store had seen, doubled; an odd first byte is a key's |
//! | 4 | 8 | the wheel's links |
//! | 12 | 32 | hash of the key |
//! | 44 | 2 | tag of the key (12 bits); flags (4 bits) |
//! | 46 | 12 | handle |
//! | 58 | 6 | created at |
//! | 64 | 6 | seen at |
//! | 70 | 6 | version |
//! | 76 | 1 | lifetimes: number in the shard's list, or 255 for "further down" |
//! | 77 | 1 | bytes of the subject, 0 for none |
//! | 78 | 3 | bytes of the fields |
//! | 81 | | then, as flags and lengths say: authenticated at (6), idle (5) and absolute (5), subject, label (1 + bytes), fields |
//!
//! So a session costs 81 bytes beside its subject, label and fields, if it signed in when it was
//! created and its lifetimes are among the first 255 that its shard has seen. Nothing here outlives
//! the process.

use std::time::Duration;

use cloakroom_core::expiry::Times;
use cloakroom_core::id::SlotTag;
use cloakroom_core::record::{Fields, FieldsIter, Label, Subject};
use cloakroom_core::{Handle, Lifetimes, Record, StoredKey, UnixMillis};
use smallvec::SmallVec;

use crate::shard::name;
use crate::slab::{Slab, SlotRef};
use crate::wheel::Links;

const GENERATION: usize = 0;
const NEXT: usize = 4;
const PREV: usize = 8;
const HASH: usize = 12;
const TAG: usize = 44;
const HANDLE: usize = 46;
const CREATED: usize = 58;
const SEEN: usize = 64;
const VERSION: usize = 70;
const LIFETIMES: usize = 76;
const SUBJECT: usize = 77;
const FIELDS: usize = 78;
const REST: usize = 81;

const TAG_MASK: u16 = 0x0fff;
const SIGNED_IN_WHEN_CREATED: u16 = 1 << 12;
const SIGNED_IN_LATER: u16 = 1 << 13;
const LABELLED: u16 = 1 << 14;
const REFERENCED: u16 = 1 << 15;

const OWN_LIFETIMES: u8 = u8::MAX;
const SIX_BYTES: u64 = (1 << 48) - 1;
const NO_IDLE: u64 = (1 << 40) - 1;

/// The lifetimes that a shard's sessions have. An application has few, so that a byte says which;
/// a session whose lifetimes find no room here carries them itself.
#[derive(Debug, Default)]
pub(crate) struct KnownLifetimes(SmallVec<[Lifetimes; 2]>);

impl KnownLifetimes {
    fn number(&mut self, lifetimes: Lifetimes) -> u8 {
        let known = self.0.iter().position(|known| *known == lifetimes);
        let number = known.unwrap_or(self.0.len());
        if number >= usize::from(OWN_LIFETIMES) {
            return OWN_LIFETIMES;
        }
        if known.is_none() {
            self.0.push(lifetimes);
        }
        number as u8
    }

    fn room(&self, lifetimes: &Lifetimes) -> bool {
        self.0.len() < usize::from(OWN_LIFETIMES) || self.0.contains(lifetimes)
    }
}

/// Bytes that `record` takes as an entry.
pub(crate) fn len(record: &Record, known: &KnownLifetimes) -> usize {
    let own_lifetimes = if known.room(&record.times.lifetimes) {
        0
    } else {
        10
    };
    let signed_in = match record.times.authenticated_at {
        Some(at) if at != record.times.created_at => 6,
        _ => 0,
    };
    let subject = record.subject.as_ref().map_or(0, |it| it.as_str().len());
    let label = record.label.as_ref().map_or(0, |it| it.as_str().len() + 1);
    REST + own_lifetimes + signed_in + subject + label + record.fields.as_bytes().len()
}

/// Writes a session into its slot, all but the wheel's links.
pub(crate) fn write(
    out: &mut [u8],
    key: &StoredKey,
    record: &Record,
    generation: u32,
    known: &mut KnownLifetimes,
) {
    let times = &record.times;
    // Not marked as used: whoever is never seen again leaves first, and the slot of the one that
    // made room lies behind the hand, so there is a whole round of it for the next request.
    let mut flags = 0;
    let mut rest = REST;
    match times.authenticated_at {
        Some(at) if at == times.created_at => flags |= SIGNED_IN_WHEN_CREATED,
        Some(at) => {
            flags |= SIGNED_IN_LATER;
            rest = put(out, rest, at.as_millis().min(SIX_BYTES), 6);
        }
        None => {}
    }
    let lifetimes = known.number(times.lifetimes);
    if lifetimes == OWN_LIFETIMES {
        let idle = times.lifetimes.idle().map_or(NO_IDLE, millis);
        rest = put(out, rest, idle, 5);
        rest = put(out, rest, millis(times.lifetimes.absolute()), 5);
    }
    let subject = record.subject.as_ref().map_or("", Subject::as_str);
    rest = put_bytes(out, rest, subject.as_bytes());
    if let Some(label) = &record.label {
        flags |= LABELLED;
        rest = put(out, rest, label.as_str().len() as u64, 1);
        rest = put_bytes(out, rest, label.as_str().as_bytes());
    }
    put_bytes(out, rest, record.fields.as_bytes());
    put(out, GENERATION, u64::from(generation) << 1, 4);
    put_bytes(out, HASH, key.hash());
    put(out, TAG, u64::from(key.tag().number() | flags), 2);
    put_bytes(out, HANDLE, record.handle.as_bytes());
    put(out, CREATED, times.created_at.as_millis().min(SIX_BYTES), 6);
    set_seen(out, times.seen_at);
    put(out, VERSION, record.version.min(SIX_BYTES), 6);
    out[LIFETIMES] = lifetimes;
    out[SUBJECT] = subject.len() as u8;
    put(out, FIELDS, record.fields.as_bytes().len() as u64, 3);
}

/// Records activity.
pub(crate) fn set_seen(entry: &mut [u8], at: UnixMillis) {
    put(entry, SEEN, at.as_millis().min(SIX_BYTES), 6);
}

/// Counts a write and records its activity. Returns the version.
pub(crate) fn count_write(entry: &mut [u8], at: UnixMillis) -> u64 {
    let version = (take_six(entry, VERSION) + 1).min(SIX_BYTES);
    put(entry, VERSION, version, 6);
    set_seen(entry, at);
    version
}

/// Says how many writes there were.
pub(crate) fn set_version(entry: &mut [u8], version: u64) {
    put(entry, VERSION, version.min(SIX_BYTES), 6);
}

/// Marks a session as used lately.
pub(crate) const fn set_referenced(entry: &mut [u8]) {
    // A line of the cache that is not written need not go back to memory.
    if entry[TAG + 1] & (REFERENCED >> 8) as u8 == 0 {
        entry[TAG + 1] |= (REFERENCED >> 8) as u8;
    }
}

/// Whether the session, or the key, was used since this was last asked.
pub(crate) const fn take_referenced(entry: &mut [u8]) -> bool {
    if name::is_key(entry) {
        return name::take_referenced(entry);
    }
    let referenced = entry[TAG + 1] & (REFERENCED >> 8) as u8 != 0;
    entry[TAG + 1] &= !((REFERENCED >> 8) as u8);
    referenced
}

/// Puts other fields in place of the present ones, in a slot that holds them.
pub(crate) fn set_fields(entry: &mut [u8], fields: &[u8]) {
    let at = View(entry).fields_at();
    put(entry, FIELDS, fields.len() as u64, 3);
    put_bytes(entry, at, fields);
}

/// Where in its slot the fields of a session are.
pub(crate) fn fields_range(entry: &[u8]) -> std::ops::Range<usize> {
    let at = View(entry).fields_at();
    at..at + (take(entry, FIELDS - 1, 4) >> 8) as usize
}

/// A session in its slot, to be read.
#[derive(Clone, Copy)]
pub(crate) struct View<'a>(pub(crate) &'a [u8]);

impl<'a> View<'a> {
    pub(crate) fn generation(self) -> u32 {
        (take(self.0, GENERATION, 4) >> 1) as u32
    }

    pub(crate) fn is(self, key: &StoredKey) -> bool {
        self.0[HASH..HASH + 32] == *key.hash() && self.tag() == key.tag().number()
    }

    pub(crate) fn hash(self) -> &'a [u8] {
        &self.0[HASH..HASH + 32]
    }

    pub(crate) fn key(self) -> StoredKey {
        let tag = SlotTag::new(self.tag()).expect("a tag has 12 bits");
        let hash = self.hash().try_into().expect("a hash has 32 bytes");
        StoredKey::from_parts(tag, hash)
    }

    pub(crate) fn handle(self) -> Handle {
        let handle = &self.0[HANDLE..HANDLE + Handle::BYTES];
        Handle::from_bytes(handle.try_into().expect("a handle has 12 bytes"))
    }

    pub(crate) fn version(self) -> u64 {
        take_six(self.0, VERSION)
    }

    pub(crate) fn seen_at(self) -> UnixMillis {
        UnixMillis::new(take_six(self.0, SEEN))
    }

    #[inline(always)]
    pub(crate) fn times(self, known: &KnownLifetimes) -> Times {
        let created_at = UnixMillis::new(take_six(self.0, CREATED));
        let authenticated_at = match self.flags() {
            flags if flags & SIGNED_IN_WHEN_CREATED != 0 => Some(created_at),
            flags if flags & SIGNED_IN_LATER != 0 => Some(UnixMillis::new(take_six(self.0, REST))),
            _ => None,
        };
        Times {
            created_at,
            authenticated_at,
            seen_at: UnixMillis::new(take_six(self.0, SEEN)),
            lifetimes: self.lifetimes(known),
        }
    }

    /// The subject's bytes; empty for none.
    pub(crate) fn subject(self) -> &'a [u8] {
        let at = self.subject_at();
        &self.0[at..at + usize::from(self.0[SUBJECT])]
    }

    pub(crate) fn fields(self) -> FieldsIter<'a> {
        FieldsIter::over_trusted_bytes(&self.0[fields_range(self.0)])
    }

    /// Bytes of the entry but for its fields.
    pub(crate) fn len_without_fields(self) -> usize {
        self.fields_at()
    }

    /// The record, `with_fields` or without.
    pub(crate) fn record(self, known: &KnownLifetimes, with_fields: bool) -> Record {
        self.record_of(self.times(known), with_fields)
    }

    /// The record, whose times these are.
    #[inline(always)]
    pub(crate) fn record_of(self, times: Times, with_fields: bool) -> Record {
        let subject = text(self.subject());
        let subject = (!subject.is_empty()).then(|| Subject::from_trusted(subject));
        let label = (self.flags() & LABELLED != 0).then(|| {
            let at = self.label_at();
            Label::new(text(&self.0[at + 1..=at + usize::from(self.0[at])]))
        });
        let fields = if with_fields {
            Fields::from_trusted_bytes(self.0[fields_range(self.0)].into())
        } else {
            Fields::default()
        };
        Record {
            handle: self.handle(),
            times,
            subject,
            label,
            version: self.version(),
            fields,
        }
    }

    fn tag(self) -> u16 {
        self.flags() & TAG_MASK
    }

    fn flags(self) -> u16 {
        take(self.0, TAG, 2) as u16
    }

    fn lifetimes(self, known: &KnownLifetimes) -> Lifetimes {
        let number = self.0[LIFETIMES];
        if number != OWN_LIFETIMES {
            return known.0[usize::from(number)];
        }
        let at = self.lifetimes_at();
        let idle = take(self.0, at, 5);
        let absolute = Duration::from_millis(take(self.0, at + 5, 5));
        let lifetimes = match idle {
            NO_IDLE => Lifetimes::fixed(absolute),
            idle => Lifetimes::new(Duration::from_millis(idle), absolute),
        };
        lifetimes.expect("they were lifetimes when they were stored")
    }

    fn lifetimes_at(self) -> usize {
        let later = self.flags() & SIGNED_IN_LATER != 0;
        REST + if later { 6 } else { 0 }
    }

    fn subject_at(self) -> usize {
        let own = self.0[LIFETIMES] == OWN_LIFETIMES;
        self.lifetimes_at() + if own { 10 } else { 0 }
    }

    fn label_at(self) -> usize {
        self.subject_at() + usize::from(self.0[SUBJECT])
    }

    fn fields_at(self) -> usize {
        let at = self.label_at();
        if self.flags() & LABELLED == 0 {
            at
        } else {
            at + 1 + usize::from(self.0[at])
        }
    }
}

/// The wheel's links, at the front of every slot in use.
impl Links for Slab {
    fn links(&self, slot: SlotRef) -> (u32, u32) {
        let entry = self.get(slot);
        (take(entry, NEXT, 4) as u32, take(entry, PREV, 4) as u32)
    }

    fn set_next(&mut self, slot: SlotRef, next: u32) {
        put(self.get_mut(slot), NEXT, u64::from(next), 4);
    }

    fn set_prev(&mut self, slot: SlotRef, prev: u32) {
        put(self.get_mut(slot), PREV, u64::from(prev), 4);
    }
}

pub(crate) fn put(out: &mut [u8], at: usize, number: u64, bytes: usize) -> usize {
    put_bytes(out, at, &number.to_le_bytes()[..bytes])
}

pub(crate) fn put_bytes(out: &mut [u8], at: usize, bytes: &[u8]) -> usize {
    out[at..at + bytes.len()].copy_from_slice(bytes);
    at + bytes.len()
}

#[inline]
pub(crate) fn take(entry: &[u8], at: usize, bytes: usize) -> u64 {
    let mut number = [0; 8];
    number[..bytes].copy_from_slice(&entry[at..at + bytes]);
    u64::from_le_bytes(number)
}

/// A number of six bytes, of which two others are in front: one read, where [`take`] puts it
/// together of two.
#[inline]
pub(crate) fn take_six(entry: &[u8], at: usize) -> u64 {
    take(entry, at - 2, 8) >> 16
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).expect("it was text when it was stored")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).map_or(NO_IDLE - 1, |millis| millis.min(NO_IDLE - 1))
}

#[cfg(test)]
mod tests {
    use cloakroom_core::codec::Codec;
    use cloakroom_core::record::{Changes, Value};
    use proptest::prelude::*;

    use super::*;

    fn record() -> impl Strategy<Value = Record> {
        let lifetimes = (
            prop::option::of(1_000_u64..34_560_000_000),
            1_000_u64..34_560_000_000,
        );
        let names = (
            prop::option::of("[a-z@.]{1,255}"),
            prop::option::of(".{0,140}"),
        );
        let data =
            prop::collection::vec(("[a-z]{1,64}", prop::collection::vec(0_u8.., 0..300)), 0..9);
        let times = (
            0..SIX_BYTES,
            prop::option::of(0..SIX_BYTES),
            0..SIX_BYTES,
            any::<bool>(),
        );
        (
            any::<[u8; 12]>(),
            lifetimes,
            names,
            data,
            times,
            1..SIX_BYTES,
        )
            .prop_map(
                |(
                    handle,
                    (idle, absolute),
                    (subject, label),
                    data,
                    (created, signed, seen, same),
                    version,
                )| {
                    let absolute = Duration::from_millis(absolute);
                    let mut changes = Changes::new();
                    for (name, bytes) in data {
                        changes.set(&name, Value::new(Codec::Raw, bytes)).unwrap();
                    }
                    let created_at = UnixMillis::new(created);
                    Record {
                        handle: Handle::from_bytes(handle),
                        times: Times {
                            created_at,
                            authenticated_at: signed.map(|at| {
                                if same {
                                    created_at
                                } else {
                                    UnixMillis::new(at)
                                }
                            }),
                            seen_at: UnixMillis::new(seen),
                            lifetimes: idle.map_or_else(
                                || Lifetimes::fixed(absolute).unwrap(),
                                |idle| {
                                    Lifetimes::new(Duration::from_millis(idle), absolute).unwrap()
                                },
                            ),
                        },
                        subject: subject.map(|it| Subject::stored(&it).unwrap()),
                        label: label.map(|it| Label::new(&it)),
                        version,
                        fields: Fields::default().changed(&changes).unwrap().0,
                    }
                },
            )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(record in record(), hash in any::<[u8; 32]>(), tag in 0_u16..4096,
                                   crowded in any::<bool>(), generation in 0_u32..1 << 31) {
            let mut known = KnownLifetimes::default();
            if crowded {
                for seconds in 1..=255 {
                    known.number(Lifetimes::fixed(Duration::from_secs(seconds)).unwrap());
                }
            }
            let key = StoredKey::from_parts(SlotTag::new(tag).unwrap(), hash);
            let len = len(&record, &known);
            let mut slot = vec![0xaa; len];
            write(&mut slot, &key, &record, generation, &mut known);
            let view = View(&slot);
            prop_assert_eq!(view.record(&known, true), record.clone());
            prop_assert!(view.is(&key) && view.key() == key);
            prop_assert_eq!(view.generation(), generation);
            prop_assert_eq!(view.len_without_fields() + record.fields.as_bytes().len(), len);
            set_referenced(&mut slot);
            prop_assert!(take_referenced(&mut slot) && !take_referenced(&mut slot));
            prop_assert_eq!(View(&slot).record(&known, true), record.clone());
            set_referenced(&mut slot);
            let version = count_write(&mut slot, UnixMillis::new(7));
            let view = View(&slot).record(&known, false);
            prop_assert_eq!((view.version, view.times.seen_at), (version, UnixMillis::new(7)));
        }
    }
}

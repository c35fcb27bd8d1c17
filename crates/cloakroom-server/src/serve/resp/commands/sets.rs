//! Sets: indexes of who has which sessions.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use cloakroom_core::{Entropy as _, OsEntropy};

use crate::serve::resp::args::Args;
use crate::serve::resp::call::Call;
use crate::serve::resp::events::Class;
use crate::serve::resp::fail::Fail;
use crate::serve::resp::table::{
    Command, Done, FAST, GROWS, Group::Set, Keys, ONE, READ, Run, WRITE,
};

#[rustfmt::skip]
pub(super) static ROWS: [Command; 9] = [
    Command::new("sadd", -3, WRITE | GROWS | FAST, ONE, Set, "1.0.0", "Adds members.", Run::Keys(sadd)),
    Command::new("srem", -3, WRITE | FAST, ONE, Set, "1.0.0", "Removes members.", Run::Keys(srem)),
    Command::new("smembers", 2, READ, ONE, Set, "1.0.0", "Returns all members.", Run::Keys(smembers)),
    Command::new("sismember", 3, READ | FAST, ONE, Set, "1.0.0", "Says whether this is a member.", Run::Keys(sismember)),
    Command::new("smismember", -3, READ | FAST, ONE, Set, "6.2.0", "Says which of these are members.", Run::Keys(smismember)),
    Command::new("scard", 2, READ | FAST, ONE, Set, "1.0.0", "Counts the members.", Run::Keys(scard)),
    Command::new("smove", 4, WRITE | FAST, Keys::Range(1, 2, 1), Set, "1.0.0", "Takes a member into another set.", Run::Keys(smove)),
    Command::new("spop", -2, WRITE | FAST, ONE, Set, "1.0.0", "Removes members at random and returns them.", Run::Keys(spop)),
    Command::new("srandmember", -2, READ, ONE, Set, "1.0.0", "Returns members at random.", Run::Keys(srandmember)),
];

fn sadd(call: &mut Call<'_, '_, '_>) -> Done {
    let key = call.key();
    let mut added = 0;
    for member in call.args.from(2) {
        added += i64::from(call.keys.set_add(key, member)?);
    }
    if added > 0 {
        call.keys.event(Class::Set, "sadd", key);
    }
    call.out.integer(added);
    Ok(())
}

fn srem(call: &mut Call<'_, '_, '_>) -> Done {
    let key = call.key();
    let mut removed = 0;
    for member in call.args.from(2) {
        removed += i64::from(call.keys.set_remove(key, member)?);
    }
    if removed > 0 {
        call.keys.event(Class::Set, "srem", key);
        gone_if_empty(call, key);
    }
    call.out.integer(removed);
    Ok(())
}

/// A collection that lost its last member is gone: that is an event, too.
pub(super) fn gone_if_empty(call: &mut Call<'_, '_, '_>, key: &[u8]) {
    if call.keys.kind(key).is_none() {
        call.keys.event(Class::Generic, "del", key);
    }
}

fn smembers(call: &mut Call<'_, '_, '_>) -> Done {
    let key = call.key();
    let count = call.keys.set_len(key)?;
    call.out.set(count);
    let out = &mut *call.out;
    call.keys.set_each(key, &mut |member| out.bulk(member))?;
    Ok(())
}

fn sismember(call: &mut Call<'_, '_, '_>) -> Done {
    let there = call.keys.set_contains(call.args.get(1), call.args.get(2))?;
    call.out.truth(there);
    Ok(())
}

fn smismember(call: &mut Call<'_, '_, '_>) -> Done {
    let key = call.key();
    call.keys.set_len(key)?;
    call.out.array(call.args.len() - 2);
    for member in call.args.from(2) {
        let there = call.keys.set_contains(key, member)?;
        call.out.truth(there);
    }
    Ok(())
}

fn scard(call: &mut Call<'_, '_, '_>) -> Done {
    let count = call.keys.set_len(call.args.get(1))?;
    call.out.count(count);
    Ok(())
}

fn smove(call: &mut Call<'_, '_, '_>) -> Done {
    let (from, to, member) = (call.args.get(1), call.args.get(2), call.args.get(3));
    if call.keys.kind(from).is_none() {
        call.out.truth(false);
        return Ok(());
    }
    let there = call.keys.set_contains(from, member)?;
    call.keys.set_len(to)?;
    if there && from != to {
        // First to where it may be refused.
        let new = call.keys.set_add(to, member)?;
        call.keys.set_remove(from, member)?;
        call.keys.event(Class::Set, "srem", from);
        gone_if_empty(call, from);
        if new {
            call.keys.event(Class::Set, "sadd", to);
        }
    }
    call.out.truth(there);
    Ok(())
}

fn spop(call: &mut Call<'_, '_, '_>) -> Done {
    let key = call.key();
    if call.args.len() > 3 {
        return Err(Fail::Syntax);
    }
    let wanted = match call.args.len() {
        2 => None,
        _ => Some(positive(call.args, 2)?),
    };
    let count = call.keys.set_len(key)?;
    let mut popped = Vec::new();
    for left in (1..=count).rev().take(wanted.unwrap_or(1)) {
        let at = any(left).unwrap_or(0);
        if let Some(member) = call.keys.set_at(key, at)? {
            let member = member.to_vec();
            call.keys.set_remove(key, &member)?;
            popped.push(member);
        }
    }
    if !popped.is_empty() {
        call.keys.event(Class::Set, "spop", key);
        gone_if_empty(call, key);
    }
    if wanted.is_none() {
        call.out.maybe(popped.first().map(Vec::as_slice));
        return Ok(());
    }
    call.out.set(popped.len());
    popped.iter().for_each(|member| call.out.bulk(member));
    Ok(())
}

fn srandmember(call: &mut Call<'_, '_, '_>) -> Done {
    let key = call.key();
    if call.args.len() > 3 {
        return Err(Fail::Syntax);
    }
    if call.args.len() == 2 {
        let at = any(call.keys.set_len(key)?);
        match at {
            Some(at) => {
                let member = call.keys.set_at(key, at)?;
                call.out.maybe(member);
            }
            None => call.out.nil(),
        }
        return Ok(());
    }
    let count = call.keys.set_len(key)?;
    let chosen = choose(call.args, 2, count)?;
    call.out.array(chosen.len());
    for at in chosen {
        let member = call.keys.set_at(key, at)?;
        call.out.maybe(member);
    }
    Ok(())
}

/// A number that is not below zero.
pub(super) fn positive(args: Args<'_>, at: usize) -> Result<usize, Fail> {
    let value = args
        .integer(at)
        .ok()
        .and_then(|value| usize::try_from(value).ok());
    value.ok_or(Fail::say("ERR value is out of range, must be positive"))
}

/// Which of `count` things are chosen by the number at `at`: so many different ones, or so many that may
/// repeat if it is negative.
pub(super) fn choose(args: Args<'_>, at: usize, count: usize) -> Result<Vec<usize>, Fail> {
    let wanted = args.integer(at)?;
    if wanted < -MOST_CHOSEN {
        return Err(Fail::say("ERR value is out of range"));
    }
    let many = usize::try_from(wanted.unsigned_abs()).unwrap_or(usize::MAX);
    if count == 0 {
        return Ok(Vec::new());
    }
    if wanted < 0 {
        return Ok((0..many).filter_map(|_| any(count)).collect());
    }
    if many >= count {
        return Ok((0..count).collect());
    }
    // Floyd: each draw adds one, be it the last there is.
    let mut chosen = BTreeSet::new();
    for last in count - many..count {
        let at = any(last + 1).unwrap_or(last);
        if !chosen.insert(at) {
            chosen.insert(last);
        }
    }
    Ok(chosen.into_iter().collect())
}

/// Things that may be chosen with repetition: each costs an answer.
const MOST_CHOSEN: i64 = 1 << 20;

/// One of `count` places, at random; nothing if there is none. No secret hangs on it.
pub(super) fn any(count: usize) -> Option<usize> {
    static STATE: AtomicU64 = AtomicU64::new(0);
    let mut state = STATE.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    if state == 0 {
        let mut seed = [0; 8];
        if OsEntropy.fill(&mut seed).is_ok() {
            state = u64::from_le_bytes(seed);
            STATE.fetch_xor(state, Ordering::Relaxed);
        }
    }
    // SplitMix64.
    let mut mixed = state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    let at = (u128::from(mixed) * count as u128) >> 64;
    (count > 0).then(|| usize::try_from(at).unwrap_or(0))
}

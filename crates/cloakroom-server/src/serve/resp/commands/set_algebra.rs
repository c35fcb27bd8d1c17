//! Sets against each other.

use std::collections::BTreeSet;

use crate::serve::resp::call::Call;
use crate::serve::resp::events::Class;
use crate::serve::resp::fail::Fail;
use crate::serve::resp::table::{ALL, Command, Done, GROWS, Group::Set, Keys, READ, Run, WRITE};

#[rustfmt::skip]
pub(super) static ROWS: [Command; 7] = [
    Command::new("sinter", -2, READ, ALL, Set, "1.0.0", "Returns what is in all sets.", Run::Keys(|call| answer(call, Algebra::Inter))),
    Command::new("sunion", -2, READ, ALL, Set, "1.0.0", "Returns what is in any set.", Run::Keys(|call| answer(call, Algebra::Union))),
    Command::new("sdiff", -2, READ, ALL, Set, "1.0.0", "Returns what is in the first set alone.", Run::Keys(|call| answer(call, Algebra::Diff))),
    Command::new("sinterstore", -3, WRITE | GROWS, ALL, Set, "1.0.0", "Stores what is in all sets.", Run::Keys(|call| store(call, Algebra::Inter))),
    Command::new("sunionstore", -3, WRITE | GROWS, ALL, Set, "1.0.0", "Stores what is in any set.", Run::Keys(|call| store(call, Algebra::Union))),
    Command::new("sdiffstore", -3, WRITE | GROWS, ALL, Set, "1.0.0", "Stores what is in the first set alone.", Run::Keys(|call| store(call, Algebra::Diff))),
    Command::new("sintercard", -3, READ, Keys::Counted(1, false), Set, "7.0.0", "Counts what is in all sets.", Run::Keys(sintercard)),
];

/// Which of three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algebra {
    Inter,
    Union,
    Diff,
}

type Members = BTreeSet<Vec<u8>>;

fn combine<'a>(
    call: &mut Call<'_, '_, '_>,
    keys: impl Iterator<Item = &'a [u8]>,
    algebra: Algebra,
) -> Result<Members, Fail> {
    let mut result: Option<Members> = None;
    for key in keys {
        call.keys.kind_counted(key);
        let mut members = Members::new();
        call.keys.set_each(key, &mut |member| {
            members.insert(member.to_vec());
        })?;
        result = Some(match (result, algebra) {
            (None, _) => members,
            (Some(mut known), Algebra::Inter) => {
                known.retain(|member| members.contains(member));
                known
            }
            (Some(mut known), Algebra::Union) => {
                known.append(&mut members);
                known
            }
            (Some(mut known), Algebra::Diff) => {
                known.retain(|member| !members.contains(member));
                known
            }
        });
    }
    Ok(result.unwrap_or_default())
}

fn answer(call: &mut Call<'_, '_, '_>, algebra: Algebra) -> Done {
    let members = combine(call, call.args.from(1), algebra)?;
    call.out.set(members.len());
    members.iter().for_each(|member| call.out.bulk(member));
    Ok(())
}

fn store(call: &mut Call<'_, '_, '_>, algebra: Algebra) -> Done {
    let key = call.key();
    let members = combine(call, call.args.from(2), algebra)?;
    let had = call.keys.remove(key);
    for member in &members {
        call.keys.set_add(key, member)?;
    }
    if !members.is_empty() {
        let event = match algebra {
            Algebra::Inter => "sinterstore",
            Algebra::Union => "sunionstore",
            Algebra::Diff => "sdiffstore",
        };
        call.keys.event(Class::Set, event, key);
    } else if had {
        call.keys.event(Class::Generic, "del", key);
    }
    call.out.count(members.len());
    Ok(())
}

/// The keys that are counted at word `at`, and the word behind them.
pub(super) fn counted(call: &Call<'_, '_, '_>, at: usize) -> Result<usize, Fail> {
    let count = call.args.integer(at).ok().filter(|count| *count > 0);
    let count = count.and_then(|count| usize::try_from(count).ok());
    let count = count.ok_or(Fail::say("ERR numkeys should be greater than 0"))?;
    if count > call.args.len() - (at + 1) {
        return Err(Fail::say(
            "ERR Number of keys can't be greater than number of args",
        ));
    }
    Ok(at + 1 + count)
}

/// `LIMIT n` behind the keys; 0 is none.
pub(super) fn card_limit(call: &Call<'_, '_, '_>, at: usize) -> Result<usize, Fail> {
    let mut limit = 0;
    let mut at = at;
    while at < call.args.len() {
        if !call.args.is(at, "limit") || at + 1 >= call.args.len() {
            return Err(Fail::Syntax);
        }
        let value = call.args.integer(at + 1).ok();
        let value = value.and_then(|value| usize::try_from(value).ok());
        limit = value.ok_or(Fail::say("ERR LIMIT can't be negative"))?;
        at += 2;
    }
    Ok(limit)
}

fn sintercard(call: &mut Call<'_, '_, '_>) -> Done {
    let end = counted(call, 1)?;
    let limit = card_limit(call, end)?;
    let keys = call.args.from(2).take(end - 2);
    let count = combine(call, keys, Algebra::Inter)?.len();
    call.out
        .count(if limit > 0 { count.min(limit) } else { count });
    Ok(())
}

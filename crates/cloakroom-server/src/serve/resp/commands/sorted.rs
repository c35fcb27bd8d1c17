//! Sorted sets: members with scores.

use crate::serve::resp::call::Call;
use crate::serve::resp::events::Class;
use crate::serve::resp::fail::Fail;
use crate::serve::resp::table::{
    Command, Done, FAST, GROWS, Group::SortedSet, ONE, READ, Run, WRITE,
};

#[rustfmt::skip]
pub(super) static ROWS: [Command; 11] = [
    Command::new("zadd", -4, WRITE | GROWS | FAST, ONE, SortedSet, "1.2.0", "Adds members, or changes their scores.", Run::Keys(zadd)),
    Command::new("zincrby", 4, WRITE | GROWS | FAST, ONE, SortedSet, "1.2.0", "Adds to a member's score.", Run::Keys(zincrby)),
    Command::new("zrem", -3, WRITE | FAST, ONE, SortedSet, "1.2.0", "Removes members.", Run::Keys(zrem)),
    Command::new("zscore", 3, READ | FAST, ONE, SortedSet, "1.2.0", "Returns a member's score.", Run::Keys(zscore)),
    Command::new("zmscore", -3, READ | FAST, ONE, SortedSet, "6.2.0", "Returns members' scores.", Run::Keys(zmscore)),
    Command::new("zcard", 2, READ | FAST, ONE, SortedSet, "1.2.0", "Counts the members.", Run::Keys(zcard)),
    Command::new("zrank", 3, READ | FAST, ONE, SortedSet, "2.0.0", "Says which one a member is, from the lowest.", Run::Keys(|call| zrank(call, false))),
    Command::new("zrevrank", 3, READ | FAST, ONE, SortedSet, "2.0.0", "Says which one a member is, from the highest.", Run::Keys(|call| zrank(call, true))),
    Command::new("zpopmin", -2, WRITE | FAST, ONE, SortedSet, "5.0.0", "Removes the lowest members and returns them.", Run::Keys(|call| zpop(call, false))),
    Command::new("zpopmax", -2, WRITE | FAST, ONE, SortedSet, "5.0.0", "Removes the highest members and returns them.", Run::Keys(|call| zpop(call, true))),
    Command::new("zrandmember", -2, READ, ONE, SortedSet, "6.2.0", "Returns members at random.", Run::Keys(zrandmember)),
];

/// What `ZADD` is told before the scores.
#[derive(Clone, Copy, Debug, Default)]
struct Rules {
    only_new: bool,
    only_known: bool,
    greater: bool,
    less: bool,
    changed: bool,
    increment: bool,
}

/// What became of a member.
struct Put {
    /// Its score now; nothing if a rule kept it from being set.
    score: Option<f64>,
    added: bool,
    changed: bool,
}

fn zadd(call: &mut Call<'_, '_, '_>) -> Done {
    let key = call.key();
    let (mut rules, mut first) = (Rules::default(), 2);
    loop {
        match () {
            () if call.args.is(first, "nx") => rules.only_new = true,
            () if call.args.is(first, "xx") => rules.only_known = true,
            () if call.args.is(first, "gt") => rules.greater = true,
            () if call.args.is(first, "lt") => rules.less = true,
            () if call.args.is(first, "ch") => rules.changed = true,
            () if call.args.is(first, "incr") => rules.increment = true,
            () => break,
        }
        first += 1;
    }
    let words = call.args.len() - first;
    if words == 0 || words % 2 == 1 {
        return Err(Fail::Syntax);
    }
    if rules.only_new && rules.only_known {
        return Err(Fail::say(
            "ERR XX and NX options at the same time are not compatible",
        ));
    }
    if rules.only_new && (rules.greater || rules.less) || rules.greater && rules.less {
        return Err(Fail::say(
            "ERR GT, LT, and/or NX options at the same time are not compatible",
        ));
    }
    if rules.increment && words > 2 {
        return Err(Fail::say(
            "ERR INCR option supports a single increment-element pair",
        ));
    }
    let mut scores = Vec::with_capacity(words / 2);
    for at in (first..call.args.len()).step_by(2) {
        scores.push(call.args.double(at)?);
    }
    call.keys.sorted_len(key)?;
    let (mut added, mut changed, mut last) = (0, 0, None);
    for (number, score) in scores.into_iter().enumerate() {
        let member = call.args.get(first + 2 * number + 1);
        let put = put(call, key, member, score, rules)?;
        added += i64::from(put.added);
        changed += i64::from(put.changed);
        last = put.score;
    }
    if added + changed > 0 {
        let event = if rules.increment { "zincr" } else { "zadd" };
        call.keys.event(Class::Sorted, event, key);
    }
    match (rules.increment, last) {
        (true, Some(score)) => call.out.double(score),
        (true, None) => call.out.nil(),
        (false, _) if rules.changed => call.out.integer(added + changed),
        (false, _) => call.out.integer(added),
    }
    Ok(())
}

fn put(
    call: &mut Call<'_, '_, '_>,
    key: &[u8],
    member: &[u8],
    score: f64,
    rules: Rules,
) -> Result<Put, Fail> {
    let old = call.keys.sorted_score(key, member)?;
    let nothing = |score| Put {
        score,
        added: false,
        changed: false,
    };
    let score = match old {
        Some(_) if rules.only_new => return Ok(nothing(None)),
        None if rules.only_known => return Ok(nothing(None)),
        Some(old) if rules.increment => old + score,
        _ => score,
    };
    if score.is_nan() {
        return Err(Fail::say("ERR resulting score is not a number (NaN)"));
    }
    if old.is_some_and(|old| rules.greater && score <= old || rules.less && score >= old) {
        return Ok(nothing(None));
    }
    let changed = old.is_some_and(|old| old != score);
    if old.is_none() || changed {
        call.keys.sorted_put(key, member, score)?;
    }
    Ok(Put {
        score: Some(score),
        added: old.is_none(),
        changed,
    })
}

fn zincrby(call: &mut Call<'_, '_, '_>) -> Done {
    let (key, member) = (call.key(), call.args.get(3));
    let by = call.args.double(2)?;
    let rules = Rules {
        increment: true,
        ..Rules::default()
    };
    let put = put(call, key, member, by, rules)?;
    if put.added || put.changed {
        call.keys.event(Class::Sorted, "zincr", key);
    }
    call.out.double(put.score.unwrap_or(by));
    Ok(())
}

fn zrem(call: &mut Call<'_, '_, '_>) -> Done {
    let key = call.key();
    let mut removed = 0;
    for member in call.args.from(2) {
        removed += i64::from(call.keys.sorted_remove(key, member)?);
    }
    if removed > 0 {
        call.keys.event(Class::Sorted, "zrem", key);
        super::sets::gone_if_empty(call, key);
    }
    call.out.integer(removed);
    Ok(())
}

fn zscore(call: &mut Call<'_, '_, '_>) -> Done {
    match call.keys.sorted_score(call.args.get(1), call.args.get(2))? {
        Some(score) => call.out.double(score),
        None => call.out.nil(),
    }
    Ok(())
}

fn zmscore(call: &mut Call<'_, '_, '_>) -> Done {
    let key = call.key();
    call.keys.sorted_len(key)?;
    call.out.array(call.args.len() - 2);
    for member in call.args.from(2) {
        match call.keys.sorted_score(key, member)? {
            Some(score) => call.out.double(score),
            None => call.out.nil(),
        }
    }
    Ok(())
}

fn zcard(call: &mut Call<'_, '_, '_>) -> Done {
    let count = call.keys.sorted_len(call.args.get(1))?;
    call.out.count(count);
    Ok(())
}

fn zrank(call: &mut Call<'_, '_, '_>, reverse: bool) -> Done {
    let key = call.key();
    match call.keys.sorted_rank(key, call.args.get(2))? {
        None => call.out.nil(),
        Some(rank) if reverse => {
            let last = call.keys.sorted_len(key)? - 1;
            call.out.count(last - rank);
        }
        Some(rank) => call.out.count(rank),
    }
    Ok(())
}

fn zpop(call: &mut Call<'_, '_, '_>, highest: bool) -> Done {
    let key = call.key();
    if call.args.len() > 3 {
        return Err(Fail::Syntax);
    }
    let counted = call.args.len() == 3;
    let wanted = if counted {
        super::sets::positive(call.args, 2)?
    } else {
        1
    };
    let count = call.keys.sorted_len(key)?;
    let taken = wanted.min(count);
    let ranks = if highest {
        count - taken..count
    } else {
        0..taken
    };
    // RESP3 pairs them, but not what was asked for alone.
    let pairs = call.out.resp3 && counted;
    call.out.array(if pairs { taken } else { 2 * taken });
    let out = &mut *call.out;
    call.keys
        .sorted_range(key, ranks.clone(), highest, &mut |member, score| {
            if pairs {
                out.array(2);
            }
            out.bulk(member);
            out.double(score);
        })?;
    if taken > 0 {
        call.keys.sorted_remove_range(key, ranks)?;
        let event = if highest { "zpopmax" } else { "zpopmin" };
        call.keys.event(Class::Sorted, event, key);
        super::sets::gone_if_empty(call, key);
    }
    Ok(())
}

fn zrandmember(call: &mut Call<'_, '_, '_>) -> Done {
    let key = call.key();
    if call.args.len() == 2 {
        let count = call.keys.sorted_len(key)?;
        let Some(at) = super::sets::any(count) else {
            call.out.nil();
            return Ok(());
        };
        let out = &mut *call.out;
        call.keys
            .sorted_range(key, at..at + 1, false, &mut |member, _| out.bulk(member))?;
        return Ok(());
    }
    call.args.integer(2)?;
    let scores = match call.args.len() {
        3 => false,
        4 if call.args.is(3, "withscores") => true,
        _ => return Err(Fail::Syntax),
    };
    let count = call.keys.sorted_len(key)?;
    let chosen = super::sets::choose(call.args, 2, count)?;
    let pairs = scores && call.out.resp3;
    let lines = if scores && !pairs { 2 } else { 1 };
    call.out.array(chosen.len() * lines);
    for at in chosen {
        let out = &mut *call.out;
        call.keys
            .sorted_range(key, at..at + 1, false, &mut |member, score| {
                if pairs {
                    out.array(2);
                }
                out.bulk(member);
                if scores {
                    out.double(score);
                }
            })?;
    }
    Ok(())
}

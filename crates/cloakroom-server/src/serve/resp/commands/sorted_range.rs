//! Sorted sets: ranges by rank, score and member, to be read, stored, counted or removed.

use std::ops::{Bound, Range};

use cloakroom_embedded::{LexRange, ScoreRange};

use crate::serve::resp::call::Call;
use crate::serve::resp::events::Class;
use crate::serve::resp::fail::Fail;
use crate::serve::resp::number;
use crate::serve::resp::table::{
    Command, Done, FAST, GROWS, Group::SortedSet, Keys, ONE, READ, Run, WRITE,
};

#[rustfmt::skip]
pub(super) static ROWS: [Command; 12] = [
    Command::new("zrange", -4, READ, ONE, SortedSet, "1.2.0", "Returns a range of members.", Run::Keys(|call| zrange(call, 1, None))),
    Command::new("zrevrange", -4, READ, ONE, SortedSet, "1.2.0", "Returns a range of members by rank, the highest first.", Run::Keys(|call| old(call, By::Rank, true))),
    Command::new("zrangebyscore", -4, READ, ONE, SortedSet, "1.0.5", "Returns the members between two scores.", Run::Keys(|call| old(call, By::Score, false))),
    Command::new("zrevrangebyscore", -4, READ, ONE, SortedSet, "2.2.0", "Returns the members between two scores, the highest first.", Run::Keys(|call| old(call, By::Score, true))),
    Command::new("zrangebylex", -4, READ, ONE, SortedSet, "2.8.9", "Returns the members between two.", Run::Keys(|call| old(call, By::Lex, false))),
    Command::new("zrevrangebylex", -4, READ, ONE, SortedSet, "2.8.9", "Returns the members between two, the last first.", Run::Keys(|call| old(call, By::Lex, true))),
    Command::new("zrangestore", -5, WRITE | GROWS, Keys::Range(1, 2, 1), SortedSet, "6.2.0", "Stores a range of members.", Run::Keys(zrangestore)),
    Command::new("zcount", 4, READ | FAST, ONE, SortedSet, "2.0.0", "Counts the members between two scores.", Run::Keys(|call| count(call, By::Score))),
    Command::new("zlexcount", 4, READ | FAST, ONE, SortedSet, "2.8.9", "Counts the members between two.", Run::Keys(|call| count(call, By::Lex))),
    Command::new("zremrangebyrank", 4, WRITE, ONE, SortedSet, "2.0.0", "Removes members by rank.", Run::Keys(|call| remove(call, By::Rank))),
    Command::new("zremrangebyscore", 4, WRITE, ONE, SortedSet, "1.2.0", "Removes the members between two scores.", Run::Keys(|call| remove(call, By::Score))),
    Command::new("zremrangebylex", 4, WRITE, ONE, SortedSet, "2.8.9", "Removes the members between two.", Run::Keys(|call| remove(call, By::Lex))),
];

/// What a range counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Lex,
}

/// A range that is asked for.
#[derive(Clone, Copy, Debug)]
struct Asked {
    by: By,
    reverse: bool,
    scores: bool,
    /// So many are passed over, and so many taken (all if negative).
    limit: Option<(i64, i64)>,
    /// At which word the range's first end is.
    ends: usize,
}

/// The ends of a range, read.
enum Ends<'a> {
    Ranks(i64, i64),
    Scores(ScoreRange),
    Lex(LexRange<'a>),
}

fn ends<'a>(call: &Call<'a, '_, '_>, asked: Asked) -> Result<Ends<'a>, Fail> {
    let (first, last) = (call.args.get(asked.ends), call.args.get(asked.ends + 1));
    let (min, max) = match asked.by {
        // Ranks are always said from the side that is counted from.
        By::Rank => (first, last),
        _ if asked.reverse => (last, first),
        _ => (first, last),
    };
    Ok(match asked.by {
        By::Rank => Ends::Ranks(
            number::integer(min).ok_or(Fail::NotInteger)?,
            number::integer(max).ok_or(Fail::NotInteger)?,
        ),
        By::Score => {
            let wrong = || Fail::say("ERR min or max is not a float");
            Ends::Scores(ScoreRange {
                min: score(min).ok_or_else(wrong)?,
                max: score(max).ok_or_else(wrong)?,
            })
        }
        By::Lex => {
            let wrong = || Fail::say("ERR min or max not valid string range item");
            Ends::Lex(LexRange {
                min: lex(min, b"-").ok_or_else(wrong)?,
                max: lex(max, b"+").ok_or_else(wrong)?,
            })
        }
    })
}

fn score(text: &[u8]) -> Option<Bound<f64>> {
    // As `strtod`: nothing is zero.
    let number = |text: &[u8]| match text {
        b"" => Some(0.0),
        text => number::double(text),
    };
    match text.strip_prefix(b"(") {
        Some(text) => number(text).map(Bound::Excluded),
        None => number(text).map(Bound::Included),
    }
}

/// An end of a range of members. `open` is how this end is said to be none; the other end's word for it
/// leaves nothing between, as nothing is below the lowest.
fn lex<'a>(text: &'a [u8], open: &[u8]) -> Option<Bound<&'a [u8]>> {
    const HIGHEST: &[u8] = &[0xff; 64];
    match text.split_first()? {
        (b'[', member) => Some(Bound::Included(member)),
        (b'(', member) => Some(Bound::Excluded(member)),
        (b'-' | b'+', []) if text == open => Some(Bound::Unbounded),
        (b'-', []) => Some(Bound::Excluded(b"")),
        (b'+', []) => Some(Bound::Excluded(HIGHEST)),
        _ => None,
    }
}

/// The ranks, counted from the lowest, that are asked for.
fn ranks(
    call: &mut Call<'_, '_, '_>,
    key: &[u8],
    asked: Asked,
    ends: &Ends<'_>,
) -> Result<Range<usize>, Fail> {
    let count = call.keys.sorted_len(key)?;
    let length = i64::try_from(count).unwrap_or(i64::MAX);
    let range = match ends {
        Ends::Ranks(first, last) => {
            let from_end = |at: i64| {
                if at < 0 {
                    at.saturating_add(length)
                } else {
                    at
                }
            };
            let first = from_end(*first).max(0);
            let last = from_end(*last).min(length - 1);
            if first > last {
                return Ok(0..0);
            }
            if asked.reverse {
                length - 1 - last..length - first
            } else {
                first..last + 1
            }
        }
        Ends::Scores(range) => signed(&call.keys.sorted_ranks_by_score(key, *range)?),
        Ends::Lex(range) => signed(&call.keys.sorted_ranks_by_lex(key, *range)?),
    };
    let mut range = range;
    if let Some((skipped, taken)) = asked.limit {
        if skipped < 0 {
            return Ok(0..0);
        }
        let size = range.end - range.start;
        let skipped = skipped.min(size.max(0));
        let taken = if taken < 0 {
            size - skipped
        } else {
            taken.min(size - skipped)
        };
        range = if asked.reverse {
            range.end - skipped - taken..range.end - skipped
        } else {
            range.start + skipped..range.start + skipped + taken
        };
    }
    let unsigned = |at: i64| usize::try_from(at).unwrap_or(0);
    Ok(unsigned(range.start)..unsigned(range.end))
}

fn signed(range: &Range<usize>) -> Range<i64> {
    let signed = |at: usize| i64::try_from(at).unwrap_or(i64::MAX);
    signed(range.start)..signed(range.end.max(range.start))
}

/// Reads the words behind the two ends. The old commands have their kind and direction in their names.
fn options(call: &Call<'_, '_, '_>, mut asked: Asked, fixed: bool) -> Result<Asked, Fail> {
    let mut at = asked.ends + 2;
    let stores = call.name == "zrangestore";
    while at < call.args.len() {
        let is = |word| call.args.is(at, word);
        if is("withscores") && !stores && asked.by != By::Lex {
            asked.scores = true;
        } else if is("limit") && at + 2 < call.args.len() {
            asked.limit = Some((call.args.integer(at + 1)?, call.args.integer(at + 2)?));
            at += 2;
        } else if !fixed && is("byscore") {
            asked.by = By::Score;
        } else if !fixed && is("bylex") {
            asked.by = By::Lex;
        } else if !fixed && is("rev") {
            asked.reverse = true;
        } else {
            return Err(Fail::Syntax);
        }
        at += 1;
    }
    if asked.limit.is_some() && asked.by == By::Rank {
        return Err(Fail::say(
            "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
        ));
    }
    if asked.scores && asked.by == By::Lex {
        return Err(Fail::say(
            "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
        ));
    }
    Ok(asked)
}

const PLAIN: Asked = Asked {
    by: By::Rank,
    reverse: false,
    scores: false,
    limit: None,
    ends: 2,
};

fn old(call: &mut Call<'_, '_, '_>, by: By, reverse: bool) -> Done {
    zrange(call, 1, Some((by, reverse)))
}

fn zrange(call: &mut Call<'_, '_, '_>, key: usize, fixed: Option<(By, bool)>) -> Done {
    let (by, reverse) = fixed.unwrap_or((By::Rank, false));
    let asked = Asked {
        by,
        reverse,
        ..PLAIN
    };
    let asked = options(call, asked, fixed.is_some())?;
    let ends = ends(call, asked)?;
    let key = call.args.get(key);
    let ranks = ranks(call, key, asked, &ends)?;
    let count = ranks.len();
    let pairs = asked.scores && call.out.resp3;
    let lines = if asked.scores && !pairs { 2 } else { 1 };
    call.out.array(count * lines);
    let out = &mut *call.out;
    call.keys
        .sorted_range(key, ranks, asked.reverse, &mut |member, score| {
            if pairs {
                out.array(2);
            }
            out.bulk(member);
            if asked.scores {
                out.double(score);
            }
        })?;
    Ok(())
}

fn zrangestore(call: &mut Call<'_, '_, '_>) -> Done {
    let (to, from) = (call.args.get(1), call.args.get(2));
    let asked = options(call, Asked { ends: 3, ..PLAIN }, false)?;
    let ends = ends(call, asked)?;
    call.keys.kind_counted(from);
    let ranks = ranks(call, from, asked, &ends)?;
    let mut members = Vec::with_capacity(ranks.len());
    call.keys
        .sorted_range(from, ranks, false, &mut |member, score| {
            members.push((member.to_vec(), score));
        })?;
    store(call, to, &members, "zrangestore")
}

/// Puts a sorted set in place of whatever a key held.
pub(super) fn store(
    call: &mut Call<'_, '_, '_>,
    key: &[u8],
    members: &[(Vec<u8>, f64)],
    event: &'static str,
) -> Done {
    let had = call.keys.remove(key);
    for (member, score) in members {
        call.keys.sorted_put(key, member, *score)?;
    }
    if !members.is_empty() {
        call.keys.event(Class::Sorted, event, key);
    } else if had {
        call.keys.event(Class::Generic, "del", key);
    }
    call.out.count(members.len());
    Ok(())
}

fn count(call: &mut Call<'_, '_, '_>, by: By) -> Done {
    let asked = Asked { by, ..PLAIN };
    let ends = ends(call, asked)?;
    let ranks = ranks(call, call.args.get(1), asked, &ends)?;
    call.out.count(ranks.len());
    Ok(())
}

fn remove(call: &mut Call<'_, '_, '_>, by: By) -> Done {
    let key = call.key();
    let asked = Asked { by, ..PLAIN };
    let ends = ends(call, asked)?;
    let ranks = ranks(call, key, asked, &ends)?;
    let removed = call.keys.sorted_remove_range(key, ranks)?;
    if removed > 0 {
        let event = match by {
            By::Rank => "zremrangebyrank",
            By::Score => "zremrangebyscore",
            By::Lex => "zremrangebylex",
        };
        call.keys.event(Class::Sorted, event, key);
        super::sets::gone_if_empty(call, key);
    }
    call.out.count(removed);
    Ok(())
}

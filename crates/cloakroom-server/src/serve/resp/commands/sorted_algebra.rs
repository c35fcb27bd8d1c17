//! Sorted sets against each other, and against plain sets, whose members count 1.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use cloakroom_embedded::Kind;

use super::set_algebra::{Algebra, card_limit};
use crate::serve::resp::call::Call;
use crate::serve::resp::fail::Fail;
use crate::serve::resp::number;
use crate::serve::resp::table::{Command, Done, GROWS, Group::SortedSet, Keys, READ, Run, WRITE};

const FROM: Keys = Keys::Counted(1, false);
const INTO: Keys = Keys::Counted(2, true);

#[rustfmt::skip]
pub(super) static ROWS: [Command; 7] = [
    Command::new("zunion", -3, READ, FROM, SortedSet, "6.2.0", "Returns what is in any sorted set.", Run::Keys(|call| answer(call, Algebra::Union))),
    Command::new("zinter", -3, READ, FROM, SortedSet, "6.2.0", "Returns what is in all sorted sets.", Run::Keys(|call| answer(call, Algebra::Inter))),
    Command::new("zdiff", -3, READ, FROM, SortedSet, "6.2.0", "Returns what is in the first sorted set alone.", Run::Keys(|call| answer(call, Algebra::Diff))),
    Command::new("zunionstore", -4, WRITE | GROWS, INTO, SortedSet, "2.0.0", "Stores what is in any sorted set.", Run::Keys(|call| store(call, Algebra::Union))),
    Command::new("zinterstore", -4, WRITE | GROWS, INTO, SortedSet, "2.0.0", "Stores what is in all sorted sets.", Run::Keys(|call| store(call, Algebra::Inter))),
    Command::new("zdiffstore", -4, WRITE | GROWS, INTO, SortedSet, "6.2.0", "Stores what is in the first sorted set alone.", Run::Keys(|call| store(call, Algebra::Diff))),
    Command::new("zintercard", -3, READ, FROM, SortedSet, "7.0.0", "Counts what is in all sorted sets.", Run::Keys(zintercard)),
];

/// How scores of one member become one.
#[derive(Clone, Copy, Debug)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn of(self, left: f64, right: f64) -> f64 {
        match self {
            // What is no number (inf and -inf) counts as nothing, as in Redis.
            Self::Sum => {
                let sum = left + right;
                if sum.is_nan() { 0.0 } else { sum }
            }
            // Of two that are equal, be it as 0 and -0, the first stays.
            Self::Min if right < left => right,
            Self::Max if right > left => right,
            Self::Min | Self::Max => left,
        }
    }
}

struct Plan {
    /// Words that are keys.
    first: usize,
    weights: Vec<f64>,
    aggregate: Aggregate,
    scores: bool,
}

fn plan(call: &mut Call<'_, '_, '_>, at: usize, algebra: Algebra) -> Result<Plan, Fail> {
    let count = counted(call, at)?;
    let end = at + 1 + count;
    let mut plan = Plan {
        first: at + 1,
        weights: vec![1.0; count],
        aggregate: Aggregate::Sum,
        scores: false,
    };
    are_sets(call, plan.first, end)?;
    let mut at = end;
    let stores = call.name.ends_with("store");
    while at < call.args.len() {
        if algebra != Algebra::Diff && call.args.is(at, "weights") && call.args.len() - at > count {
            for (number, weight) in plan.weights.iter_mut().enumerate() {
                let word = call.args.get(at + 1 + number);
                let wrong = Fail::say("ERR weight value is not a float");
                *weight = number::double(word).ok_or(wrong)?;
            }
            at += 1 + count;
        } else if algebra != Algebra::Diff
            && call.args.is(at, "aggregate")
            && at + 1 < call.args.len()
        {
            plan.aggregate = match () {
                () if call.args.is(at + 1, "sum") => Aggregate::Sum,
                () if call.args.is(at + 1, "min") => Aggregate::Min,
                () if call.args.is(at + 1, "max") => Aggregate::Max,
                () => return Err(Fail::Syntax),
            };
            at += 2;
        } else if !stores && call.args.is(at, "withscores") {
            plan.scores = true;
            at += 1;
        } else {
            return Err(Fail::Syntax);
        }
    }
    Ok(plan)
}

/// The number of keys, which is at word `at`.
fn counted(call: &Call<'_, '_, '_>, at: usize) -> Result<usize, Fail> {
    let count = number::integer(call.args.get(at)).ok_or(Fail::NotInteger)?;
    let count = usize::try_from(count).ok().filter(|count| *count > 0);
    let count = count.ok_or_else(|| {
        Fail::from(format!(
            "ERR at least 1 input key is needed for '{}' command",
            call.name
        ))
    })?;
    match count > call.args.len() - (at + 1) {
        true => Err(Fail::Syntax),
        false => Ok(count),
    }
}

/// Fails if one of the keys from word `first` on is neither a sorted set nor a set.
fn are_sets(call: &mut Call<'_, '_, '_>, first: usize, end: usize) -> Done {
    for at in first..end {
        match call.keys.kind_counted(call.args.get(at)) {
            None | Some(Kind::Set | Kind::SortedSet) => {}
            Some(_) => return Err(Fail::WrongType),
        }
    }
    Ok(())
}

type Scores = BTreeMap<Vec<u8>, f64>;

fn combine(
    call: &mut Call<'_, '_, '_>,
    plan: &Plan,
    algebra: Algebra,
) -> Result<Vec<(Vec<u8>, f64)>, Fail> {
    let mut sets = Vec::new();
    for (key, weight) in call.args.from(plan.first).zip(&plan.weights) {
        let mut scores = Scores::new();
        let mut put = |member: &[u8], score: f64| {
            let weighted = score * weight;
            let weighted = if weighted.is_nan() { 0.0 } else { weighted };
            scores.insert(member.to_vec(), weighted);
        };
        if call.keys.kind(key) == Some(Kind::Set) {
            call.keys.set_each(key, &mut |member| put(member, 1.0))?;
        } else {
            call.keys
                .sorted_range(key, 0..usize::MAX, false, &mut put)?;
        }
        sets.push(scores);
    }
    if algebra != Algebra::Diff {
        // The order in which Redis adds scores up, which shows in their last digit.
        sets.sort_by_key(Scores::len);
    }
    let mut result: Option<Scores> = None;
    for scores in sets {
        let of = |left, right| plan.aggregate.of(left, right);
        result = Some(match (result, algebra) {
            (None, _) => scores,
            (Some(known), Algebra::Inter) => known
                .into_iter()
                .filter_map(|(member, score)| {
                    let other = scores.get(&member)?;
                    let score = of(score, *other);
                    Some((member, score))
                })
                .collect(),
            (Some(mut known), Algebra::Union) => {
                for (member, score) in scores {
                    let kept = known.get(&member).map_or(score, |other| of(*other, score));
                    known.insert(member, kept);
                }
                known
            }
            (Some(mut known), Algebra::Diff) => {
                known.retain(|member, _| !scores.contains_key(member));
                known
            }
        });
    }
    Ok(in_order(result.unwrap_or_default()))
}

/// By score, then by member. A zero is a zero, with or without a sign; what is no number does not come here.
fn in_order(scores: Scores) -> Vec<(Vec<u8>, f64)> {
    let mut members: Vec<_> = scores.into_iter().collect();
    // It is stable, and the members are in order.
    members.sort_by(|left, right| left.1.partial_cmp(&right.1).unwrap_or(Ordering::Equal));
    members
}

fn answer(call: &mut Call<'_, '_, '_>, algebra: Algebra) -> Done {
    let plan = plan(call, 1, algebra)?;
    let members = combine(call, &plan, algebra)?;
    let pairs = plan.scores && call.out.resp3;
    let lines = if plan.scores && !pairs { 2 } else { 1 };
    call.out.array(members.len() * lines);
    for (member, score) in &members {
        if pairs {
            call.out.array(2);
        }
        call.out.bulk(member);
        if plan.scores {
            call.out.double(*score);
        }
    }
    Ok(())
}

fn store(call: &mut Call<'_, '_, '_>, algebra: Algebra) -> Done {
    let plan = plan(call, 2, algebra)?;
    let members = combine(call, &plan, algebra)?;
    let event = match algebra {
        Algebra::Inter => "zinterstore",
        Algebra::Union => "zunionstore",
        Algebra::Diff => "zdiffstore",
    };
    super::sorted_range::store(call, call.args.get(1), &members, event)
}

fn zintercard(call: &mut Call<'_, '_, '_>) -> Done {
    let end = 2 + counted(call, 1)?;
    are_sets(call, 2, end)?;
    let limit = card_limit(call, end)?;
    let plan = Plan {
        first: 2,
        weights: vec![1.0; end - 2],
        aggregate: Aggregate::Sum,
        scores: false,
    };
    let count = combine(call, &plan, Algebra::Inter)?.len();
    call.out
        .count(if limit > 0 { count.min(limit) } else { count });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_with_a_sign_is_no_less_than_one_without() {
        let scores = [("a", f64::INFINITY), ("b", 0.0), ("c", -0.0), ("d", -1.5)];
        let scores = scores.map(|(member, score)| (member.as_bytes().to_vec(), score));
        let members = in_order(Scores::from(scores));
        let members: Vec<_> = members.iter().map(|(member, _)| &**member).collect();
        assert_eq!(members, [b"d", b"b", b"c", b"a"]);
    }
}

//! A thread that applies what concerns its shards. It reads some effects before it applies them: what they are
//! about lies anywhere in memory, and a processor waits for ten misses of the cache as long as for one.

use std::iter;
use std::sync::mpsc::Receiver;

use super::{Place, SAMPLE, Shared, Work};
use crate::engine::Reach;
use crate::journal::{Effect, Effects, Refused};

/// Effects that are read ahead, as many as a processor has misses under way at most, and some.
const AHEAD: usize = 24;

/// An effect that is to be applied here, with the mark that was noted behind a string.
struct Ready<'a> {
    effect: Effect<'a>,
    mark: Option<&'a [u8]>,
    place: Place,
}

/// Applies what comes. After an error it goes on, so that nobody waits for it, and applies nothing.
pub(super) fn run(all: &Shared<'_>, lane: usize, work: &Receiver<Work>) {
    while let Ok(work) = work.recv() {
        let chunk = match work {
            Work::Records(chunk) => chunk,
            Work::MakeReady => {
                let shards = all.engine.0.shards.iter();
                let ours = shards.skip(lane).step_by(all.lanes);
                ours.for_each(|shard| shard.lock().make_ready(SAMPLE as usize));
                continue;
            }
        };
        let mut ready = Vec::with_capacity(2 * AHEAD);
        for record in records(&chunk) {
            if let Err(refused) = read(all, lane, record, &mut ready) {
                // The first one counts.
                let _ = all.refused.set(refused);
            }
            if ready.len() >= AHEAD {
                apply(all, lane, &mut ready);
            }
        }
        apply(all, lane, &mut ready);
    }
}

/// The records of a chunk, each with its length in front.
fn records(mut chunk: &[u8]) -> impl Iterator<Item = &[u8]> {
    iter::from_fn(move || {
        let (len, rest) = chunk.split_first_chunk::<8>()?;
        let record;
        (record, chunk) = rest.split_at(u64::from_le_bytes(*len) as usize);
        Some(record)
    })
}

/// Reads the effects of a record that concern this lane, up to one that is refused.
fn read<'a>(
    all: &Shared<'_>,
    lane: usize,
    record: &'a [u8],
    ready: &mut Vec<Ready<'a>>,
) -> Result<(), Refused> {
    let mut effects = Effects::of(record).peekable();
    while let Some(effect) = effects.next() {
        let mark = effects.next_if(|next| is_mark_of(next, &effect));
        let (effect, mark) = (effect?, mark.transpose()?);
        let place = all.place_of(&effect.concern());
        if place.shard.is_none_or(|shard| shard % all.lanes == lane) {
            let mark = match mark {
                Some(Effect::Mark { mark, .. }) => Some(mark),
                _ => None,
            };
            ready.push(Ready {
                effect,
                mark,
                place,
            });
        }
    }
    Ok(())
}

/// Whether an effect is the mark of the string that the one before it wrote.
fn is_mark_of(next: &Result<Effect<'_>, Refused>, before: &Result<Effect<'_>, Refused>) -> bool {
    match (next, before) {
        (
            Ok(Effect::Mark { db, key, .. }),
            Ok(Effect::String {
                db: there,
                key: its,
                ..
            }),
        ) => (db, key) == (there, its),
        _ => false,
    }
}

/// Applies all that is ready.
fn apply(all: &Shared<'_>, lane: usize, ready: &mut Vec<Ready<'_>>) {
    all.engine
        .come_next_by_number(ready.iter().filter_map(|it| {
            let (number, _) = it.effect.key()?;
            let mark = it.mark.unwrap_or_default();
            Some((number, it.place.hash, Reach::Value, mark))
        }));
    for Ready {
        effect,
        mark,
        place,
    } in ready.drain(..)
    {
        let replay = || match all.refused.get() {
            None => all.replay(&effect, place.hash, mark),
            Some(_) => Ok(()),
        };
        let applied = if place.shard.is_some() {
            replay()
        } else {
            all.together.wait();
            let done = if lane == 0 { replay() } else { Ok(()) };
            all.together.wait();
            done
        };
        if let Err(refused) = applied {
            let _ = all.refused.set(refused);
        }
    }
}

//! One step by WATCH and MULTI: watch what is read, decide, write, and begin again if somebody else
//! was faster.

use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::id::SlotTag;
use cloakroom_core::{Error, ErrorKind, UnixMillis};

use crate::epoch::{self, Epoch};
use crate::failure::Failure;
use crate::keys;
use crate::route::Route;
use crate::turns::Turns;
use crate::wire::{self, Command, Exclusive, Lane, Reply};

/// Tries before a transaction reports that others are always faster. Writers of this process take
/// turns, so only other processes can be.
const TRIES: u32 = 64;

/// Runs transactions.
#[derive(Debug)]
pub(super) struct Transactions {
    route: Arc<dyn Route>,
    turns: Turns,
}

/// What a transaction knows when it decides.
pub(super) struct Moment {
    pub(super) now: UnixMillis,
    pub(super) epoch: Option<Epoch>,
    replies: std::vec::IntoIter<Reply>,
}

impl Moment {
    pub(super) fn next(&mut self) -> Result<Reply, Failure> {
        let missing = || Failure::protocol("not as many replies as commands");
        self.replies.next().ok_or_else(missing)
    }
}

/// What to write, and what to answer once it is written.
pub(super) type Decision<T> = (Vec<Command>, T);

impl Transactions {
    pub(super) fn new(route: Arc<dyn Route>) -> Self {
        Self {
            route,
            turns: Turns::default(),
        }
    }

    /// Reads, decides and writes as one step on keys of a tag. `watched` begins with the key that writers of this
    /// process take turns on.
    pub(super) async fn run<T>(
        &self,
        tag: SlotTag,
        watched: &[String],
        reads: &[Command],
        lane: Lane,
        mut decide: impl FnMut(&mut Moment) -> Result<Decision<T>, Error> + Send,
    ) -> Result<T, Error> {
        let _turn = self.turns.wait(&watched[0]).await;
        let mut refused = None;
        for attempt in 0..TRIES {
            let mut connection = self.route.exclusive(tag, refused.take()).await?;
            let mut commands = vec![
                wire::command("WATCH", watched),
                wire::command::<&str>("TIME", []),
                epoch::read(tag),
            ];
            commands[0].arg(keys::epoch(tag));
            commands.extend(reads.iter().cloned());
            let replies = match connection.send(commands).await {
                Err(failure) if failure.was_refused() => {
                    refused = Some(failure);
                    continue;
                }
                replies => replies?,
            };
            let mut moment = moment(replies)?;
            let (writes, answer) = match decide(&mut moment) {
                Ok((writes, answer)) if !writes.is_empty() => (writes, answer),
                decided => {
                    connection
                        .send(vec![wire::command::<&str>("UNWATCH", [])])
                        .await?;
                    connection.release();
                    return decided.map(|(_, answer)| answer);
                }
            };
            let done = match commit(&mut *connection, writes, lane).await {
                Err(failure) if failure.was_refused() => {
                    refused = Some(failure);
                    continue;
                }
                done => done?,
            };
            connection.release();
            match done {
                Some(Reply::Nil) | None => {
                    tokio::time::sleep(Duration::from_micros(u64::from(attempt) * 200)).await;
                }
                Some(_) => return Ok(answer),
            }
        }
        Err(ErrorKind::Conflict.into())
    }
}

/// Writes, unless something that was watched has changed; gives what EXEC answered.
async fn commit(
    connection: &mut dyn Exclusive,
    writes: Vec<Command>,
    lane: Lane,
) -> Result<Option<Reply>, Failure> {
    let mut commands = vec![wire::command::<&str>("MULTI", [])];
    commands.extend(writes);
    commands.push(wire::command::<&str>("EXEC", []));
    let done = match lane {
        Lane::Main | Lane::Write | Lane::Bulk => connection.send(commands).await?,
        Lane::Safe | Lane::Final => connection.send_safe(lane, commands).await?,
    };
    Ok(done.into_iter().next_back())
}

fn moment(replies: Vec<Reply>) -> Result<Moment, Failure> {
    let mut replies = replies.into_iter();
    let mut next = || {
        let missing = || Failure::protocol("not as many replies as commands");
        replies.next().ok_or_else(missing)
    };
    next()?;
    let now = time(next()?)?;
    let epoch = epoch::decode(next()?)?;
    Ok(Moment {
        now,
        epoch,
        replies,
    })
}

/// The server's time from a reply to TIME.
pub(crate) fn time(reply: Reply) -> Result<UnixMillis, Failure> {
    let [seconds, micros] = wire::exactly(wire::array(reply)?)?;
    let millis = wire::integer(&seconds)?
        .saturating_mul(1000)
        .saturating_add(wire::integer(&micros)? / 1000);
    Ok(UnixMillis::new(u64::try_from(millis).unwrap_or_default()))
}

//! What a load asks a connection for besides its session, and what it makes of the answer.

use super::bundle::{Answered, Asked};
use super::known::Ask;
use super::open::{OpenShared, without_errors};
use super::{Command, Reply, Seen};
use crate::epoch::{self, Epoch};
use crate::failure::Failure;
use crate::steps::time;

impl OpenShared {
    /// What a load sends.
    pub(super) fn asked(&self, ask: &Ask, command: Command) -> Asked {
        if let (Some(_), false) = (ask.epoch, ask.time) {
            return Asked::One(command);
        }
        // The epoch after the session: a read that adopts a session may make it.
        let mut commands = vec![command];
        if ask.time {
            commands.push(super::command::<&str>("TIME", []));
        }
        if ask.epoch.is_none() {
            if self.known.is_tracking() {
                commands.push(super::command("CLIENT", ["CACHING", "YES"]));
            }
            commands.push(epoch::read(ask.tag));
        }
        Asked::Many(commands)
    }

    /// What it was answered; `None` if the epoch that was known is not the present one.
    pub(super) fn seen(&self, ask: &Ask, answered: Answered) -> Option<Result<Seen, Failure>> {
        let known = ask.epoch.filter(|_| self.known.is_still(ask));
        if ask.epoch.is_some() && known.is_none() {
            return None;
        }
        Some(match answered {
            Answered::One(reply) => self.judged(known, reply),
            Answered::Many(replies) => self.heard(ask, known, replies),
        })
    }

    fn heard(&self, ask: &Ask, known: Option<Epoch>, replies: Vec<Reply>) -> Result<Seen, Failure> {
        let mut replies = without_errors(replies)?.into_iter();
        let mut next = || {
            let missing = || Failure::protocol("not as many replies as commands");
            replies.next().ok_or_else(missing)
        };
        let reply = next()?;
        if ask.time {
            self.known.learn_time(ask, time(next()?)?);
        }
        let epoch = match known {
            Some(epoch) => Some(epoch),
            None => {
                if self.known.is_tracking() {
                    next()?;
                }
                let epoch = epoch::decode(next()?)?;
                self.known.learn(ask, epoch);
                epoch
            }
        };
        self.judged(epoch, reply)
    }

    fn judged(&self, epoch: Option<Epoch>, reply: Reply) -> Result<Seen, Failure> {
        if let Reply::ServerError(error) = &reply {
            return Err(Failure::of_server(error));
        }
        let now = self.known.now();
        let (now_at_least, now) =
            now.ok_or_else(|| Failure::protocol("the server told no time"))?;
        Ok(Seen {
            reply,
            epoch,
            now,
            now_at_least,
        })
    }
}

//! `ASKING` before each command: the way to a node that a slot is moving to. Before `MULTI` it holds
//! for the whole transaction.

use async_trait::async_trait;

use crate::failure::Failure;
use crate::wire::{self, Command, Exclusive, Lane, Reply};

/// Each command with `ASKING` before it.
pub(super) fn each(commands: Vec<Command>) -> Vec<Command> {
    let asking = || wire::command::<&str>("ASKING", []);
    let pairs = commands.into_iter().flat_map(|command| [asking(), command]);
    pairs.collect()
}

/// The replies to the commands of [`each`] themselves.
pub(super) fn replies(replies: Vec<Reply>) -> Vec<Reply> {
    replies.into_iter().skip(1).step_by(2).collect()
}

/// A connection for a transaction on keys that are moving here.
pub(super) struct Asking(pub(super) Box<dyn Exclusive>);

#[async_trait]
impl Exclusive for Asking {
    async fn send(&mut self, commands: Vec<Command>) -> Result<Vec<Reply>, Failure> {
        let (commands, own) = prefixed(commands);
        Ok(pick(self.0.send(commands).await?, &own))
    }

    async fn send_safe(
        &mut self,
        lane: Lane,
        commands: Vec<Command>,
    ) -> Result<Vec<Reply>, Failure> {
        let (commands, own) = prefixed(commands);
        Ok(pick(self.0.send_safe(lane, commands).await?, &own))
    }

    fn release(self: Box<Self>) {
        self.0.release();
    }
}

/// The commands with `ASKING` where it is needed, and which of them were there before.
fn prefixed(commands: Vec<Command>) -> (Vec<Command>, Vec<bool>) {
    let (mut all, mut own) = (Vec::new(), Vec::new());
    let mut inside = false;
    for command in commands {
        if !inside {
            all.push(wire::command::<&str>("ASKING", []));
            own.push(false);
        }
        inside |= wire::is_named(&command, "MULTI");
        all.push(command);
        own.push(true);
    }
    (all, own)
}

fn pick(replies: Vec<Reply>, own: &[bool]) -> Vec<Reply> {
    let replies = replies.into_iter().zip(own);
    let replies = replies.filter_map(|(reply, own)| own.then_some(reply));
    replies.collect()
}

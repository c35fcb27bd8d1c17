//! The commands of a pipeline, found before the first of them is run: so the memory that they will read is
//! asked for all at once, and is there when they do.

use cloakroom_embedded::{KeyHash, Reach};

use super::args::Args;
use super::conn::Conn;
use super::decode::{Broken, Decoder, Frame};
use super::limits;
use super::table::{self, Command, Group, Run, SUBCOMMANDS};

/// What comes next on a connection. It is a thread's, so that none has to be made.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    commands: Vec<(Frame, Meant)>,
    keys: Vec<(KeyHash, Reach)>,
}

/// What is known of a command before it is run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meant {
    /// The command of this name, with its number.
    pub(crate) command: Option<(usize, &'static Command)>,
    /// Its key, if it works on one.
    pub(crate) key: Option<KeyHash>,
}

impl Ahead {
    /// Finds the commands that are whole in `buffer`, as many as are worth it, and has what they will read
    /// fetched. What breaks the protocol comes behind them.
    pub(crate) fn look(
        &mut self,
        decoder: &mut Decoder,
        conn: &Conn,
        buffer: &[u8],
    ) -> Option<Broken> {
        self.commands.clear();
        self.keys.clear();
        // Signing in changes what may be sent.
        let stranger = conn.is_stranger();
        let most = if stranger { 1 } else { limits::AHEAD };
        let mut at = 0;
        let mut broken = None;
        while self.commands.len() < most {
            match decoder.next(&buffer[at..], stranger) {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    let (bytes, words) = decoder.words(&frame, &buffer[at..]);
                    let meant = self.understand(conn, Args::new(bytes, words));
                    at += frame.taken;
                    self.commands.push((frame, meant));
                }
                Err(error) => {
                    broken = Some(error);
                    break;
                }
            }
        }
        if self.keys.len() > 1 {
            conn.server.engine.come_next(conn.db, &self.keys);
        }
        broken
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Frame, Meant)> {
        self.commands.iter()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    fn understand(&mut self, conn: &Conn, args: Args<'_>) -> Meant {
        let Some((number, command)) = table::find(args.get(0)) else {
            return Meant::default();
        };
        let mut meant = Meant {
            command: Some((number, command)),
            key: None,
        };
        let simple = matches!(command.run, Run::Keys(_)) && !command.is(SUBCOMMANDS);
        if simple
            && command.takes(args.len())
            && let Ok(places) = command.key_places(args)
            && let Some(at) = places.only()
        {
            let hash = conn.server.engine.hash_of(args.get(at));
            let reach = match command.group {
                Group::Generic => Reach::Head,
                _ => Reach::Value,
            };
            meant.key = Some(hash);
            self.keys.push((hash, reach));
        }
        meant
    }
}

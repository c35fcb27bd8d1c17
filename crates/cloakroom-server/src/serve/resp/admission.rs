//! Whether what was sent is a command, and may be run now and by whoever sent it.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use super::args::Args;
use super::conn::Conn;
use super::fail::Fail;
use super::table::{self, Command, NO_AUTH, Run, SUBCOMMANDS, SUBSCRIBED, WRITE};

impl Conn {
    /// The command that is meant, if it may be run now.
    /// `named` is the one of this name.
    pub(super) fn look_up(
        &self,
        args: Args<'_>,
        named: Option<(usize, &'static Command)>,
    ) -> Result<(usize, &'static Command), Fail> {
        let Some((mut number, mut command)) = named else {
            return Err(unknown(args));
        };
        let is_family = matches!(command.run, Run::Family);
        if is_family && args.len() < 2 {
            return Err(Fail::Arity(command.name.into()));
        }
        if is_family || command.is(SUBCOMMANDS) && args.len() > 1 {
            (number, command) = table::find_in(command, args.get(1)).ok_or_else(|| {
                let sub = String::from_utf8_lossy(cut(args.get(1)));
                let family = command.name.to_uppercase();
                Fail::from(format!(
                    "ERR unknown subcommand '{sub}'. Try {family} HELP."
                ))
            })?;
        }
        if !command.takes(args.len()) {
            return Err(Fail::Arity(command.name.into()));
        }
        if !self.unlimited {
            self.allowed(command, args)?;
        }
        if self.read_only && command.is(WRITE) {
            return Err(Fail::say(
                "MISCONF Errors writing to the journal: the disk is full, has failed or does not \
                 answer, and the log says which. Reads go on.",
            ));
        }
        let listening = !self.channels.is_empty() || !self.patterns.is_empty();
        if listening && !command.is(SUBSCRIBED) && !self.me.resp3.load(Ordering::Relaxed) {
            return Err(Fail::from(format!(
                "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / \
                 RESET are allowed in this context",
                command.name
            )));
        }
        Ok((number, command))
    }

    fn allowed(&self, command: &Command, args: Args<'_>) -> Result<(), Fail> {
        let Some(user) = &self.user else {
            return match command.is(NO_AUTH) {
                true => Ok(()),
                false => Err(Fail::say("NOAUTH Authentication required.")),
            };
        };
        if command.is(NO_AUTH) {
            return Ok(());
        }
        if !user.may_run(command) {
            return Err(Fail::from(format!(
                "NOPERM this user has no permissions to run the '{}' command",
                command.name
            )));
        }
        if let Some((from, to, is_form)) = channels_of(command)
            && let Some(named) = args.len().checked_sub(from)
            && !args
                .from(from)
                .take(to.min(named))
                .all(|channel| user.may_channel(channel, is_form))
        {
            return Err(Fail::say(
                "NOPERM this user has no permissions to access one of the channels used as \
                 arguments",
            ));
        }
        if user.may_all_keys() {
            return Ok(());
        }
        for place in command.key_places(args)?.iter() {
            if !user.may_key(args.get(place)) {
                return Err(Fail::say(
                    "NOPERM this user has no permissions to access one of the keys used as \
                     arguments",
                ));
            }
        }
        Ok(())
    }
}

/// Where a command's channels begin, how many there are at most, and whether they are forms of channels.
/// To listen no longer is allowed to everybody.
fn channels_of(command: &Command) -> Option<(usize, usize, bool)> {
    match command.name {
        "publish" => Some((1, 1, false)),
        "subscribe" => Some((1, usize::MAX, false)),
        "psubscribe" => Some((1, usize::MAX, true)),
        _ => None,
    }
}

/// Whether these are words of HTTP: a page in somebody's browser sends a request whose body are commands, to a port
/// where nobody has to sign in. The line with `Host:` comes before the body, so none of it is run.
pub(super) fn is_http(args: Args<'_>) -> bool {
    let host = args.get(0).get(..b"host:".len());
    args.is(0, "post") || host.is_some_and(|host| host.eq_ignore_ascii_case(b"host:"))
}

/// The error for a command that there is not.
pub(super) fn unknown(args: Args<'_>) -> Fail {
    let name = String::from_utf8_lossy(cut(args.get(0))).into_owned();
    let mut shown = String::new();
    for word in args.from(1) {
        if shown.len() >= SHOWN_BYTES {
            break;
        }
        let word = &word[..word.len().min(SHOWN_BYTES - shown.len())];
        let _ = write!(shown, "'{}' ", String::from_utf8_lossy(word));
    }
    Fail::from(format!(
        "ERR unknown command '{name}', with args beginning with: {shown}"
    ))
}

/// Bytes of what was sent that an error repeats. As Redis.
const SHOWN_BYTES: usize = 128;

fn cut(word: &[u8]) -> &[u8] {
    &word[..word.len().min(SHOWN_BYTES)]
}

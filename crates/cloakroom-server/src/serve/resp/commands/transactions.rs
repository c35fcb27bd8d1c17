//! The rows of transactions; what they do is in `transaction`, beside what they keep.

use crate::serve::resp::conn::Conn;
use crate::serve::resp::table::{
    ALL, AT_ONCE, Command, FAST, Group::Transactions, LOADING, NO_SCRIPT, NONE, Run, STALE,
};

const FLAGS: u16 = NO_SCRIPT | LOADING | STALE | FAST;

#[rustfmt::skip]
pub(super) static ROWS: [Command; 5] = [
    Command::new("multi", 1, FLAGS | AT_ONCE, NONE, Transactions, "1.2.0", "Begins a transaction.", Run::Conn(Conn::multi)),
    Command::new("exec", 1, (FLAGS | AT_ONCE) & !FAST, NONE, Transactions, "1.2.0", "Runs what was queued, as one step.", Run::Conn(Conn::exec)),
    Command::new("discard", 1, FLAGS | AT_ONCE, NONE, Transactions, "2.0.0", "Forgets what was queued.", Run::Conn(Conn::discard)),
    Command::new("watch", -2, FLAGS | AT_ONCE, ALL, Transactions, "2.2.0", "Runs the next transaction only if these keys do not change.", Run::Conn(Conn::watch)),
    Command::new("unwatch", 1, FLAGS, NONE, Transactions, "2.2.0", "Forgets which keys are watched.", Run::Conn(Conn::unwatch)),
];

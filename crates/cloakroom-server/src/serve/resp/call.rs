//! A command that works on keys, on its way: its words, the keys behind the gate, and where it answers.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use super::args::Args;
use super::gate::Gate;
use super::reply::Out;
use super::server::Server;

/// What a command on keys is handed.
pub(crate) struct Call<'a, 'g, 'e> {
    pub(crate) args: Args<'a>,
    pub(crate) keys: Gate<'g, 'e>,
    pub(crate) out: &'a mut Out,
    pub(crate) server: &'a Arc<Server>,
    /// The command as it is told in errors about it.
    pub(crate) name: &'static str,
    /// What is left of the time that scripts may take, of this command or its transaction.
    #[cfg_attr(
        not(feature = "lua"),
        expect(dead_code, reason = "without an interpreter no script runs")
    )]
    pub(crate) script_time: &'a Cell<Duration>,
}

impl<'a> Call<'a, '_, '_> {
    /// The word right behind the name, which is the key in most commands.
    pub(crate) fn key(&self) -> &'a [u8] {
        self.args.get(1)
    }
}

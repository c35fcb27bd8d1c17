//! A command that works on keys, on its way: its words, the keys behind the gate, and where it answers.

use std::sync::Arc;

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
}

impl<'a> Call<'a, '_, '_> {
    /// The word right behind the name, which is the key in most commands.
    pub(crate) fn key(&self) -> &'a [u8] {
        self.args.get(1)
    }
}

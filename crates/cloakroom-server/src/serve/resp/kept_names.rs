//! Sessions whose ids are hashed: clients name them by their ids, and everything behind this place (locks,
//! transactions, watches, events, the slow log) knows only the names under which they are kept.

use super::args::{Args, Owned};
use super::conn::Conn;
use super::table::{Command, Keys};

/// Commands that take a name as a list shows it: they tell nothing of what is in a session. Every
/// other takes it for an id, and finds nothing; else a stolen list would be a list of ids.
const BY_LISTED_NAMES: [&str; 10] = [
    "del",
    "unlink",
    "type",
    "ttl",
    "pttl",
    "memory|usage",
    "object|encoding",
    "object|freq",
    "object|idletime",
    "object|refcount",
];

impl Conn {
    /// Whether ids are hashed in any session's name.
    pub(crate) fn hashes_ids(&self) -> bool {
        let foreign = self.server.hub.foreign.get();
        foreign.is_some_and(|foreign| foreign.layouts().any_hashed())
    }

    /// The same words with keys by the names under which they are kept; nothing if all are kept by
    /// the names they have.
    pub(super) fn by_kept_names(&self, command: &Command, args: Args<'_>) -> Option<Owned> {
        if command.keys == Keys::None || !self.hashes_ids() {
            return None;
        }
        let layouts = self.server.hub.foreign.get()?.layouts();
        let listed = BY_LISTED_NAMES.contains(&command.name);
        let mut places: Vec<usize> = command.key_places(args).ok()?.iter().collect();
        places.sort_unstable();
        let mut others = Vec::new();
        for at in places {
            let key = args.get(at);
            if listed && layouts.is_hashed(key) {
                continue;
            }
            if let Some(name) = layouts.kept_as(key) {
                others.push((at, name));
            }
        }
        (!others.is_empty()).then(|| args.with(&others))
    }
}

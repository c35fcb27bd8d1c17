//! What sessions do on an ordinary day, and what it costs.

use std::time::Duration;

use crate::expect::{CLEAR, Case, NEW, NO_STORE, STRANGER, VARY};
use crate::script::Step::{Get, Increment, Login, Logout, Rotate, Set, Status, Who};

/// Requests that meet nobody else.
pub(crate) const ORDINARY: &[Case] = &[
    Case {
        name: "a stranger costs nothing",
        ..STRANGER
    },
    Case {
        name: "a visitor whose session is not used costs nothing",
        ..Case::DEFAULT
    },
    Case {
        name: "a stranger's read costs no trip",
        steps: &[Get("n"), Who],
        vary: VARY,
        body: "n=- nobody",
        ..STRANGER
    },
    Case {
        name: "a read is one trip",
        steps: &[Get("n"), Get("m"), Who],
        vary: VARY,
        calls: "load 1",
        body: "n=1 m=- nobody",
        ..Case::DEFAULT
    },
    Case {
        name: "a write is one trip, of however many fields, and sets no cookie",
        steps: &[Set("n", 2), Set("m", 3)],
        vary: VARY,
        calls: "apply 1",
        then_old: Some("n=2"),
        ..Case::DEFAULT
    },
    Case {
        name: "read and write are two trips",
        steps: &[Get("n"), Set("n", 2)],
        vary: VARY,
        calls: "apply 1, load 1",
        body: "n=1 ",
        then_old: Some("n=2"),
        ..Case::DEFAULT
    },
    Case {
        name: "an increment is one trip",
        steps: &[Increment("n")],
        vary: VARY,
        calls: "apply 1",
        then_old: Some("n=2"),
        ..Case::DEFAULT
    },
    Case {
        name: "the first write creates the session",
        steps: &[Set("n", 7)],
        told: NEW,
        vary: VARY,
        cache: NO_STORE,
        calls: "create 1",
        then_new: Some("n=7"),
        ..STRANGER
    },
    Case {
        name: "a login rotates and the old id is dead",
        steps: &[Login("ada"), Who],
        told: NEW,
        vary: VARY,
        cache: NO_STORE,
        calls: "rotate 1",
        body: "ada",
        then_old: Some("n=-"),
        then_new: Some("n=1"),
        ..Case::DEFAULT
    },
    Case {
        name: "a stranger's login creates",
        steps: &[Login("ada")],
        told: NEW,
        vary: VARY,
        cache: NO_STORE,
        calls: "create 1",
        ..STRANGER
    },
    Case {
        name: "a logout clears",
        steps: &[Logout],
        told: CLEAR,
        vary: VARY,
        cache: NO_STORE,
        calls: "destroy 1",
        then_old: Some("n=-"),
        ..Case::DEFAULT
    },
    Case {
        name: "a rotation leaves the old id valid for requests on their way",
        steps: &[Rotate],
        told: NEW,
        vary: VARY,
        cache: NO_STORE,
        calls: "rotate 1",
        then_old: Some("n=1"),
        then_new: Some("n=1"),
        ..Case::DEFAULT
    },
    Case {
        name: "an unknown id is cleared",
        cookies: &["__Host-id={unknown}"],
        steps: &[Get("n")],
        told: CLEAR,
        vary: VARY,
        cache: NO_STORE,
        calls: "load 1",
        refusals: &["session_unknown_id"],
        body: "n=- ",
        ..Case::DEFAULT
    },
    Case {
        name: "an unknown id is never adopted",
        cookies: &["__Host-id={unknown}"],
        steps: &[Set("n", 7)],
        told: NEW,
        vary: VARY,
        cache: NO_STORE,
        calls: "apply 1, create 1",
        refusals: &["session_unknown_id"],
        then_new: Some("n=7"),
        ..Case::DEFAULT
    },
    Case {
        name: "an expired session is cleared",
        elapsed: Duration::from_secs(31 * 60),
        steps: &[Get("n")],
        told: CLEAR,
        vary: VARY,
        cache: NO_STORE,
        calls: "load 1",
        refusals: &["session_unknown_id"],
        body: "n=- ",
        ..Case::DEFAULT
    },
    Case {
        name: "whatever the status is, what was set is saved",
        steps: &[Set("n", 2), Status(404)],
        status: 404,
        vary: VARY,
        calls: "apply 1",
        then_old: Some("n=2"),
        ..Case::DEFAULT
    },
];

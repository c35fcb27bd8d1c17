//! Late responses: none revives a session, none replaces or clears a newer id.

use crate::expect::{CLEAR, Case, NO_STORE, VARY};
use crate::script::Elsewhere;
use crate::script::Step::{Elsewhere as Meanwhile, Get, Logout, Rotate, Set};

/// Another request of the same visitor is answered while this one is on its way.
pub(crate) const LATE: &[Case] = &[
    Case {
        name: "two tabs that change different fields both keep their change",
        steps: &[Get("m"), Meanwhile(Elsewhere::Set("n", 5)), Set("m", 1)],
        vary: VARY,
        calls: "apply 1, load 1",
        body: "m=- ",
        then_old: Some("n=5"),
        ..Case::DEFAULT
    },
    Case {
        name: "a write after a logout revives nothing and tells nothing",
        steps: &[Get("n"), Meanwhile(Elsewhere::Logout), Set("n", 2)],
        vary: VARY,
        calls: "apply 1, load 1",
        refusals: &["session_use_after_end", "session_late_write_dropped"],
        body: "n=1 ",
        then_old: Some("n=-"),
        ..Case::DEFAULT
    },
    Case {
        name: "a read after a logout tells nothing",
        steps: &[Meanwhile(Elsewhere::Logout), Get("n")],
        vary: VARY,
        calls: "load 1",
        refusals: &["session_use_after_end"],
        body: "n=- ",
        ..Case::DEFAULT
    },
    Case {
        name: "a write after a login does not replace the newer id",
        steps: &[Get("n"), Meanwhile(Elsewhere::Login("ada")), Set("n", 2)],
        vary: VARY,
        calls: "apply 1, load 1",
        refusals: &["session_use_after_end", "session_late_write_dropped"],
        body: "n=1 ",
        then_old: Some("n=-"),
        ..Case::DEFAULT
    },
    Case {
        name: "a read after a login does not clear the newer id",
        steps: &[Meanwhile(Elsewhere::Login("ada")), Get("n")],
        vary: VARY,
        calls: "load 1",
        refusals: &["session_use_after_end"],
        body: "n=- ",
        ..Case::DEFAULT
    },
    Case {
        name: "a write after a rotation arrives, and does not replace the newer id",
        steps: &[Get("n"), Meanwhile(Elsewhere::Rotate), Set("n", 2)],
        vary: VARY,
        calls: "apply 1, load 1",
        body: "n=1 ",
        then_old: Some("n=2"),
        ..Case::DEFAULT
    },
    Case {
        name: "a rotation after a rotation makes no second id",
        steps: &[Meanwhile(Elsewhere::Rotate), Rotate],
        vary: VARY,
        calls: "rotate 1",
        then_old: Some("n=1"),
        ..Case::DEFAULT
    },
    Case {
        name: "a logout after a rotation ends the session",
        steps: &[Meanwhile(Elsewhere::Rotate), Logout],
        told: CLEAR,
        vary: VARY,
        cache: NO_STORE,
        calls: "destroy 1",
        then_old: Some("n=-"),
        ..Case::DEFAULT
    },
];

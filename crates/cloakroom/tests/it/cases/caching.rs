//! Caches: nobody gets what was made for somebody else, least of all their id.

use crate::expect::{Case, NEW, NO_STORE, STRANGER, VARY};
use crate::script::Step::{Get, Header, Set};

const WRITES: Case = Case {
    told: NEW,
    vary: VARY,
    cache: NO_STORE,
    calls: "create 1",
    ..STRANGER
};

/// What caches are told, on top of the application's own words.
pub(crate) const CACHING: &[Case] = &[
    Case {
        name: "a cache's permission is withdrawn",
        steps: &[Set("n", 2), Header("cache-control", "public, max-age=600")],
        ..WRITES
    },
    Case {
        name: "a word that is not strict enough is replaced",
        steps: &[Set("n", 2), Header("cache-control", "private, max-age=0")],
        ..WRITES
    },
    Case {
        name: "a stricter word is kept",
        steps: &[Set("n", 2), Header("cache-control", "private, No-Store")],
        cache: &["private, No-Store"],
        ..WRITES
    },
    Case {
        name: "without a cookie the application's word is kept",
        steps: &[Get("n"), Header("cache-control", "private")],
        vary: VARY,
        cache: &["private"],
        body: "n=- ",
        ..STRANGER
    },
    Case {
        name: "Vary is extended",
        steps: &[Get("n"), Header("vary", "accept-encoding")],
        vary: &["accept-encoding", "cookie"],
        body: "n=- ",
        ..STRANGER
    },
    Case {
        name: "Vary is not repeated",
        steps: &[Get("n"), Header("vary", "Accept, Cookie")],
        vary: &["Accept, Cookie"],
        body: "n=- ",
        ..STRANGER
    },
    Case {
        name: "Vary on everything is enough",
        steps: &[Get("n"), Header("vary", "*")],
        vary: &["*"],
        body: "n=- ",
        ..STRANGER
    },
];

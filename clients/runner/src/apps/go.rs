//! Applications in Go.

use super::{App, LAST_ONLY, Late, NO_LIMIT, NO_LIST, NO_USERS, UNDONE, Variant};

const BUILD: &[&[&str]] = &[&["go", "build", "-o", "app", "."]];
const SOURCES: &[&str] = &["go.mod", "go.sum", "main.go", "sessions.go"];

pub(super) const APPS: &[App] = &[
    App {
        folder: "scs",
        title: "Go, scs",
        manifests: SOURCES,
        build: BUILD,
        start: &["./app"],
        cookie: "session",
        locks: false,
        late: Late::InTheHandler,
        layouts: "",
        variants: &[
            Variant {
                name: "redigo",
                title: "scs 2.9, its store on redigo 1.9",
                keys: "scs:session:*",
            },
            Variant {
                name: "go-redis",
                title: "scs 2.9, its store on go-redis 9",
                keys: "scs:session:*",
            },
        ],
        // scs keeps the absolute limit itself: it is in the value.
        differs: &[LAST_ONLY, UNDONE, NO_USERS],
    },
    App {
        folder: "gorilla",
        title: "Go, gorilla/sessions",
        manifests: SOURCES,
        build: BUILD,
        start: &["./app"],
        cookie: "session",
        locks: false,
        late: Late::InTheHandler,
        layouts: "",
        variants: &[Variant {
            name: "redistore",
            title: "gorilla/sessions 1.4, boj/redistore 1.4",
            keys: "session_*",
        }],
        differs: &[LAST_ONLY, UNDONE, NO_USERS, NO_LIMIT, NO_LIST],
    },
];

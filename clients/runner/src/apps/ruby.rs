//! Applications in Ruby. Debian has the libraries.

use super::{App, LAST_ONLY, Late, NO_LIMIT, NO_LIST, NO_USERS, PACKAGES, UNDONE, Variant};

pub(super) const APPS: &[App] = &[App {
    folder: "rack",
    title: "Rack",
    manifests: &["packages"],
    build: PACKAGES,
    start: &[
        "puma",
        "--quiet",
        "--threads=8:16",
        "--bind=tcp://127.0.0.1:{port}",
        "config.ru",
    ],
    cookie: "rack.session",
    locks: false,
    late: Late::InTheHandler,
    layouts: "",
    variants: &[Variant {
        name: "redis-rack",
        title: "redis-rack 2.1, redis-rb 4.8",
        keys: "rack:session:2::*",
    }],
    differs: &[LAST_ONLY, UNDONE, NO_USERS, NO_LIMIT, NO_LIST],
}];

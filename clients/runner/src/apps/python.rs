//! Applications in Python.

use super::{App, LAST_ONLY, Late, NO_LIMIT, NO_LIST, NO_USERS, UNDONE, Variant, on_both};
use crate::apps::Difference;
use crate::checks::{Check, Verdict};
use crate::server::Kind;

const INSTALL: &[&[&str]] = &[
    &["python3", "-m", "venv", "venv"],
    &[
        "venv/bin/pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-r",
        "requirements.txt",
    ],
];

pub(super) const APPS: &[App] = &[
    App {
        folder: "flask",
        title: "Flask",
        manifests: &["requirements.txt"],
        build: INSTALL,
        start: &[
            "venv/bin/gunicorn",
            "--bind=127.0.0.1:{port}",
            "--workers=2",
            "--threads=8",
            "--no-control-socket",
            "app:app",
        ],
        cookie: "session",
        locks: false,
        late: Late::InTheHandler,
        layouts: "",
        variants: &[Variant {
            name: "flask-session",
            title: "Flask-Session 0.8, redis-py 8",
            keys: "session:*",
        }],
        differs: &[LAST_ONLY, UNDONE, NO_USERS, NO_LIMIT, NO_LIST],
    },
    App {
        folder: "django",
        title: "Django",
        manifests: &["requirements.txt"],
        build: INSTALL,
        start: &["venv/bin/gunicorn", "app:wsgi"],
        cookie: "sessionid",
        locks: false,
        late: Late::OnTheWire("SET"),
        layouts: "",
        variants: &[
            Variant {
                name: "core cache",
                title: "Django 5.2, engine `cache` on its own RedisCache",
                keys: ":1:django.contrib.sessions.cache*",
            },
            Variant {
                name: "core cached_db",
                title: "Django 5.2, engine `cached_db` on its own RedisCache",
                keys: ":1:django.contrib.sessions.cached_db*",
            },
            Variant {
                name: "django_redis cache",
                title: "Django 5.2, engine `cache` on django-redis 7",
                keys: ":1:django.contrib.sessions.cache*",
            },
            Variant {
                name: "django_redis cached_db",
                title: "Django 5.2, engine `cached_db` on django-redis 7",
                keys: ":1:django.contrib.sessions.cached_db*",
            },
        ],
        differs: &[
            LAST_ONLY,
            UNDONE,
            NO_USERS,
            NO_LIMIT,
            in_the_database(Check::Absolute, Verdict::NoLimit),
            in_the_database(Check::Revoke, Verdict::Undone),
            Difference {
                check: Check::Idle,
                server: None,
                variants: &["cached_db"],
                verdict: Verdict::ByWrites,
                why: "Django's default: a session slides only when it is written \
                      (`SESSION_SAVE_EVERY_REQUEST`, which the variants with `cache` set, is off)",
            },
            Difference {
                check: Check::Many,
                server: None,
                variants: &["core", "cache"],
                verdict: Verdict::NoList,
                why: "Django's own RedisCache clears sessions, but does not list them",
            },
        ],
    },
    App {
        folder: "starlette",
        title: "Starlette",
        manifests: &["requirements.txt"],
        build: INSTALL,
        start: &[
            "venv/bin/uvicorn",
            "--host=127.0.0.1",
            "--port={port}",
            "--log-level=warning",
            "app:app",
        ],
        cookie: "session",
        locks: false,
        late: Late::InTheHandler,
        layouts: "",
        variants: &[Variant {
            name: "starsessions",
            title: "starsessions 2.2, redis-py 5",
            keys: "starsessions.*",
        }],
        differs: &[
            on_both(
                Check::Forged,
                Verdict::Taken,
                "starsessions takes any value of its cookie for an id; so the application makes a new one at the sign-in",
            ),
            LAST_ONLY,
            UNDONE,
            NO_USERS,
            NO_LIMIT,
            NO_LIST,
        ],
    },
];

/// What `cached_db` does not leave to the server.
const fn in_the_database(check: Check, verdict: Verdict) -> Difference {
    Difference {
        check,
        server: Some(Kind::Cloakroom),
        variants: &["cached_db"],
        verdict,
        why: "`cached_db` has the session in the database as well, and goes on with that one",
    }
}

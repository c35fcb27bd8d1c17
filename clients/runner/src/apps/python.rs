//! Applications in Python.

use super::{App, LAST_ONLY, Late, NO_LIMIT, NO_LIST, UNDONE, Variant};
use crate::apps::Difference;
use crate::checks::{Check, Verdict};

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
            "app:app",
        ],
        cookie: "session",
        locks: false,
        late: Late::InTheHandler,
        variants: &[Variant {
            name: "flask-session",
            title: "Flask-Session 0.8, redis-py 8",
            keys: "session:*",
        }],
        differs: &[LAST_ONLY, UNDONE, NO_LIMIT, NO_LIST],
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
            NO_LIMIT,
            Difference {
                check: Check::Many,
                server: None,
                variants: "core",
                verdict: Verdict::NoCall,
                why: "Django's own RedisCache does not list keys",
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
        variants: &[Variant {
            name: "starsessions",
            title: "starsessions 2.2, redis-py 8",
            keys: "starsessions.*",
        }],
        differs: &[LAST_ONLY, UNDONE, NO_LIMIT, NO_LIST],
    },
];

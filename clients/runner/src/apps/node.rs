//! Applications on Node.

use super::{App, LAST_ONLY, Late, NO_LIMIT, NO_USERS, UNDONE, Variant};

const INSTALL: &[&[&str]] = &[&[
    "npm",
    "install",
    "--no-package-lock",
    "--no-audit",
    "--no-fund",
    "--loglevel=error",
]];

pub(super) const APPS: &[App] = &[
    App {
        folder: "express",
        title: "Express",
        manifests: &["package.json"],
        build: INSTALL,
        start: &["node", "app.js"],
        cookie: "connect.sid",
        locks: false,
        late: Late::InTheHandler,
        layouts: "",
        variants: &[
            Variant {
                name: "node-redis",
                title: "express-session 1.19, connect-redis 9, node-redis 6",
                keys: "sess:*",
            },
            Variant {
                name: "node-redis-4",
                title: "express-session 1.19, connect-redis 8, node-redis 4",
                keys: "sess:*",
            },
            Variant {
                name: "ioredis",
                title: "express-session 1.19, connect-redis 8, ioredis 6",
                keys: "sess:*",
            },
        ],
        differs: &[LAST_ONLY, UNDONE, NO_USERS, NO_LIMIT],
    },
    App {
        folder: "fastify",
        title: "Fastify",
        manifests: &["package.json"],
        build: INSTALL,
        start: &["node", "app.js"],
        cookie: "sessionId",
        locks: false,
        late: Late::InTheHandler,
        layouts: "",
        variants: &[Variant {
            name: "node-redis",
            title: "@fastify/session 11, connect-redis 9, node-redis 6",
            keys: "sess:*",
        }],
        differs: &[LAST_ONLY, UNDONE, NO_USERS, NO_LIMIT],
    },
];

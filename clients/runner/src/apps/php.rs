//! Applications in PHP. Debian has the frameworks, so nothing is asked of packagist.

use super::{App, LAST_ONLY, Late, NO_LIMIT, NO_LIST, NO_USERS, PACKAGES, UNDONE, Variant};

/// PHP's own server with as many processes as requests may wait at once. It does not take them along when it ends.
const START: &[&str] = &[
    "bash",
    "-c",
    "set -m; PHP_CLI_SERVER_WORKERS=12 php -q -S 127.0.0.1:{port} index.php & trap 'kill -- -$!' TERM; wait",
];

/// PHP goes on with an id that it has ended, unless it is told not to. This application tells it, so the server may
/// be told as well.
const STRICT: &str = "php tombstones=always";

const PHP: App = App {
    folder: "php",
    title: "PHP",
    manifests: &["packages"],
    build: PACKAGES,
    start: START,
    cookie: "PHPSESSID",
    locks: false,
    late: Late::InTheHandler,
    layouts: STRICT,
    variants: &[Variant {
        name: "plain",
        title: "session handler of phpredis 5.3, without locks",
        keys: "PHPREDIS_SESSION:*",
    }],
    differs: &[LAST_ONLY, UNDONE, NO_USERS, NO_LIMIT, NO_LIST],
};

pub(super) const APPS: &[App] = &[
    PHP,
    App {
        locks: true,
        variants: &[Variant {
            name: "locking",
            title: "session handler of phpredis 5.3, with its locks",
            keys: "PHPREDIS_SESSION:*",
        }],
        differs: &[NO_USERS, NO_LIMIT, NO_LIST],
        ..PHP
    },
    App {
        folder: "symfony",
        title: "Symfony",
        layouts: "",
        variants: &[Variant {
            name: "phpredis",
            title: "Symfony 5.4, phpredis 5.3",
            keys: "sf_s*",
        }],
        ..PHP
    },
    App {
        folder: "laravel",
        title: "Laravel",
        cookie: "laravel_session",
        layouts: "",
        variants: &[
            Variant {
                name: "phpredis",
                title: "Laravel 8, phpredis 5.3",
                keys: "laravel_database_laravel_cache:*",
            },
            Variant {
                name: "predis",
                title: "Laravel 8, Predis 1.1",
                keys: "laravel_database_laravel_cache:*",
            },
        ],
        ..PHP
    },
];

//! Applications in Java. Repositories and clients differ in how a save can be late, so each pair has a row.

use super::{App, Difference, Late, NO_LIMIT, NO_LIST, NO_USERS, Variant, on_both, on_redis};
use crate::checks::{Check, Verdict};

/// What was fetched once is not asked for again. Then the classes are laid out as the JVM maps them: several
/// applications start at once on a small machine, and this halves it.
const BUILD: &[&[&str]] = &[
    &["sh", "-c", "mvn -q -B -o package || mvn -q -B package"],
    &[
        "sh",
        "-c",
        "java -Djarmode=tools -jar target/app.jar extract --destination target/app",
    ],
    &[
        "sh",
        "-c",
        "PORT=0 VARIANT=plain-lettuce REDIS_URL=redis://127.0.0.1:1/0 IDLE_SECONDS=1 \
         java -XX:ArchiveClassesAtExit=target/app/app.jsa -XX:+UseSerialGC -Dspring.context.exit=onRefresh \
         -jar target/app/app.jar",
    ],
];
const SOURCES: &[&str] = &[
    "pom.xml",
    "src/main/java/clients/App.java",
    "src/main/java/clients/ReactiveRoutes.java",
    "src/main/java/clients/Routes.java",
    "src/main/resources/application.properties",
];
const START: &[&str] = &[
    "java",
    "-XX:SharedArchiveFile=target/app/app.jsa",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Xmx192m",
    "-jar",
    "target/app/app.jar",
];

/// The command that saves what a request has changed. Jedis has a connection for each request; Lettuce has one
/// for all, where nothing can be late alone.
const SAVE: &str = "HMSET";

/// One hash for each session.
const PLAIN: &str = "spring:session:sessions:*";
/// The key that expires; the hash is kept five minutes longer, for the event.
const INDEXED: &str = "spring:session:sessions:expires:*";

const BY_USER: Difference = on_both(
    Check::Many,
    Verdict::ByUser,
    "the indexed repository lists and ends the sessions of one user, and no others",
);

const SPRING: App = App {
    folder: "spring",
    title: "Spring Boot",
    manifests: SOURCES,
    build: BUILD,
    start: START,
    cookie: "SESSION",
    locks: false,
    late: Late::InTheHandler,
    layouts: "",
    variants: &[],
    differs: &[NO_USERS, NO_LIMIT, NO_LIST],
};

pub(super) const APPS: &[App] = &[
    App {
        late: Late::Refused,
        variants: &[Variant {
            name: "plain-lettuce",
            title: "Spring Session 4.0, Lettuce 6.8",
            keys: PLAIN,
        }],
        ..SPRING
    },
    App {
        late: Late::OnTheWire(SAVE),
        variants: &[Variant {
            name: "plain-jedis",
            title: "Spring Session 4.0, Jedis 7",
            keys: PLAIN,
        }],
        differs: &[
            on_redis(
                Check::Logout,
                Verdict::Broken,
                "the late save makes a hash of what it changed: Spring fails at every request with that cookie",
            ),
            NO_USERS,
            NO_LIMIT,
            NO_LIST,
        ],
        ..SPRING
    },
    App {
        variants: &[Variant {
            name: "indexed-lettuce",
            title: "Spring Session 4.0 indexed, Lettuce 6.8",
            keys: INDEXED,
        }],
        differs: &[NO_USERS, NO_LIMIT, BY_USER],
        ..SPRING
    },
    // The hash of an ended session stays, marked as ended, so a late save revives nothing.
    App {
        late: Late::OnTheWire(SAVE),
        variants: &[Variant {
            name: "indexed-jedis",
            title: "Spring Session 4.0 indexed, Jedis 7",
            keys: INDEXED,
        }],
        differs: &[NO_USERS, NO_LIMIT, BY_USER],
        ..SPRING
    },
];

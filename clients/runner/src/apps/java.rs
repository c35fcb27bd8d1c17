//! Applications in Java. The clients differ in how a save can be late, so each has a row.

use super::{App, Late, NO_LIMIT, NO_LIST, UNDONE, Variant};

/// What was fetched once is not asked for again; and only then is a registry needed.
const BUILD: &[&[&str]] = &[&["sh", "-c", "mvn -q -B -o package || mvn -q -B package"]];
const SOURCES: &[&str] = &[
    "pom.xml",
    "src/main/java/clients/App.java",
    "src/main/java/clients/Routes.java",
    "src/main/resources/application.properties",
];
/// A small machine starts several at once.
const START: &[&str] = &[
    "java",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Xmx192m",
    "-jar",
    "target/app.jar",
];

/// One hash for each session.
const PLAIN: &str = "spring:session:sessions:*";
/// The key that expires; the hash is kept five minutes longer, for the event.
const INDEXED: &str = "spring:session:sessions:expires:*";

pub(super) const APPS: &[App] = &[
    App {
        folder: "spring",
        title: "Spring Boot",
        manifests: SOURCES,
        build: BUILD,
        start: START,
        cookie: "SESSION",
        locks: false,
        late: Late::Refused,
        variants: &[
            Variant {
                name: "plain-lettuce",
                title: "Spring Session 4.0, Lettuce 6.8",
                keys: PLAIN,
            },
            Variant {
                name: "indexed-lettuce",
                title: "Spring Session 4.0 indexed, Lettuce 6.8",
                keys: INDEXED,
            },
        ],
        differs: &[NO_LIMIT, NO_LIST],
    },
    App {
        folder: "spring",
        title: "Spring Boot",
        manifests: SOURCES,
        build: BUILD,
        start: START,
        cookie: "SESSION",
        locks: false,
        late: Late::OnTheWire("HMSET"),
        variants: &[
            Variant {
                name: "plain-jedis",
                title: "Spring Session 4.0, Jedis 7",
                keys: PLAIN,
            },
            Variant {
                name: "indexed-jedis",
                title: "Spring Session 4.0 indexed, Jedis 7",
                keys: INDEXED,
            },
        ],
        differs: &[UNDONE, NO_LIMIT, NO_LIST],
    },
];

//! Sessions shared with programs that know them as `session:<id>` and work on them by hand: what those
//! programs see, and what comes of what they do. Their part is played by `redis-cli`.

use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::id::{KeyForm, SlotTag};
use cloakroom_core::observe::Concern;
use cloakroom_core::record::{Changes, Condition, Rotation};
use cloakroom_core::session::{BoxFuture, Cookie, Spawn};
use cloakroom_core::store::{Absence, Applied, Loaded, Lookup, Rotated};
use cloakroom_core::{
    Codec, ErrorKind, Lifetimes, OsEntropy, PresentedId, SessionId, Sessions, Store, StoredKey,
};
use cloakroom_redis::{Class, RedisStore};

use crate::concerns::{self, Told};
use crate::failures::failure;
use crate::kit::{self, Ids};
use crate::server::Server;

/// A server, a store on it with plain ids, and the other program.
pub(crate) struct Shop {
    pub(crate) server: Server,
    pub(crate) store: Arc<RedisStore>,
}

/// An id, and what both sides call it.
pub(crate) struct Known {
    pub(crate) key: StoredKey,
    pub(crate) name: String,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        let server = Server::start(&[]);
        let store = RedisStore::open(&server.url(0, "&ids=plain")).await;
        let store = Arc::new(store.expect("it opens"));
        Self { server, store }
    }

    /// The other program does something.
    pub(crate) fn cli(&self, command: &str) -> String {
        let words: Vec<&str> = command.split(' ').collect();
        self.server.cli(&words)
    }

    pub(crate) fn ttl(&self, name: &str) -> i64 {
        self.cli(&format!("TTL {name}")).parse().expect("a number")
    }

    /// A session that was begun here.
    pub(crate) async fn begin(&self, lifetimes: Lifetimes) -> Known {
        let known = known();
        let mut new = Ids::new().new_session(None);
        new.lifetimes = lifetimes;
        let created = self.store.create(&known.key, &new).await;
        created.expect("created");
        known
    }

    pub(crate) async fn found(&self, key: &StoredKey) -> Loaded {
        match self.store.load(key).await.expect("it answers") {
            Lookup::Found(loaded) => loaded,
            Lookup::Absent(absence) => panic!("the session is {absence:?}"),
        }
    }

    pub(crate) async fn absence(&self, key: &StoredKey) -> Absence {
        match self.store.load(key).await.expect("it answers") {
            Lookup::Absent(absence) => absence,
            Lookup::Found(_) => panic!("there is a session"),
        }
    }

    pub(crate) async fn text(&self, key: &StoredKey, field: &str) -> Option<String> {
        let loaded = self.found(key).await;
        let value = loaded.record.fields.get(field)?;
        Some(String::from_utf8_lossy(value.bytes).into_owned())
    }

    pub(crate) async fn set(&self, key: &StoredKey, field: &str, text: &str) -> Applied {
        let changes = kit::sets(field, text);
        let applied = self.store.apply(key, &changes, &Condition::Always).await;
        applied.expect("it answers")
    }
}

pub(crate) fn known() -> Known {
    let tag = SlotTag::random(&OsEntropy).expect("there is entropy");
    let id = SessionId::generate(tag, &OsEntropy).expect("there is entropy");
    Known {
        key: id.key_as(KeyForm::Plain),
        name: format!("session:{}", id.expose_secret()),
    }
}

pub(crate) fn long() -> Lifetimes {
    kit::lifetimes(1800, 28_800)
}

#[derive(Debug)]
struct Tasks;

impl Spawn for Tasks {
    fn spawn(&self, rest: BoxFuture<()>) {
        drop(tokio::spawn(rest));
    }
}

/// What an application sets lies under the id that the browser has, as text.
#[test]
fn others_find_a_session_by_its_id() {
    kit::run(async {
        let shop = Shop::open().await;
        let store: Arc<dyn Store> = shop.store.clone();
        let sessions = Sessions::new(store, Arc::new(OsEntropy), Arc::new(Tasks));
        let session = sessions.open(None);
        session.set("name", "Alice Smith").expect("it fits");
        session.set("cart", &["coat", "hat"]).expect("it fits");
        session.set("visits", &41).expect("it fits");
        session.set("code", "42").expect("it fits");
        session.login("alice").await.expect("a login");
        let Cookie::Set { id, .. } = session.finish().await.cookie else {
            panic!("a login sets a cookie");
        };
        let name = format!("session:{}", id.expose_secret());
        let field = |field: &str| shop.server.cli(&["HGET", &name, field]);
        assert_eq!(field("name"), "Alice Smith");
        assert_eq!(field("cart"), r#"["coat","hat"]"#);
        assert_eq!(field("visits"), "41");
        assert_eq!(
            field("code"),
            r#""42""#,
            "a string that looks like a number"
        );
        assert_eq!(field("_cloakroom.subject"), "alice");
        assert!((1740..=1800).contains(&shop.ttl(&name)));
        let all = shop.server.cli(&["--no-raw", "HGETALL", &name]);
        assert!(!all.contains("\\x"), "all of it is text: {all}");

        assert_eq!(shop.cli(&format!("HINCRBY {name} visits 1")), "42");
        shop.cli(&format!("HSET {name} name Bob"));
        let presented = PresentedId::parse(id.expose_secret().as_bytes()).expect("an own id");
        let session = sessions.open(Some(&presented));
        assert_eq!(session.get("visits").await.expect("a number"), Some(42));
        let name_now: Option<String> = session.get("name").await.expect("text");
        assert_eq!(name_now.as_deref(), Some("Bob"));
        session.logout().await.expect("a logout");
        assert_eq!(shop.cli(&format!("EXISTS {name}")), "0");
    });
}

/// A field that somebody else writes is a write: it is seen, it counts as a version, and it is not
/// lost to ours.
#[test]
fn a_write_by_hand_is_a_write() {
    kit::run(async {
        let shop = Shop::open().await;
        let Known { key, name } = shop.begin(long()).await;
        shop.set(&key, "ours", "1").await;
        let before = shop.found(&key).await.record.version;
        shop.cli(&format!("HSET {name} theirs hello count 5"));
        shop.cli(&format!("HDEL {name} nothing"));
        let condition = Condition::Version(before);
        let changes = kit::sets("ours", "2");
        let applied = shop.store.apply(&key, &changes, &condition).await;
        let conflict = Applied::Conflict {
            version: before + 1,
        };
        assert_eq!(applied.expect("it answers"), conflict);
        let mut changes = kit::sets("ours", "2");
        changes.increment("count", 2).expect("a name");
        let applied = shop.store.apply(&key, &changes, &Condition::Always).await;
        let done = Applied::Done {
            version: before + 2,
            increments: vec![7],
        };
        assert_eq!(applied.expect("it answers"), done);
        assert_eq!(shop.cli(&format!("HGET {name} theirs")), "hello");
        assert_eq!(shop.cli(&format!("HGET {name} count")), "7");
        assert_eq!(
            shop.text(&key, "theirs").await.as_deref(),
            Some("\"hello\"")
        );
        assert_eq!(
            shop.found(&key).await.record.version,
            before + 2,
            "reading is no write"
        );
    });
}

/// A rotation takes along what was written after the session was last seen here.
#[test]
fn a_rotation_loses_no_write_by_hand() {
    kit::run(async {
        let shop = Shop::open().await;
        let Known { key, name } = shop.begin(long()).await;
        shop.found(&key).await;
        shop.cli(&format!("HSET {name} theirs hello"));
        let new = known();
        let new_key = StoredKey::from_plain_parts(key.tag(), *new.key.hash());
        let rotation = Rotation {
            grace: Duration::from_secs(30),
            ..Rotation::default()
        };
        let rotated = shop.store.rotate(&key, &new_key, &rotation).await;
        assert!(matches!(rotated.expect("it answers"), Rotated::Done(_)));
        assert_eq!(
            shop.text(&new_key, "theirs").await.as_deref(),
            Some("\"hello\"")
        );
        assert_eq!(shop.cli(&format!("EXISTS {name}")), "0");
        assert!(
            shop.found(&key).await.forwarded,
            "the old id leads to the new one"
        );
    });
}

#[test]
fn a_delete_by_hand_is_a_logout() {
    kit::run(async {
        let shop = Shop::open().await;
        let Known { key, name } = shop.begin(long()).await;
        shop.found(&key).await;
        shop.cli(&format!("DEL {name}"));
        let absent = Applied::Absent(Absence::Unknown);
        assert_eq!(shop.set(&key, "late", "1").await, absent);
        assert_eq!(shop.store.touch(&[key]).await.expect("it answers"), 0);
        assert_eq!(shop.absence(&key).await, Absence::Unknown);
        assert_eq!(
            shop.cli(&format!("EXISTS {name}")),
            "0",
            "nothing brought it back"
        );
    });
}

/// A program that was late writes to a session that has ended: it stays ended.
#[test]
fn a_late_write_by_hand_brings_nothing_back() {
    kit::run(async {
        let shop = Shop::open().await;
        let Known { key, name } = shop.begin(long()).await;
        assert!(shop.store.destroy(&key).await.expect("it answers"));
        assert_eq!(shop.cli(&format!("EXISTS {name}")), "0");
        shop.cli(&format!("HSET {name} cart coat"));
        shop.cli(&format!("EXPIRE {name} 1800"));
        assert_eq!(shop.absence(&key).await, Absence::Ended);
        assert_eq!(
            shop.set(&key, "late", "1").await,
            Applied::Absent(Absence::Ended)
        );
        let created = shop.store.create(&key, &Ids::new().new_session(None)).await;
        assert_eq!(
            created.expect_err("it is taken").kind(),
            &ErrorKind::Collision
        );
    });
}

/// EXPIRE says how long a session lives, up to its idle limit and never beyond its absolute one.
#[test]
fn an_expire_by_hand_shortens_and_never_lengthens() {
    kit::run(async {
        let shop = Shop::open().await;
        let Known { key, name } = shop.begin(long()).await;
        shop.cli(&format!("EXPIRE {name} 100"));
        let remaining = shop.found(&key).await.remaining.as_secs();
        assert!((90..=100).contains(&remaining), "{remaining} s are left");
        assert!(
            (90..=100).contains(&shop.ttl(&name)),
            "a read changes nothing"
        );
        shop.cli(&format!("EXPIRE {name} 100000"));
        shop.found(&key).await;
        assert!(
            (1790..=1800).contains(&shop.ttl(&name)),
            "no longer than the idle limit"
        );
        shop.cli(&format!("PERSIST {name}"));
        shop.found(&key).await;
        assert!((1790..=1800).contains(&shop.ttl(&name)), "not for ever");
        shop.cli(&format!("EXPIRE {name} 100"));
        shop.set(&key, "active", "1").await;
        assert!(
            (1790..=1800).contains(&shop.ttl(&name)),
            "activity counts anew"
        );

        let fixed = Lifetimes::fixed(Duration::from_secs(300)).expect("it is allowed");
        let Known { key, name } = shop.begin(fixed).await;
        shop.cli(&format!("EXPIRE {name} 100000"));
        shop.found(&key).await;
        assert!((290..=300).contains(&shop.ttl(&name)), "the absolute limit");
        shop.cli(&format!("EXPIRE {name} 100"));
        shop.set(&key, "active", "1").await;
        assert!(
            (90..=100).contains(&shop.ttl(&name)),
            "activity changes nothing"
        );
        shop.cli(&format!("PEXPIRE {name} 1"));
        while shop.cli(&format!("EXISTS {name}")) == "1" {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(shop.absence(&key).await, Absence::Unknown);
    });
}

/// Programs that know of no epoch see a mass revocation too.
#[test]
fn a_mass_revocation_deletes() {
    kit::run(async {
        let shop = Shop::open().await;
        let ours = shop.begin(long()).await;
        let theirs = known();
        shop.cli(&format!("HSET {} user carol", theirs.name));
        shop.cli(&format!("EXPIRE {} 600", theirs.name));
        shop.cli("SET session:other text");
        for _ in 0..1200 {
            shop.begin(long()).await;
        }
        shop.store.revoke_all().await.expect("it answers");
        assert_eq!(shop.absence(&ours.key).await, Absence::Unknown);
        assert_eq!(shop.absence(&theirs.key).await, Absence::Unknown);
        let left = shop.server.cli(&["--scan", "--pattern", "session:*"]);
        assert_eq!(left, "session:other");
        let new = shop.begin(long()).await;
        shop.store.load(&new.key).await.expect("it answers");
        assert_eq!(shop.cli(&format!("EXISTS {}", new.name)), "1");
    });
}

#[test]
fn names_of_ours_are_refused() {
    kit::run(async {
        let shop = Shop::open().await;
        let Known { key, .. } = shop.begin(long()).await;
        for name in ["_cloakroom", "_cloakroom.subject", "_cloakroomy"] {
            let changes = kit::sets(name, "1");
            let applied = shop.store.apply(&key, &changes, &Condition::Always).await;
            let error = applied.expect_err(name);
            assert!(
                matches!(error.kind(), ErrorKind::Invalid { .. }),
                "{error:?}"
            );
            let rotation = Rotation {
                changes,
                ..Rotation::default()
            };
            let rotated = shop.store.rotate(&key, &known().key, &rotation).await;
            let error = rotated.expect_err(name);
            assert!(
                matches!(error.kind(), ErrorKind::Invalid { .. }),
                "{error:?}"
            );
        }
    });
}

/// Who opens such a store is told what it means; and it needs scripts.
#[test]
fn plain_ids_are_a_concern() {
    let settings = ["--maxmemory", "100mb", "--maxmemory-policy", "volatile-ttl"];
    let server = Server::start(&settings);
    kit::run(async {
        let told: Arc<Told> = Arc::default();
        let store = concerns::open(&server.url(0, "&ids=plain&layout=fields"), &told).await;
        assert_eq!(told.concerns(), [Concern::PlainIds]);
        assert_eq!(store.key_form(), KeyForm::Plain);
        for way in ["", "&layout=fields", "&ids=hashed"] {
            let told: Arc<Told> = Arc::default();
            let store = concerns::open(&server.url(0, way), &told).await;
            assert_eq!(told.concerns(), [], "{way}");
            assert_eq!(store.key_form(), KeyForm::Hashed, "{way}");
        }
    });
    let mut settings = vec!["--user", "app", "on", ">secret", "~*", "+@all"];
    settings.push("-@scripting");
    let server = Server::start(&settings);
    kit::run(async {
        let url = format!("redis://app:secret@127.0.0.1:{}?ids=plain", server.port);
        let error = RedisStore::open(&url).await.expect_err("it needs scripts");
        assert_eq!(failure(&error).class(), Class::Permission, "{error:?}");
        assert!(failure(&error).to_string().contains("EVALSHA"), "{error:?}");
    });
}

/// A server that forgot the scripts is told them again, by a read too.
#[test]
fn a_read_teaches_the_server() {
    kit::run(async {
        let shop = Shop::open().await;
        let Known { key, .. } = shop.begin(long()).await;
        for _ in 0..3 {
            shop.cli("SCRIPT FLUSH");
            shop.found(&key).await;
        }
    });
}

/// Numbers that somebody else wrote as text count, and text that is none does not.
#[test]
fn counters_are_shared() {
    kit::run(async {
        let shop = Shop::open().await;
        let Known { key, name } = shop.begin(long()).await;
        shop.cli(&format!("HSET {name} n 9 word nine"));
        let mut changes = Changes::new();
        changes.increment("n", 1).expect("a name");
        let applied = shop.store.apply(&key, &changes, &Condition::Always).await;
        let applied = applied.expect("it counts");
        assert!(matches!(applied, Applied::Done { increments, .. } if increments == [10]));
        let mut changes = Changes::new();
        changes.increment("word", 1).expect("a name");
        let error = shop.store.apply(&key, &changes, &Condition::Always).await;
        let error = error.expect_err("a word is no number");
        let field = "word".to_owned();
        assert_eq!(error.kind(), &ErrorKind::NotAnInteger { field });
        let value = shop.found(&key).await.record;
        let word = value.fields.get("word").expect("it is there");
        assert_eq!((word.codec, word.bytes), (Codec::Json, &b"\"nine\""[..]));
    });
}

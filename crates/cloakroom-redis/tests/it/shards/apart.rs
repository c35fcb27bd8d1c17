//! What a move between shards has to do in its order, each shown by what happens in between; and shards that
//! are not alike.

use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::Store;
use cloakroom_core::id::SlotTag;
use cloakroom_core::store::{Lookup, Rotated};
use cloakroom_core::{OsEntropy, SessionId, StoredKey};
use cloakroom_redis::{Class, RedisStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::{Nodes, sign_in};
use crate::failures::failure;
use crate::kit::{self, Ids, run};
use crate::server::Server;

/// Who still comes with the id from before a rotation is led on, also where both have to be carried over: the new
/// one is there before anybody is led to it.
#[test]
fn who_is_led_on_finds_what_is_there() {
    let nodes = Nodes::start(3);
    run(async {
        for (database, way) in ["", "&layout=fields"].into_iter().enumerate() {
            let before = nodes.open(2, database, way).await;
            let ids = Ids::new();
            let mut old = Vec::new();
            for _ in 0..20 {
                let key = ids.key(None);
                let created = before.create(&key, &ids.new_session(None)).await;
                created.expect("created");
                let new = SessionId::generate(key.tag(), &OsEntropy);
                let new = new.expect("there is entropy").key();
                let plan = kit::rotation(Duration::from_secs(30));
                let rotated = before.rotate(&key, &new, &plan).await.expect("no error");
                assert!(matches!(rotated, Rotated::Done(_)), "{way}: {rotated:?}");
                old.push(key);
            }
            let after = nodes.open_moving(database, way, -1).await;
            for key in &old {
                let lookup = after.load(key).await.expect("no error");
                assert!(matches!(lookup, Lookup::Found(_)), "{way}: {lookup:?}");
            }
        }
    });
}

/// Just before sessions move by its own clock, a process finds one that another has begun at the new owner,
/// where it never was at the old one.
#[test]
fn a_session_that_is_ahead_is_found() {
    let nodes = Nodes::start(3);
    run(async {
        let early = nodes.open_moving(0, "", -1).await;
        let ids = Ids::new();
        for _ in 0..20 {
            let late = nodes.open_moving(0, "", 30).await;
            let key = ids.key(None);
            let created = early.create(&key, &ids.new_session(None)).await;
            created.expect("created");
            let lookup = late.load(&key).await.expect("no error");
            assert!(matches!(lookup, Lookup::Found(_)), "{lookup:?}");
        }
    });
}

/// Two sessions of a subject are carried over at the same time. The index lives as long as the longer one of
/// them, whoever looked at it first.
#[test]
fn an_index_is_not_shortened_by_who_saw_it_earlier() {
    let nodes = Nodes::start(3);
    run(async {
        let gate = Gate::before(&nodes.0[2]).await;
        let list = nodes.list(2);
        let new = format!("{list}|n2=127.0.0.1:{}", gate.port);
        let before = nodes.open(2, 0, "").await;
        let ids = Ids::new();
        for number in 0.. {
            let user = kit::subject(&format!("user{number}"));
            let [key] = sign_in(&before, &ids, &user, 1).await[..] else {
                panic!("there is one");
            };
            let moving = nodes.moving(2, -1, 3600);
            let url = format!("redis+shards://{new}?timeout=30000{moving}");
            let after = Arc::new(RedisStore::open(&url).await.expect("it opens"));
            gate.close();
            let loading = tokio::spawn({
                let after = Arc::clone(&after);
                async move { after.load(&key).await }
            });
            if !gate.is_waited_at().await {
                // Its tag has not moved.
                let lookup = loading.await.expect("no panic").expect("no error");
                assert!(matches!(lookup, Lookup::Found(_)), "{lookup:?}");
                continue;
            }
            let index = index_of(&nodes.0, &key);
            let cli = |words: &[&str]| nodes.0[2].cli(words);
            cli(&["ZADD", &index, "4000000000000", "another"]);
            cli(&["PEXPIREAT", &index, "4000000000000"]);
            gate.open();
            let lookup = loading.await.expect("no panic").expect("no error");
            assert!(matches!(lookup, Lookup::Found(_)), "{lookup:?}");
            assert_eq!(cli(&["PEXPIRETIME", &index]), "4000000000000");
            return;
        }
    });
}

/// The name of the index in which the old owner has this session.
fn index_of(nodes: &[Server], key: &StoredKey) -> String {
    let pattern = format!("subject:{{{:03x}}}:*", key.tag().number());
    let mut names = nodes
        .iter()
        .map(|node| node.cli(&["--scan", "--pattern", &pattern]));
    names.find(|name| !name.is_empty()).expect("it is indexed")
}

/// One shard has a replica and another has none: what is on the first waits for it, what is on the other has
/// nobody to wait for.
#[test]
fn shards_are_safe_each_in_its_way() {
    let nodes = Nodes::start(2);
    let replica = nodes.0[0].replica();
    while nodes.0[0].cli(&["WAIT", "1", "1000"]) != "1" {}
    run(async {
        let url = format!("redis+shards://{}?timeout=1000", nodes.list(2));
        let store = RedisStore::open(&url).await.expect("it opens");
        let ids = Ids::new();
        let create = async |tag| {
            let id = SessionId::generate(tag, &OsEntropy).expect("there is entropy");
            store.create(&id.key(), &ids.new_session(None)).await
        };
        // Which tags are whose.
        let mut tags: [Vec<SlotTag>; 2] = Default::default();
        for number in 0..40 {
            let tag = SlotTag::new(number).expect("a tag");
            create(tag).await.expect("created");
            let first = &nodes.0[0];
            let names = first.cli(&[
                "--scan",
                "--pattern",
                &format!("session:{{{number:03x}}}:*"),
            ]);
            tags[usize::from(names.is_empty())].push(tag);
        }
        replica.signal("STOP");
        let [with, without] = tags;
        let error = create(with[0]).await.expect_err("nobody confirms it");
        assert_eq!(failure(&error).class(), Class::NoReplicas, "{error:?}");
        for tag in without {
            create(tag).await.expect("there is nobody to ask");
        }
        replica.signal("CONT");
    });
}

/// A way to a server on which transactions can be held up.
struct Gate {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    is_closed: std::sync::atomic::AtomicBool,
    comes: Notify,
    opens: Notify,
}

impl Gate {
    async fn before(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let (state, server) = (Arc::<State>::default(), server.port);
        let held = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server)).await;
                let (mut from, mut to) = client.into_split();
                let (mut back, mut forth) = server.expect("it runs").into_split();
                tokio::spawn(async move { tokio::io::copy(&mut back, &mut to).await });
                let held = Arc::clone(&held);
                tokio::spawn(async move {
                    let mut bytes = vec![0; 1 << 16];
                    while let Ok(read @ 1..) = from.read(&mut bytes).await {
                        held.pass(&bytes[..read]).await;
                        if forth.write_all(&bytes[..read]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { port, state }
    }

    fn close(&self) {
        let closed = &self.state.is_closed;
        closed.store(true, std::sync::atomic::Ordering::SeqCst);
    }

    /// Whether a transaction comes, in a time in which one would.
    async fn is_waited_at(&self) -> bool {
        let comes = self.state.comes.notified();
        tokio::time::timeout(Duration::from_secs(2), comes)
            .await
            .is_ok()
    }

    fn open(&self) {
        let closed = &self.state.is_closed;
        closed.store(false, std::sync::atomic::Ordering::SeqCst);
        self.state.opens.notify_one();
    }
}

impl State {
    async fn pass(&self, bytes: &[u8]) {
        let begins = bytes.windows(5).any(|word| word == b"MULTI");
        if begins && self.is_closed.load(std::sync::atomic::Ordering::SeqCst) {
            self.comes.notify_one();
            self.opens.notified().await;
        }
    }
}

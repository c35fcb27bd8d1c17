//! Sentinels with credentials and TLS of their own, and what `safe` and `fast` make of replicas that
//! hang.

use std::time::Duration;

use cloakroom_core::{Error, Store};
use cloakroom_redis::{Class, RedisStore};

use crate::constellation::Constellation;
use crate::failures::failure;
use crate::kit::{self, Ids};
use crate::server::{Server, free_port};

#[test]
fn sentinels_have_credentials_of_their_own() {
    let primary = Server::start(&["--requirepass", "servers"]);
    let sentinel = Server::sentinel_of(
        primary.port,
        "sentinel auth-pass shop servers\nrequirepass sentinels\n\
         user watcher on >watching ~* &* +@all\n",
    );
    let open = |parameters: &str| {
        let port = sentinel.port;
        let url = format!("redis+sentinel://:servers@127.0.0.1:{port}/shop?{parameters}");
        kit::run(async { RedisStore::open(&url).await.map(drop) })
    };
    open("sentinel-password=sentinels&durability=fast").expect("the password fits");
    open("sentinel-user=watcher&sentinel-password=watching").expect("user and password fit");
    for wrong in ["durability=safe", "sentinel-password=servers"] {
        let error = open(wrong).expect_err("the sentinel lets nobody in");
        assert_eq!(failure(&error).class(), Class::Credentials, "{error:?}");
        let text = failure(&error).to_string();
        assert!(text.contains(&format!(":{}", sentinel.port)), "{text}");
        assert!(text.contains("sentinel-password"), "{text}");
    }
}

#[test]
fn sentinels_by_tls() {
    let primary = Server::start_tls(&[]);
    let path = |name: &str| primary.directory.join(name).display().to_string();
    let (ca, key, port) = (path("ca.pem"), path("key.pem"), free_port());
    let watched = primary.tls_port.expect("it speaks TLS");
    let sentinel = Server::sentinel_of(
        watched,
        &format!(
            "tls-port {port}\ntls-cert-file {ca}\ntls-key-file {key}\ntls-ca-cert-file {ca}\n\
             tls-auth-clients no\ntls-replication yes\n"
        ),
    );
    kit::run(async {
        let url = format!("rediss+sentinel://127.0.0.1:{port}/shop?durability=fast&ca={ca}");
        let store = RedisStore::open(&url).await.expect("it opens");
        let ids = Ids::new();
        store
            .create(&ids.key(None), &ids.new_session(None))
            .await
            .expect("created");
        let url = format!("rediss+sentinel://127.0.0.1:{port}/shop");
        let error = RedisStore::open(&url)
            .await
            .expect_err("nobody knows the CA");
        assert_eq!(failure(&error).class(), Class::Untrusted, "{error:?}");
    });
    drop(sentinel);
}

/// A replica that hangs is waited for as long as the sentinels might promote it. Without any, `safe`
/// refuses what must not be lost, and `fast` goes on.
#[test]
fn hung_replicas_are_excused_by_the_sentinels() {
    let constellation = Constellation::start();
    let [_, one, other] = &constellation.servers[..] else {
        panic!("there are three servers");
    };
    kit::run(async {
        let url = constellation.url(0, "timeout=500");
        let safe = RedisStore::open(&url).await.expect("it opens");
        let fast = RedisStore::open(&format!("{url}&durability=fast"))
            .await
            .expect("it opens");
        let ids = Ids::new();
        let create = async |store: &RedisStore| {
            let key = ids.key(None);
            let created = store.create(&key, &ids.new_session(None)).await;
            created.map(|_| key)
        };
        create(&safe).await.expect("both confirm");
        one.signal("STOP");
        let error = create(&safe).await.expect_err("it may be promoted yet");
        assert_eq!(failure(&error).class(), Class::NoReplicas, "{error:?}");
        eventually(async || create(&safe).await.map(drop)).await;
        let key = create(&fast).await.expect("fast waits for nobody");
        other.signal("STOP");
        fast.destroy(&key)
            .await
            .expect_err("nobody confirms the end yet");
        eventually(async || fast.destroy(&key).await.map(drop)).await;
        let error = create(&safe).await.expect_err("there is no replica");
        assert_eq!(failure(&error).class(), Class::NoReplicas, "{error:?}");
        one.signal("CONT");
        other.signal("CONT");
        eventually(async || create(&safe).await.map(drop)).await;
    });
}

/// A replica that lost its primary is made primary if there is none better, with all that was ended since. So
/// nothing is called ended as long as only it could be promoted, in either mode.
#[test]
fn a_replica_that_lost_its_primary_may_be_promoted() {
    let primary = Server::start(&[]);
    let replica = primary.replica();
    while primary.cli(&["WAIT", "1", "1000"]) != "1" {}
    let sentinel = primary.sentinel();
    let status = || {
        let told = sentinel.cli(&["SENTINEL", "REPLICAS", "shop"]);
        let mut lines = told
            .lines()
            .skip_while(|line| *line != "master-link-status");
        lines.nth(1).map(str::to_owned)
    };
    let becomes = |wanted: &str| {
        while status().as_deref() != Some(wanted) {
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    becomes("ok");
    kit::run(async {
        let url = format!("redis+sentinel://127.0.0.1:{}/shop", sentinel.port);
        let url = format!("{url}?timeout=3000&durability=fast");
        let store = kit::open_patiently(&url).await;
        let ids = Ids::new();
        let [before, key] = [(); 2].map(|()| ids.key(None));
        for key in [&before, &key] {
            let created = store.create(key, &ids.new_session(None)).await;
            created.expect("created");
        }
        // The script is sent as well, and the sentinel has to have known the primary for a while.
        eventually(async || store.destroy(&before).await.map(drop)).await;
        replica.cli(&["CONFIG", "SET", "masterauth", "wrong"]);
        replica.cli(&["CONFIG", "SET", "masteruser", "nobody"]);
        primary.cli(&["CLIENT", "KILL", "TYPE", "replica"]);
        becomes("err");
        // Longer than any word from before is held for true.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let error = store
            .destroy(&key)
            .await
            .expect_err("it has not heard of it");
        assert_eq!(failure(&error).class(), Class::NoReplicas, "{error:?}");
        replica.cli(&["CONFIG", "SET", "masteruser", ""]);
        replica.cli(&["CONFIG", "SET", "masterauth", ""]);
        eventually(async || store.destroy(&key).await.map(drop)).await;
    });
}

/// Without a majority of the sentinels nobody knows whether the primary is one still, so it is not
/// believed; with it, one that hangs does not matter.
#[test]
fn most_sentinels_must_answer() {
    let constellation = Constellation::start();
    let [hung, back, _] = &constellation.sentinels[..] else {
        panic!("there are three sentinels");
    };
    kit::run(async {
        let url = constellation.url(0, "timeout=500");
        let store = RedisStore::open(&url).await.expect("it opens");
        let key = Ids::new().key(None);
        store.load(&key).await.expect("all are well");
        hung.signal("STOP");
        back.signal("STOP");
        let error = loop {
            match store.load(&key).await {
                Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(error) => break error,
            }
        };
        assert_eq!(failure(&error).class(), Class::NoMajority, "{error:?}");
        let text = failure(&error).to_string();
        assert!(text.contains("1 of 3 sentinels"), "{text}");
        for silent in [hung, back] {
            let port = format!("127.0.0.1:{}: ", silent.port);
            assert!(text.contains(&port), "{text} does not name who is silent");
        }
        assert!(error.is_retryable());
        back.signal("CONT");
        eventually(async || store.load(&key).await.map(drop)).await;
    });
}

async fn eventually(mut attempt: impl AsyncFnMut() -> Result<(), Error>) {
    let mut last = None;
    for _ in 0..600 {
        match attempt().await {
            Ok(()) => return,
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it did not come to pass: {last:?}");
}

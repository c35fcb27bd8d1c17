//! Callers who leave before their answer came, at any moment between the first byte of the question and the last of
//! the answer: whatever anybody is told afterwards is of their own session. `CLOAKROOM_ASTRAY=1000000` makes it the
//! long run of `./test --long`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cloakroom_core::testkit::SeededEntropy;
use cloakroom_redis::RedisStore;
use tokio::task::JoinSet;

use crate::bundles::{CALLERS, Own, WAYS};
use crate::kit;
use crate::server::Server;

/// Calls, unless more are asked for.
const CALLS: usize = 20_000;
/// How often a caller who will leave lets others run before: so often that most answers are there.
const PATIENCE: usize = 48;

/// Waits until others ran so often.
async fn linger(times: usize) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}

/// Calls until `left` are none, and leaves most of them. How many were answered.
async fn come_and_go(own: Own, left: Arc<AtomicUsize>) -> usize {
    let luck = SeededEntropy::new(own.number as u64);
    let (mut told, mut counted, mut unsure) = (0, 0, 0);
    let goes_on = || {
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(1)
        })
    };
    while goes_on().is_ok() {
        let patience = match luck.below(16) {
            0 => usize::MAX,
            _ => luck.below(PATIENCE),
        };
        if luck.below(2) == 0 {
            tokio::select! {
                biased;
                loaded = own.load() => told += usize::from(loaded.expect("it is there").version > 0),
                () = linger(patience) => {}
            }
        } else {
            tokio::select! {
                biased;
                done = own.count() => {
                    done.expect("it is there");
                    (told, counted) = (told + 1, counted + 1);
                }
                () = linger(patience) => unsure += 1,
            }
        }
    }
    let record = own.load().await.expect("it is there");
    let count = record
        .fields
        .get("count")
        .map_or(b"0".to_vec(), |value| value.bytes.to_vec());
    let count: u64 = String::from_utf8(count)
        .expect("a number")
        .parse()
        .expect("a number");
    let number = own.number;
    assert!(
        (counted..=counted + unsure).contains(&count),
        "caller {number}: {count}, told {counted}, {unsure} unsure"
    );
    told
}

#[test]
fn who_leaves_gets_nobody_elses_answer_and_leaves_none_to_others() {
    let server = Server::start(&[]);
    let calls =
        std::env::var("CLOAKROOM_ASTRAY").map_or(CALLS, |calls| calls.parse().expect("a number"));
    kit::run(async {
        for (database, way) in WAYS.into_iter().enumerate() {
            let url = server.url(database, &format!("{way}&connections=1"));
            let store = Arc::new(RedisStore::open(&url).await.expect("it opens"));
            let left = Arc::new(AtomicUsize::new(calls / WAYS.len()));
            let all = Own::begin(&store, CALLERS).await.into_iter();
            let visits: JoinSet<_> = all.map(|own| come_and_go(own, Arc::clone(&left))).collect();
            let told: usize = visits.join_all().await.into_iter().sum();
            let calls = calls / WAYS.len();
            eprintln!("{calls} calls, {told} answered{way}");
            assert!(
                told > calls / 20 && told < calls - calls / 20,
                "{told} of {calls}"
            );
        }
    });
}

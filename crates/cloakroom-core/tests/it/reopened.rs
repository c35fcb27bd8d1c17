//! Further handles of a session that a request has found: they act on what the store has, and they
//! begin nothing where the session has ended.

use std::sync::Arc;

use cloakroom_core::testkit::{ReferenceStore, SeededEntropy, ThreadSpawn, block_on};
use cloakroom_core::{ErrorKind, Sessions, limits};

#[test]
fn a_reopened_session_acts_on_the_store_and_begins_nothing() {
    let (store, clock) = ReferenceStore::manual();
    let entropy = Arc::new(SeededEntropy::new(1));
    let sessions = Sessions::new(store, entropy, Arc::new(ThreadSpawn));
    let request = sessions.open(None);
    assert_eq!(block_on(request.key()).expect("no error"), None);
    request.set("coins", &1).expect("it fits");
    block_on(request.save()).expect("the store answers");
    let key = block_on(request.key()).expect("no error");
    let key = key.expect("there is a session");

    let later = sessions.reopen(key);
    assert_eq!(block_on(later.increment("coins", 1)).expect("counts"), 2);
    assert_eq!(block_on(later.get("coins")).expect("decodes"), Some(2));
    assert!(!later.has_ended());
    block_on(request.logout()).expect("the store answers");

    let counted = block_on(sessions.reopen(key).increment("coins", 1));
    assert_eq!(
        *counted.expect_err("it ended").kind(),
        ErrorKind::SessionEnded
    );
    // Long after the store forgot how it ended, too.
    for _ in 0..2 {
        let later = sessions.reopen(key);
        assert!(!later.has_ended(), "nobody was asked");
        later.set("coins", &9).expect("it fits");
        block_on(later.save()).expect("a late write is dropped");
        assert!(later.has_ended());
        clock.advance(limits::TOMBSTONE * 2);
    }
    let stats = block_on(sessions.store().stats()).expect("the store answers");
    assert_eq!(stats.sessions, 0);
}

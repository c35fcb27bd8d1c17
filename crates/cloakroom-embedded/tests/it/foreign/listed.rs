//! Whose sessions there are, and ending them from outside.

use cloakroom_core::Store;
use cloakroom_core::store::Cursor;
use cloakroom_embedded::WithForeign;

use super::*;
use crate::kit::now;

fn alice() -> Subject {
    Subject::new("alice").unwrap()
}

#[test]
fn the_subject_follows_what_is_written() {
    let front = front();
    front.setex(SID, GUEST);
    assert_eq!(front.with_subject(), 0);
    front.setex(SID, ALICE);
    front.setex(OTHER, ALICE);
    let listed = front.of("alice");
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[0].subject, Some(alice()));
    assert_eq!(listed[0].label.as_ref().unwrap().as_str(), "connect-redis");
    assert_eq!(listed[0].remaining, HOUR);
    front.setex(SID, BOB);
    assert_eq!((front.of("alice").len(), front.of("bob").len()), (1, 1));
    front.setex(SID, GUEST);
    assert_eq!(front.of("bob").len(), 0);
    assert_eq!(front.heard.count("session_login"), 3);
    // What cannot be read leaves it to whom it belonged: else a visitor could leave a list by filling
    // the session with what no reader takes.
    front.setex(OTHER, b"\xff not JSON");
    assert_eq!(front.of("alice").len(), 1);
    assert_eq!(front.heard.count("session_field_undecodable"), 1);
}

#[test]
fn entries_go_with_their_sessions() {
    let front = front();
    for number in 0..200 {
        let key = format!("sess:{number:032}");
        front.setex(key.as_bytes(), ALICE);
    }
    assert_eq!(front.with_subject(), 200);
    front.del(format!("sess:{:032}", 7).as_bytes());
    assert_eq!(front.with_subject(), 199);
    front.pass(HOUR);
    assert_eq!(front.of("alice").len(), 0);
    assert_eq!(front.with_subject(), 0);
    front.setex(SID, ALICE);
    front.engine.flush(None);
    assert_eq!(front.of("alice").len(), 0);
    front.engine.store().sweep();
    assert_eq!(front.with_subject(), 0);
}

#[test]
fn a_keyspace_that_changes_places_takes_its_sessions_along() {
    let front = front();
    front.setex(SID, ALICE);
    front.engine.with_all(|tx| tx.swap(0, 5));
    assert_eq!(front.of("alice").len(), 1);
    assert_eq!(
        front.foreign.revoke_subject(&front.engine, &alice(), None),
        1
    );
    let gone = front.engine.with_key(5, SID, |tx| tx.kind(5, SID));
    assert_eq!(gone, None);
    assert_eq!(front.with_subject(), 0);
}

#[test]
fn one_some_and_all_are_revoked_and_stay_out() {
    let front = front();
    for key in [SID, OTHER] {
        front.setex(key, ALICE);
    }
    let handle = front.of("alice")[0].handle;
    let bob = Subject::new("bob").unwrap();
    assert!(!front.foreign.revoke(&front.engine, &bob, &handle));
    let other = front
        .foreign
        .revoke_subject(&front.engine, &alice(), Some(&handle));
    assert_eq!(other, 1);
    assert_eq!(front.of("alice")[0].handle, handle);
    assert!(front.foreign.revoke(&front.engine, &alice(), &handle));
    assert!(!front.foreign.revoke(&front.engine, &alice(), &handle));
    for key in [SID, OTHER] {
        front.setex(key, ALICE);
        assert_eq!(front.get(key), None, "a late save after a revocation");
    }
    front.pass(tombstone());
    front.setex(SID, ALICE);
    front.setex(LARAVEL, b"s:0:\"\";");
    front.setex(b"cache:page", b"x");
    assert_eq!(front.foreign.revoke_all(&front.engine), 2);
    assert_eq!(front.engine.len(0), 1, "what is no session stays");
    let told = front.heard.count("session_revoked");
    assert_eq!(told, 0, "whoever asks for it tells of it, and once");
}

#[test]
fn a_start_finds_the_sessions_that_are_there() {
    let front = front();
    front.setex(SID, ALICE);
    // From a time before layouts, or from another server's dump: no head.
    let plain = |tx: &mut cloakroom_embedded::Tx<'_>| tx.set_string(0, OTHER, ALICE, None);
    front.engine.with_key(0, OTHER, plain).unwrap();
    front.pass(HOUR / 2);
    let again = Foreign::new(ForeignConfig::default()).unwrap();
    assert_eq!(again.of_subject(&front.engine, &alice()).len(), 1);
    again.reindex(&front.engine);
    let listed = again.of_subject(&front.engine, &alice());
    assert_eq!(listed.len(), 2);
    let oldest = listed.last().unwrap();
    assert_eq!(front.now().since(oldest.times.created_at), HOUR / 2);
    assert_eq!(front.ttl(OTHER), Some(DAY), "it has a deadline now");
}

#[test]
fn a_frameworks_cookie_leads_to_its_session() {
    let front = front();
    front.setex(SID, ALICE);
    let cookie =
        "s%3AmNLwOE8QV2aJcL1Xa-bxx97ijtvSjBZK.%2BDomfD24zghQ8vqCzTr0x4lVPbCVs2WAu7FhtI8pIzg";
    let found = front
        .foreign
        .of_cookie(&front.engine, "connect.sid", cookie)
        .unwrap();
    assert_eq!(found.subject, Some(alice()));
    assert!(
        front
            .foreign
            .of_cookie(&front.engine, "other", cookie)
            .is_none()
    );
    front.del(SID);
    assert!(
        front
            .foreign
            .of_cookie(&front.engine, "connect.sid", cookie)
            .is_none()
    );
    // In another keyspace too.
    front.engine.with_key(9, OTHER, |tx| {
        let set = |tx: &mut cloakroom_embedded::Tx<'_>| tx.set_string(9, OTHER, BOB, None);
        front
            .foreign
            .write(tx, 9, OTHER, Written::Value(BOB), (), set)
            .unwrap();
    });
    let cookie = "PLz4gpC5rDXpQmcqw0SHh6hwCBUxYXo-./k24k4vjt6cgRkdWK6uYWF95FdeFL14XSU1haChbrNo";
    let found = front
        .foreign
        .of_cookie(&front.engine, "sessionId", cookie)
        .unwrap();
    assert_eq!(found.subject.unwrap().as_str(), "bob");
}

#[test]
fn a_store_shows_and_ends_them_beside_its_own() {
    let front = front();
    let own = front.engine.store();
    let who = alice();
    let key = kit::key(kit::tag_of(Some(&who)), 1);
    now(own.create(&key, &kit::session(1, Some(who.clone())))).unwrap();
    front.setex(SID, ALICE);
    front.setex(OTHER, GUEST);
    let store = WithForeign::new(own, front.foreign.clone());
    assert_eq!(now(store.of_subject(&who)).unwrap().len(), 2);
    let mut seen = 0;
    let mut cursor = Some(Cursor::default());
    while let Some(at) = cursor {
        let page = now(store.scan(at, 1)).unwrap();
        seen += page.sessions.len();
        cursor = page.next;
    }
    assert_eq!(seen, 3);
    let page = now(store.scan(Cursor::default(), 100)).unwrap();
    assert_eq!((page.sessions.len(), page.next), (3, None), "on one page");
    assert_eq!(now(store.revoke_subject(&who, None)).unwrap(), 2);
    assert_eq!(front.get(SID), None);
    now(store.revoke_all()).unwrap();
    assert_eq!(front.get(OTHER), None);
}

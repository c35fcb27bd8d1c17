//! What ended stays out, and what never was a session is left alone.

use std::sync::Barrier;
use std::thread;

use super::*;

#[test]
fn a_session_that_was_destroyed_is_not_written_back() {
    let front = front();
    front.setex(SID, ALICE);
    assert!(front.del(SID));
    // A slow request saves what it read before the logout.
    front.setex(SID, ALICE);
    assert_eq!(front.get(SID), None);
    assert_eq!(front.heard.count("session_late_write_dropped"), 1);
    assert!(!front.expire(SID, Some(HOUR)));
    // Nor any other way.
    let appended = front.engine.with_key(0, SID, |tx| {
        let append = |tx: &mut cloakroom_embedded::Tx<'_>| tx.write_string(0, SID, 0, ALICE);
        front.foreign.write(tx, 0, SID, Written::Part, 7, append)
    });
    assert_eq!(appended, Ok(7));
    front.setex(b"elsewhere", ALICE);
    assert!(front.rename(b"elsewhere", SID));
    front.engine.with_keys(&[(0, OTHER), (0, SID)], |tx| {
        tx.set_string(0, OTHER, ALICE, None).unwrap();
        front.foreign.copy(tx, (0, OTHER), (0, SID)).unwrap();
    });
    assert_eq!(front.get(SID), None);
    // Nobody's request takes longer than that.
    front.pass(tombstone());
    front.setex(SID, ALICE);
    assert_eq!(front.get(SID).as_deref(), Some(ALICE));
}

#[test]
fn what_was_not_in_the_cache_is_not_filled_in_after_its_end() {
    // Django cached_db: a reader misses the cache and has read the row; the logout deletes row and key.
    let key = b":1:django.contrib.sessions.cached_dbydjdqhogl0076rl0qrc3nahbf1txxxko";
    let front = front();
    assert!(!front.del(key));
    front.setex(
        key,
        b"\x80\x05}\x94\x8c\x0d_auth_user_id\x94\x8c\x011\x94s.",
    );
    assert_eq!(front.get(key), None);
}

#[test]
fn other_keys_come_and_go_as_in_redis() {
    let front = front();
    for key in [
        &b"cache:page"[..],
        b"PHPREDIS_SESSION:e3ekp9klit8708kcuf1pkg0noe_LOCK",
        b"spring:session:sessions:expires:25352345-18f8-4e05-8fda-88c1b6ae9100",
        b"_oauth2_proxy-0123456789abcdef0123456789abcdef.lock",
    ] {
        for _ in 0..3 {
            front.set(key, b"1", None).unwrap();
            assert_eq!(front.get(key).as_deref(), Some(&b"1"[..]));
            let deadline = front.engine.with_key(0, key, |tx| tx.deadline(0, key));
            assert_eq!(deadline, Some(None), "no deadline was asked for");
            assert!(front.del(key));
        }
    }
    assert_eq!(front.heard.0.lock().unwrap().len(), 0);
}

#[test]
fn php_starts_again_under_the_same_id() {
    let front = front();
    front.setex(PHP, b"user_id|i:42;");
    assert!(front.del(PHP));
    front.setex(PHP, b"user_id|i:7;");
    assert!(front.get(PHP).is_some());
    assert_eq!((front.of("42").len(), front.of("7").len()), (0, 1));
}

#[test]
fn what_the_api_ended_stays_out_of_php_too() {
    let front = front();
    front.setex(PHP, b"user_id|i:42;");
    let subject = Subject::new("42").unwrap();
    let revoke = || front.foreign.revoke_subject(&front.engine, &subject, None);
    assert_eq!(revoke(), 1);
    // A request that had read the session saves it, and one that PHP signs out comes in between.
    front.setex(PHP, b"user_id|i:42;");
    assert!(!front.del(PHP));
    front.setex(PHP, b"user_id|i:42;");
    assert_eq!(front.get(PHP), None);
    front.pass(tombstone());
    front.setex(PHP, b"user_id|i:42;");
    assert!(front.get(PHP).is_some());
    assert_eq!(revoke(), 1);
}

#[test]
fn after_an_expiry_a_guest_may_come_back_where_ids_are_adopted() {
    let value = |user: &str| {
        let inner = format!("a:1:{{{user}}}");
        format!("s:{}:\"{inner}\";", inner.len()).into_bytes()
    };
    let (alice, guest) = (
        value("s:11:\"login_web_a\";i:42;"),
        value("s:6:\"_token\";s:1:\"x\";"),
    );
    let front = front();
    front.setex(LARAVEL, &alice);
    assert_eq!(front.of("42").len(), 1);
    front.pass(HOUR);
    assert_eq!(front.get(LARAVEL), None);
    front.setex(LARAVEL, &alice);
    assert_eq!(
        front.get(LARAVEL),
        None,
        "a late save of a session that expired"
    );
    front.setex(LARAVEL, &guest);
    assert_eq!(front.get(LARAVEL), Some(guest.clone()));
    // After a logout nothing comes back, guest or not.
    front.del(LARAVEL);
    front.setex(LARAVEL, &guest);
    assert_eq!(front.get(LARAVEL), None);
    // Express makes a new id for one that it does not know, so what comes is late in any case.
    front.setex(SID, ALICE);
    front.pass(HOUR);
    front.setex(SID, GUEST);
    assert_eq!(front.get(SID), None);
}

const INTEGER: &[u8] = b"\xac\xed\x00\x05sr\x00\x11java.lang.Integer\x12\xe2\xa0\xa4\xf7\x81\x878\x02\x00\x01I\x00\x05valuexr\x00\x10java.lang.Number\x86\xac\x95\x1d\x0b\x94\xe0\x8b\x02\x00\x00xp\x00\x00";
fn spring(front: &Front, key: &[u8]) {
    front.hset(
        key,
        b"maxInactiveInterval",
        &[INTEGER, b"\x07\x08"].concat(),
    );
    front.hset(key, PRINCIPAL, NAME);
    assert!(front.expire(key, Some(HOUR)));
}

#[test]
fn spring_ends_a_session_by_a_field_and_reads_it_afterwards() {
    let front = front();
    spring(&front, SPRING);
    assert_eq!(front.of("alice").len(), 1);
    front.hset(
        SPRING,
        b"maxInactiveInterval",
        &[INTEGER, b"\x00\x00"].concat(),
    );
    assert_eq!(front.of("alice").len(), 0);
    assert_eq!(front.heard.count("session_logout"), 1);
    // For its events it reads what was there, for five minutes; nobody changes it any more.
    assert_eq!(front.hget(SPRING, PRINCIPAL).as_deref(), Some(NAME));
    front.hset(
        SPRING,
        b"maxInactiveInterval",
        &[INTEGER, b"\x07\x08"].concat(),
    );
    front.hset(SPRING, b"lastAccessedTime", b"x");
    assert_eq!(front.hget(SPRING, b"lastAccessedTime"), None);
    assert!(front.expire(SPRING, Some(HOUR)));
    assert_eq!(front.ttl(SPRING), Some(5 * Duration::from_secs(60)));
    assert!(front.expire(SPRING, None));
    assert_eq!(front.ttl(SPRING), Some(5 * Duration::from_secs(60)));
    assert!(
        front.rename(SPRING, SPRING_NEW),
        "it answers as if it had been"
    );
    assert_eq!(
        front.hget(SPRING_NEW, PRINCIPAL),
        None,
        "not under a new id either"
    );
    // The key goes in the end; nothing comes back for two minutes.
    front.del(SPRING);
    spring_is_out(&front);
}

fn spring_is_out(front: &Front) {
    front.hset(SPRING, PRINCIPAL, NAME);
    assert_eq!(front.hget(SPRING, PRINCIPAL), None);
}

#[test]
fn a_session_that_got_a_new_id_has_ended_under_the_old_one() {
    let front = front();
    spring(&front, SPRING);
    front.pass(HOUR / 2);
    let before = front.of("alice");
    assert!(front.rename(SPRING, SPRING_NEW));
    let after = front.of("alice");
    assert_eq!(after.len(), 1);
    assert_eq!(after[0].times.created_at, before[0].times.created_at);
    assert_ne!(after[0].handle, before[0].handle);
    // A request that began under the old id writes a field or two: no half session comes of it.
    spring_is_out(&front);
    front.hset(SPRING_NEW, b"lastAccessedTime", b"x");
    assert!(front.hget(SPRING_NEW, b"lastAccessedTime").is_some());
    assert_eq!(front.of("alice").len(), 1);
    // What is not there cannot be renamed; the client is told.
    assert!(!front.rename(SPRING, SPRING_NEW));
}

#[test]
fn after_a_logout_was_answered_no_thread_brings_the_session_back() {
    for round in 0..50 {
        let front = front();
        front.setex(SID, ALICE);
        let begin = Barrier::new(5);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    begin.wait();
                    for _ in 0..200 {
                        front.setex(SID, ALICE);
                        front.expire(SID, Some(HOUR));
                    }
                });
            }
            begin.wait();
            front.del(SID);
            for _ in 0..20 {
                assert_eq!(front.get(SID), None, "round {round}");
            }
        });
        assert_eq!((front.get(SID), front.of("alice").len()), (None, 0));
        assert_eq!(front.with_subject(), 0);
    }
}

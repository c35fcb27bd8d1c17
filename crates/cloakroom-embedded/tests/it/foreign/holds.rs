//! Limits hold, whatever the client sets.

use super::*;

#[test]
fn no_session_is_without_a_deadline() {
    let front = front();
    front.set(SID, ALICE, None).unwrap();
    assert_eq!(front.ttl(SID), Some(DAY));
    assert!(front.expire(SID, None), "PERSIST is answered");
    assert_eq!(front.ttl(SID), Some(14 * DAY));
    front.hset(SPRING, b"creationTime", b"x");
    assert_eq!(front.ttl(SPRING), Some(DAY));
    front.setex(b"elsewhere", ALICE);
    front.expire(b"elsewhere", None);
    front.rename(b"elsewhere", OTHER);
    assert_eq!(front.ttl(OTHER), Some(DAY));
}

#[test]
fn the_absolute_limit_holds_however_often_it_slides() {
    let front = front();
    front.set(SID, ALICE, Some(31 * DAY)).unwrap();
    assert_eq!(front.ttl(SID), Some(14 * DAY));
    for day in 1..14 {
        front.pass(DAY);
        front.set(SID, ALICE, Some(2 * DAY)).unwrap();
        front.expire(SID, Some(2 * DAY));
        let left = (2 * DAY).min((14 - day) * DAY);
        assert_eq!(front.ttl(SID), Some(left), "day {day}");
    }
    front.pass(DAY);
    assert_eq!(front.get(SID), None);
    front.set(SID, ALICE, Some(DAY)).unwrap();
    assert_eq!(front.get(SID), None, "a late save starts no second life");
}

#[test]
fn a_new_id_is_no_new_life() {
    let front = front();
    front.hset(SPRING, b"creationTime", b"x");
    front.expire(SPRING, Some(14 * DAY));
    front.pass(13 * DAY);
    assert!(front.rename(SPRING, SPRING_NEW));
    front.expire(SPRING_NEW, Some(14 * DAY));
    assert_eq!(front.ttl(SPRING_NEW), Some(DAY));
}

#[test]
fn what_takes_the_place_of_a_session_is_as_old() {
    let front = front();
    front.set(SID, ALICE, Some(14 * DAY)).unwrap();
    front.pass(13 * DAY);
    front.setex(OTHER, BOB);
    for from in [&b"elsewhere"[..], OTHER] {
        front.setex(from, GUEST);
        assert!(front.rename(from, SID));
        front.expire(SID, Some(14 * DAY));
        assert_eq!(front.ttl(SID), Some(DAY));
    }
    assert_eq!(front.heard.count("session_created"), 2);
}

#[test]
fn the_idle_limit_holds_if_there_is_one() {
    let config = ForeignConfig::default().idle(Some(HOUR)).unstated(DAY);
    let front = front_with(config);
    front.set(SID, ALICE, Some(DAY)).unwrap();
    assert_eq!(front.ttl(SID), Some(HOUR));
    front.pass(HOUR / 2);
    front.expire(SID, Some(DAY));
    assert_eq!(front.ttl(SID), Some(HOUR));
}

#[test]
fn what_is_too_large_is_refused_and_told() {
    let front = front();
    front.setex(SID, ALICE);
    let large = vec![b'x'; limits::LAYOUT_BYTES + 1];
    assert_eq!(front.set(SID, &large, None), Err(KeyError::TooLarge));
    assert_eq!(
        front.get(SID).as_deref(),
        Some(ALICE),
        "what was there stays"
    );
    assert_eq!(front.heard.count("session_limit_exceeded"), 1);
    front.set(b"cache:page", &large, None).unwrap();
}

#[test]
fn heads_are_nobodys_keys() {
    let front = front();
    front.setex(SID, ALICE);
    assert_eq!(front.engine.len(0), 1);
    let mut seen = Vec::new();
    for db in 0..16 {
        front
            .engine
            .scan(db, 0, 1_000, &mut |key, _| seen.push(key.to_vec()));
    }
    assert_eq!(seen, [SID.to_vec()]);
    front.del(SID);
    front.engine.flush(Some(0));
    assert!(front.engine.is_empty(0) && front.engine.random_key(0).is_none());
}

#[test]
fn settings_that_mean_nothing_are_refused() {
    for config in [
        ForeignConfig::default().absolute(Duration::ZERO),
        ForeignConfig::default().absolute(500 * DAY),
        ForeignConfig::default().idle(Some(Duration::ZERO)),
        ForeignConfig::default().unstated(Duration::ZERO),
    ] {
        Foreign::new(config).expect_err("outside of the limits");
    }
}

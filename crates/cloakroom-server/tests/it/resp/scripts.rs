//! The scripts of session libraries, by their hashes: what each does to a lock.

use super::wire::{Reply, Wire};
use crate::process::Server;

const UNLOCK: &str = "b70c2384248f88e6b75b9f89241a180f856ad852";
/// The compare-and-delete of Redis' manual, as phpredis sends it.
const TEXT: &[u8] = b"if redis.call(\"get\",KEYS[1]) == ARGV[1] then return \
                      redis.call(\"del\",KEYS[1]) else return 0 end";

fn evalsha(wire: &mut Wire, sha: &str, rest: &str) -> Reply {
    wire.ask(&format!("EVALSHA {sha} {rest}"))
}

#[test]
fn a_lock_is_released_by_its_owner_alone() {
    let server = Server::start(&[]);
    let mut wire = Wire::to(&server);
    for sha in [
        UNLOCK,
        "647c65a442733a1aa440f99908d249d13b4d6c4a",
        "c3f8721cbb97f72bc19e972846bd7aaf91901658",
    ] {
        wire.ask("SET lock me");
        assert_eq!(evalsha(&mut wire, sha, "1 lock you"), Reply::Integer(0));
        assert_eq!(wire.ask("EXISTS lock"), Reply::Integer(1));
        let upper = sha.to_uppercase();
        assert_eq!(evalsha(&mut wire, &upper, "1 lock me"), Reply::Integer(1));
        assert_eq!(evalsha(&mut wire, sha, "1 lock me"), Reply::Integer(0));
    }
    wire.ask("SET lock me");
    wire.send(&[b"EVAL", TEXT, b"1", b"lock", b"me"]);
    assert_eq!(wire.reply(), Reply::Integer(1));
    wire.send(&[b"SCRIPT", b"LOAD", TEXT]);
    assert_eq!(wire.reply(), Reply::bulk(UNLOCK));
    wire.ask("HSET hash f v");
    let said = evalsha(&mut wire, UNLOCK, "1 hash me").text();
    assert!(said.starts_with("WRONGTYPE"), "{said}");
}

#[test]
fn locks_of_redis_py_and_laravel_last_longer() {
    let server = Server::start(&[]);
    let mut wire = Wire::to(&server);
    let extend = "a4e8783852e6b949f9ef3a97212805108459a890";
    wire.ask("SET lock me PX 10000");
    assert_eq!(
        evalsha(&mut wire, extend, "1 lock you 5000 0"),
        Reply::Integer(0)
    );
    assert_eq!(
        evalsha(&mut wire, extend, "1 lock me 90000 0"),
        Reply::Integer(1)
    );
    let left = wire.ask("PTTL lock").integer();
    assert!((95_000..=100_000).contains(&left), "{left}");
    assert_eq!(
        evalsha(&mut wire, extend, "1 lock me 50000 1"),
        Reply::Integer(1)
    );
    assert!(wire.ask("PTTL lock").integer() <= 50_000);
    let renew = "1cac51482acf5858da00f6d685d68f886cd6b6b2";
    assert_eq!(
        evalsha(&mut wire, renew, "1 lock me 70000"),
        Reply::Integer(1)
    );
    assert!(wire.ask("PTTL lock").integer() > 60_000);
    let seconds = "d5f94f1848f0c54fff99d99dbc4d54184a157c02";
    assert_eq!(
        evalsha(&mut wire, seconds, "1 lock me 200"),
        Reply::Integer(1)
    );
    assert_eq!(wire.ask("TTL lock"), Reply::Integer(200));
    assert_eq!(
        evalsha(&mut wire, seconds, "1 lock me 0"),
        Reply::Integer(1)
    );
    assert_eq!(wire.ask("TTL lock"), Reply::Integer(-1));
    assert_eq!(
        evalsha(&mut wire, seconds, "1 lock you 5"),
        Reply::Integer(0)
    );
    let add = "a08c9c69b7c07ae2485190873b90d128a23e502d";
    assert_eq!(evalsha(&mut wire, add, "1 new v 60"), Reply::ok());
    assert_eq!(evalsha(&mut wire, add, "1 new w 60"), Reply::Nil);
    assert_eq!(wire.ask("GET new"), Reply::bulk("v"));
}

#[test]
fn redislock_obtains_refreshes_and_releases() {
    let server = Server::start(&[]);
    let mut wire = Wire::to(&server);
    let [obtain, refresh, release, lasts] = [
        "eb0c00d98f6f33b4262419a509002884540f30be",
        "5a22d7e8431313862816d4416b5e46dd70fc340d",
        "9470c810040e272ee6c579d8d4331aaf6332a7b1",
        "66e1084c2d842a7e8c271925aae90219fac4e129",
    ];
    assert_eq!(
        evalsha(&mut wire, obtain, "2 a b tokenX 5 20000"),
        Reply::ok()
    );
    assert_eq!(evalsha(&mut wire, obtain, "1 a other 5 20000"), Reply::Nil);
    assert_eq!(
        evalsha(&mut wire, obtain, "1 a tokenY 5 20000"),
        Reply::ok()
    );
    assert_eq!(evalsha(&mut wire, refresh, "1 a tokenX 90000"), Reply::Nil);
    assert_eq!(evalsha(&mut wire, refresh, "1 a tokenY 90000"), Reply::ok());
    let left = evalsha(&mut wire, lasts, "1 a tokenY").integer();
    assert!((80_000..=90_000).contains(&left), "{left}");
    assert_eq!(evalsha(&mut wire, lasts, "1 a tokenX"), Reply::Nil);
    assert_eq!(evalsha(&mut wire, release, "2 a b tokenY"), Reply::Nil);
    assert_eq!(evalsha(&mut wire, release, "1 a tokenY"), Reply::ok());
    assert_eq!(wire.ask("EXISTS a b"), Reply::Integer(1));
}

#[test]
fn numbers_of_django_are_added_to() {
    let server = Server::start(&[]);
    let mut wire = Wire::to(&server);
    let present = "f4a7da3e5d8ea3b46642af08427151cae0190400";
    assert_eq!(evalsha(&mut wire, present, "1 n 2"), Reply::Nil);
    let any = "4d15273b16b10c15e1d9202cbe93c959ab7d250b";
    assert_eq!(evalsha(&mut wire, any, "1 n 2"), Reply::Integer(2));
    assert_eq!(evalsha(&mut wire, present, "1 n 40"), Reply::Integer(42));
}

#[test]
fn what_is_no_script_is_named_so() {
    let server = Server::start(&[]);
    let mut wire = Wire::to(&server);
    let said = evalsha(&mut wire, &"0".repeat(40), "0").text();
    assert_eq!(said, "NOSCRIPT No matching script. Please use EVAL.");
    wire.send(&[b"SCRIPT", b"EXISTS", UNLOCK.as_bytes(), b"x"]);
    let known = wire.reply();
    assert_eq!(known.items(), [Reply::Integer(1), Reply::Integer(0)]);
    wire.send(&[b"EVAL", TEXT, b"2", b"lock"]);
    let said = wire.reply().text();
    assert_eq!(
        said,
        "ERR Number of keys can't be greater than number of args"
    );
}

/// Built without an interpreter there is none to break out of.
#[cfg(not(feature = "lua"))]
#[test]
fn what_nobody_knows_is_refused() {
    let server = Server::start(&[]);
    let mut wire = Wire::to(&server);
    for said in [
        &[&b"EVAL"[..], b"return 1", b"0"][..],
        &[b"SCRIPT", b"LOAD", b"return 1"],
    ] {
        wire.send(said);
        let told = wire.reply().text();
        assert!(told.contains("there is no interpreter"), "{told}");
    }
    let sha = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
    assert!(evalsha(&mut wire, sha, "0").text().starts_with("NOSCRIPT"));
}

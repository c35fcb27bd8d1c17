//! The table. Each row runs on every carrier; a row that fails is named, and the others still run.

use std::time::Duration;

use cloakroom::core::observe::Operation;
use cloakroom::{CookieConfig, CookieKey, CookieKeys, ErrorKind, Persistence, SameSite};
use cloakroom::{SessionConfig, core::Policy, core::policy::OnExcess};

use crate::carriers::CARRIERS;
use crate::expect::{CLEAR, Case, NEW, NO_STORE, Told, VARY};
use crate::script::Elsewhere;
use crate::script::Step::{
    Break, Elsewhere as Meanwhile, Get, Header, Increment, Login, LoginRemembered, Logout, Rotate,
    Set, SetBytes, Status, Who,
};

#[test]
fn every_row_holds_on_every_carrier() {
    let mut failures = Vec::new();
    actix_web::rt::System::new().block_on(async {
        let tables = [
            ordinary(),
            late(),
            bad_cookies(),
            cookie_settings(),
            development(),
            caching(),
        ];
        for case in tables.into_iter().flatten().chain(outages()) {
            for carrier in CARRIERS {
                if let Err(why) = case.check(carrier).await {
                    failures.push(format!("{carrier:?}: {}: {why}", case.name));
                }
            }
        }
    });
    assert!(
        failures.is_empty(),
        "{} rows fail:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

const MALFORMED: &[&str] = &["malformed"];
const DUPLICATE: &[&str] = &["duplicate"];
const TOO_LONG: &[&str] = &["too long"];
const FORGED: &[&str] = &["forged"];

/// A visitor without a cookie.
fn stranger() -> Case {
    Case {
        cookies: Vec::new(),
        ..Case::default()
    }
}

fn ordinary() -> Vec<Case> {
    vec![
        Case {
            name: "a stranger costs nothing",
            ..stranger()
        },
        Case {
            name: "a visitor whose session is not used costs nothing",
            ..Case::default()
        },
        Case {
            name: "a stranger's read costs no trip",
            steps: vec![Get("n"), Who],
            vary: VARY,
            body: "n=- nobody",
            ..stranger()
        },
        Case {
            name: "a read is one trip",
            steps: vec![Get("n"), Get("m"), Who],
            vary: VARY,
            calls: "load 1",
            body: "n=1 m=- nobody",
            ..Case::default()
        },
        Case {
            name: "a write is one trip, of however many fields, and sets no cookie",
            steps: vec![Set("n", 2), Set("m", 3)],
            vary: VARY,
            calls: "apply 1",
            then_old: Some("n=2"),
            ..Case::default()
        },
        Case {
            name: "read and write are two trips",
            steps: vec![Get("n"), Set("n", 2)],
            vary: VARY,
            calls: "apply 1, load 1",
            body: "n=1 ",
            then_old: Some("n=2"),
            ..Case::default()
        },
        Case {
            name: "an increment is one trip",
            steps: vec![Increment("n")],
            vary: VARY,
            calls: "apply 1",
            then_old: Some("n=2"),
            ..Case::default()
        },
        Case {
            name: "the first write creates the session",
            steps: vec![Set("n", 7)],
            told: NEW,
            vary: VARY,
            cache: NO_STORE,
            calls: "create 1",
            then_new: Some("n=7"),
            ..stranger()
        },
        Case {
            name: "a login rotates and the old id is dead",
            steps: vec![Login("ada"), Who],
            told: NEW,
            vary: VARY,
            cache: NO_STORE,
            calls: "rotate 1",
            body: "ada",
            then_old: Some("n=-"),
            then_new: Some("n=1"),
            ..Case::default()
        },
        Case {
            name: "a stranger's login creates",
            steps: vec![Login("ada")],
            told: NEW,
            vary: VARY,
            cache: NO_STORE,
            calls: "create 1",
            ..stranger()
        },
        Case {
            name: "a logout clears",
            steps: vec![Logout],
            told: CLEAR,
            vary: VARY,
            cache: NO_STORE,
            calls: "destroy 1",
            then_old: Some("n=-"),
            ..Case::default()
        },
        Case {
            name: "a rotation leaves the old id valid for requests on their way",
            steps: vec![Rotate],
            told: NEW,
            vary: VARY,
            cache: NO_STORE,
            calls: "rotate 1",
            then_old: Some("n=1"),
            then_new: Some("n=1"),
            ..Case::default()
        },
        Case {
            name: "an unknown id is cleared",
            cookies: vec![format!("__Host-id={}", "A".repeat(45))],
            steps: vec![Get("n")],
            told: CLEAR,
            vary: VARY,
            cache: NO_STORE,
            calls: "load 1",
            refusals: &["session_unknown_id"],
            body: "n=- ",
            ..Case::default()
        },
        Case {
            name: "an unknown id is never adopted",
            cookies: vec![format!("__Host-id={}", "A".repeat(45))],
            steps: vec![Set("n", 7)],
            told: NEW,
            vary: VARY,
            cache: NO_STORE,
            calls: "apply 1, create 1",
            refusals: &["session_unknown_id"],
            then_new: Some("n=7"),
            ..Case::default()
        },
        Case {
            name: "an expired session is cleared",
            elapsed: Duration::from_secs(31 * 60),
            steps: vec![Get("n")],
            told: CLEAR,
            vary: VARY,
            cache: NO_STORE,
            calls: "load 1",
            refusals: &["session_unknown_id"],
            body: "n=- ",
            ..Case::default()
        },
        Case {
            name: "whatever the status is, what was set is saved",
            steps: vec![Set("n", 2), Status(404)],
            status: 404,
            vary: VARY,
            calls: "apply 1",
            then_old: Some("n=2"),
            ..Case::default()
        },
    ]
}

/// Another request of the same visitor is answered while this one is on its way.
fn late() -> Vec<Case> {
    vec![
        Case {
            name: "two tabs that change different fields both keep their change",
            steps: vec![Get("m"), Meanwhile(Elsewhere::Set("n", 5)), Set("m", 1)],
            vary: VARY,
            calls: "apply 1, load 1",
            body: "m=- ",
            then_old: Some("n=5"),
            ..Case::default()
        },
        Case {
            name: "a write after a logout revives nothing and tells nothing",
            steps: vec![Get("n"), Meanwhile(Elsewhere::Logout), Set("n", 2)],
            vary: VARY,
            calls: "apply 1, load 1",
            refusals: &["session_use_after_end", "session_late_write_dropped"],
            body: "n=1 ",
            then_old: Some("n=-"),
            ..Case::default()
        },
        Case {
            name: "a read after a logout tells nothing",
            steps: vec![Meanwhile(Elsewhere::Logout), Get("n")],
            vary: VARY,
            calls: "load 1",
            refusals: &["session_use_after_end"],
            body: "n=- ",
            ..Case::default()
        },
        Case {
            name: "a write after a login does not replace the newer id",
            steps: vec![Get("n"), Meanwhile(Elsewhere::Login("ada")), Set("n", 2)],
            vary: VARY,
            calls: "apply 1, load 1",
            refusals: &["session_use_after_end", "session_late_write_dropped"],
            body: "n=1 ",
            then_old: Some("n=-"),
            ..Case::default()
        },
        Case {
            name: "a read after a login does not clear the newer id",
            steps: vec![Meanwhile(Elsewhere::Login("ada")), Get("n")],
            vary: VARY,
            calls: "load 1",
            refusals: &["session_use_after_end"],
            body: "n=- ",
            ..Case::default()
        },
        Case {
            name: "a write after a rotation arrives, and does not replace the newer id",
            steps: vec![Get("n"), Meanwhile(Elsewhere::Rotate), Set("n", 2)],
            vary: VARY,
            calls: "apply 1, load 1",
            body: "n=1 ",
            then_old: Some("n=2"),
            ..Case::default()
        },
        Case {
            name: "a rotation after a rotation makes no second id",
            steps: vec![Meanwhile(Elsewhere::Rotate), Rotate],
            vary: VARY,
            calls: "rotate 1",
            then_old: Some("n=1"),
            ..Case::default()
        },
        Case {
            name: "a logout after a rotation ends the session",
            steps: vec![Meanwhile(Elsewhere::Rotate), Logout],
            told: CLEAR,
            vary: VARY,
            cache: NO_STORE,
            calls: "destroy 1",
            then_old: Some("n=-"),
            ..Case::default()
        },
    ]
}

/// The cookie is not ours: no session, no call, an event if it has our name.
fn bad_cookies() -> Vec<Case> {
    let rows: Vec<(_, Vec<String>, &[&str])> = vec![
        ("empty", vec!["__Host-id=".into()], MALFORMED),
        (
            "truncated",
            vec![format!("__Host-id={}", "A".repeat(44))],
            MALFORMED,
        ),
        ("over-long", vec![format!("{{cookie}}{}", "A")], MALFORMED),
        (
            "very long",
            vec![format!("__Host-id={}", "A".repeat(8000))],
            MALFORMED,
        ),
        (
            "another alphabet",
            vec![format!("__Host-id={}+", "A".repeat(44))],
            MALFORMED,
        ),
        (
            "a last character that no id has",
            vec![format!("__Host-id={}B", "A".repeat(44))],
            MALFORMED,
        ),
        ("quoted", vec!["__Host-id=\"{id}\"".into()], MALFORMED),
        (
            "a handle",
            vec!["__Host-id=AAAAAAAAAAAAAAAA".into()],
            MALFORMED,
        ),
        (
            "signed, but no key is set",
            vec![format!("{{cookie}}.{}", "A".repeat(22))],
            MALFORMED,
        ),
        ("twice", vec!["{cookie}; {cookie}".into()], DUPLICATE),
        (
            "twice with other values",
            vec!["__Host-id=planted; a=b; {cookie}".into()],
            DUPLICATE,
        ),
        (
            "twice in two lines",
            vec!["{cookie}".into(), "{cookie}".into()],
            DUPLICATE,
        ),
        (
            "header too long",
            vec![format!("{{cookie}}; a={}", "b".repeat(16 * 1024))],
            TOO_LONG,
        ),
        (
            "lines too long together",
            vec![
                format!("a={}", "b".repeat(9000)),
                format!("a={}", "b".repeat(9000)),
            ],
            TOO_LONG,
        ),
        ("another case", vec!["__HOST-id={id}".into()], &[]),
        (
            "another prefix",
            vec!["__Secure-id={id}; id={id}; dev-id={id}".into()],
            &[],
        ),
        (
            "percent-encoded",
            vec!["%5F_Host-id={id}; __Host%2Did={id}".into()],
            &[],
        ),
        (
            "a space in the name",
            vec!["__Host-id ={id}; _ _Host-id={id}".into()],
            &[],
        ),
        ("no name", vec!["={id}; {id}; ;;=;".into()], &[]),
        (
            "a longer name",
            vec!["__Host-idx={id}; x__Host-id={id}".into()],
            &[],
        ),
    ];
    let mut cases: Vec<_> = rows
        .into_iter()
        .map(|(name, cookies, refusals)| Case {
            name,
            cookies,
            steps: vec![Get("n"), Who],
            vary: VARY,
            refusals,
            body: "n=- nobody",
            then_old: Some("n=1"),
            ..Case::default()
        })
        .collect();
    for (name, cookies) in [
        ("in the middle", vec!["a=b; {cookie}; c=d"]),
        (
            "in a line of its own",
            vec!["a=b", "{cookie}", "c=\"d; e\""],
        ),
        ("without spaces", vec!["a=b;{cookie};c=d"]),
        ("with more spaces", vec!["a=b; \t {cookie} \t; c=d"]),
        (
            "beside others that look like it",
            vec!["__HOST-id=x; {cookie}; __Host-id2=y"],
        ),
    ] {
        cases.push(Case {
            name,
            cookies: cookies.into_iter().map(Into::into).collect(),
            steps: vec![Get("n")],
            vary: VARY,
            calls: "load 1",
            body: "n=1 ",
            ..Case::default()
        });
    }
    cases.push(Case {
        name: "a rejected cookie does not hinder a new session",
        cookies: vec!["__Host-id=x".into()],
        steps: vec![Set("n", 7)],
        told: NEW,
        vary: VARY,
        cache: NO_STORE,
        calls: "create 1",
        refusals: MALFORMED,
        then_new: Some("n=7"),
        ..Case::default()
    });
    cases
}

fn key(seed: u8) -> CookieKey {
    let bytes: Vec<u8> = (0..32)
        .map(|n: u8| n.wrapping_mul(37).wrapping_add(seed))
        .collect();
    CookieKey::new(&bytes).unwrap()
}

fn signed(config: SessionConfig) -> SessionConfig {
    config.cookie_key(key(1))
}

fn cookie_settings() -> Vec<Case> {
    let read = || Case {
        steps: vec![Get("n")],
        vary: VARY,
        calls: "load 1",
        body: "n=1 ",
        ..Case::default()
    };
    let write = || Case {
        steps: vec![Set("n", 7)],
        vary: VARY,
        cache: NO_STORE,
        calls: "create 1",
        then_new: Some("n=7"),
        ..stranger()
    };
    let refused = || Case {
        config: signed,
        calls: "",
        body: "n=- ",
        refusals: MALFORMED,
        ..read()
    };
    vec![
        Case {
            name: "signed: read",
            config: signed,
            ..read()
        },
        Case {
            name: "signed: write",
            config: signed,
            told: NEW,
            ..write()
        },
        Case {
            name: "signed: another id",
            cookies: vec![format!("__Host-id={}.{}", "A".repeat(45), "A".repeat(22))],
            refusals: FORGED,
            ..refused()
        },
        Case {
            name: "signed: no signature",
            cookies: vec![format!("__Host-id={}", "A".repeat(45))],
            ..refused()
        },
        Case {
            name: "signed: cut",
            cookies: vec!["{cookie}A".into()],
            ..refused()
        },
        Case {
            name: "signed: an earlier key is accepted, the new one signs",
            config: |config| config.cookie_key(CookieKeys::new(key(2)).accept(key(1))),
            told: NEW,
            ..write()
        },
        Case {
            name: "remembered logins are kept for as long as the session may live",
            steps: vec![LoginRemembered("ada")],
            told: Told::New("; Max-Age=2592000; Path=/; Secure; HttpOnly; SameSite=Lax"),
            then_new: None,
            ..write()
        },
        Case {
            name: "kept always, never longer than the session",
            config: |config| {
                config.cookie(CookieConfig::default().persistence(Persistence::Always))
            },
            told: Told::New("; Max-Age=28800; Path=/; Secure; HttpOnly; SameSite=Lax"),
            ..write()
        },
        Case {
            name: "kept always, what is left after a rotation",
            config: |config| {
                config.cookie(CookieConfig::default().persistence(Persistence::Always))
            },
            elapsed: Duration::from_secs(100),
            cookies: vec!["{cookie}".into()],
            steps: vec![Rotate],
            told: Told::New("; Max-Age=28700; Path=/; Secure; HttpOnly; SameSite=Lax"),
            calls: "rotate 1",
            then_new: Some("n=1"),
            ..write()
        },
        Case {
            name: "never kept",
            config: |config| config.cookie(CookieConfig::default().persistence(Persistence::Never)),
            steps: vec![LoginRemembered("ada")],
            told: NEW,
            then_new: None,
            ..write()
        },
        Case {
            name: "shared with subdomains",
            config: |config| {
                let cookie = CookieConfig::default().share_with_subdomains_of("Shop.example");
                config.cookie(cookie.unwrap().name("sid").unwrap())
            },
            cookies: vec!["{cookie}".into()],
            steps: vec![Logout],
            told: Told::Clear(
                "__Secure-sid=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax; Domain=shop.example",
            ),
            calls: "destroy 1",
            then_new: None,
            ..write()
        },
        Case {
            name: "SameSite=Strict",
            config: |config| {
                config.cookie(CookieConfig::default().same_site(SameSite::Strict).unwrap())
            },
            told: Told::New("; Path=/; Secure; HttpOnly; SameSite=Strict"),
            ..write()
        },
        Case {
            name: "SameSite=None",
            config: |config| {
                config.cookie(CookieConfig::default().same_site(SameSite::None).unwrap())
            },
            told: Told::New("; Path=/; Secure; HttpOnly; SameSite=None"),
            ..write()
        },
    ]
}

fn development() -> Vec<Case> {
    fn dev(config: SessionConfig) -> SessionConfig {
        config.cookie(CookieConfig::insecure_for_development().unwrap())
    }
    let on = |host| Case {
        config: dev,
        host,
        vary: VARY,
        ..Case::default()
    };
    vec![
        Case {
            name: "development: this machine has sessions",
            steps: vec![Get("n"), Logout],
            told: Told::Clear("dev-id=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax"),
            cache: NO_STORE,
            calls: "destroy 1, load 1",
            body: "n=1 ",
            ..on("127.0.0.1:3000")
        },
        Case {
            name: "development: another host's cookie is not looked at",
            steps: vec![Get("n")],
            body: "n=- ",
            ..on("shop.example")
        },
        Case {
            name: "development: another host gets no cookie",
            steps: vec![Set("n", 2)],
            calls: "create 1",
            ..on("localhost.example")
        },
        Case {
            name: "development: the ordinary cookie is somebody else's",
            cookies: vec!["__Host-id={id}".into()],
            steps: vec![Get("n")],
            body: "n=- ",
            ..on("localhost")
        },
    ]
}

fn caching() -> Vec<Case> {
    let writes = || Case {
        told: NEW,
        vary: VARY,
        cache: NO_STORE,
        calls: "create 1",
        ..stranger()
    };
    vec![
        Case {
            name: "a cache's permission is withdrawn",
            steps: vec![Set("n", 2), Header("cache-control", "public, max-age=600")],
            ..writes()
        },
        Case {
            name: "a stricter word is kept",
            steps: vec![Set("n", 2), Header("cache-control", "private, No-Store")],
            cache: &["private, No-Store"],
            ..writes()
        },
        Case {
            name: "without a cookie the application's word is kept",
            steps: vec![Get("n"), Header("cache-control", "private")],
            vary: VARY,
            cache: &["private"],
            body: "n=- ",
            ..stranger()
        },
        Case {
            name: "Vary is extended",
            steps: vec![Get("n"), Header("vary", "accept-encoding")],
            vary: &["accept-encoding", "cookie"],
            body: "n=- ",
            ..stranger()
        },
        Case {
            name: "Vary is not repeated",
            steps: vec![Get("n"), Header("vary", "Accept, Cookie")],
            vary: &["Accept, Cookie"],
            body: "n=- ",
            ..stranger()
        },
        Case {
            name: "Vary on everything is enough",
            steps: vec![Get("n"), Header("vary", "*")],
            vary: &["*"],
            body: "n=- ",
            ..stranger()
        },
    ]
}

const UNAVAILABLE: &str = r#"{"error":"session_store_unavailable","retryable":true}"#;
const GONE: ErrorKind = ErrorKind::StoreUnavailable;

fn outages() -> Vec<Case> {
    let unavailable = || Case {
        status: 503,
        vary: VARY,
        cache: NO_STORE,
        refusals: &["session_store_failed"],
        body: UNAVAILABLE,
        ..Case::default()
    };
    let failed = |status, body| Case {
        status,
        body,
        vary: VARY,
        cache: NO_STORE,
        ..Case::default()
    };
    vec![
        Case {
            name: "a store that is gone does not matter to who does not use it",
            steps: vec![Break(Operation::Load, GONE)],
            ..Case::default()
        },
        Case {
            name: "a failed read is no empty session",
            steps: vec![Break(Operation::Load, GONE), Get("n")],
            calls: "load 1",
            ..unavailable()
        },
        Case {
            name: "a failed save is no success",
            steps: vec![
                Break(Operation::Apply, ErrorKind::DeadlineExceeded),
                Set("n", 2),
            ],
            calls: "apply 1",
            then_old: Some("n=1"),
            ..unavailable()
        },
        Case {
            name: "a failed creation sets no cookie",
            cookies: Vec::new(),
            steps: vec![Break(Operation::Create, ErrorKind::StoreFull), Set("n", 2)],
            calls: "create 1",
            ..unavailable()
        },
        Case {
            name: "a failed logout clears no cookie",
            steps: vec![Break(Operation::Destroy, GONE), Logout],
            calls: "destroy 1",
            then_old: Some("n=1"),
            ..unavailable()
        },
        Case {
            name: "an id that was written is told, even if a later save fails",
            steps: vec![Login("ada"), Break(Operation::Apply, GONE), Set("n", 2)],
            told: NEW,
            calls: "apply 1, rotate 1",
            then_new: Some("n=1"),
            ..unavailable()
        },
        Case {
            name: "a session over its limit is not saved, and not to be tried again",
            steps: ["a", "b", "c", "d", "e"]
                .map(|name| SetBytes(name, 60_000))
                .to_vec(),
            calls: "apply 1",
            refusals: &["session_limit_exceeded"],
            then_old: Some("n=1"),
            ..failed(500, r#"{"error":"session_not_saved","retryable":false}"#)
        },
        Case {
            name: "a field over its limit fails the handler that set it",
            steps: vec![SetBytes("a", 70_000)],
            refusals: &["session_limit_exceeded"],
            ..failed(500, r#"{"error":"session_error","retryable":false}"#)
        },
        Case {
            name: "one session too many is refused",
            config: |config| {
                config.policy(Policy::OWASP_LOW_VALUE.max_sessions(1, OnExcess::Refuse))
            },
            before: vec![Login("ada")],
            cookies: Vec::new(),
            steps: vec![Login("ada")],
            calls: "create 1",
            refusals: &["session_login_refused"],
            ..failed(409, r#"{"error":"too_many_sessions","retryable":false}"#)
        },
    ]
}

//! The cookie's settings: signatures, how long it is kept, to whom it is sent.

use std::time::Duration;

use cloakroom::{CookieConfig, CookieKey, CookieKeys, Persistence, SameSite, SessionConfig};

use crate::expect::{Case, FORGED, MALFORMED, NEW, NO_STORE, STRANGER, Told, VARY};
use crate::script::Step::{Get, LoginRemembered, Logout, Rotate, Set};

const READ: Case = Case {
    steps: &[Get("n")],
    vary: VARY,
    calls: "load 1",
    body: "n=1 ",
    ..Case::DEFAULT
};
const WRITE: Case = Case {
    steps: &[Set("n", 7)],
    vary: VARY,
    cache: NO_STORE,
    calls: "create 1",
    then_new: Some("n=7"),
    ..STRANGER
};
const REFUSED: Case = Case {
    config: signed,
    calls: "",
    body: "n=- ",
    refusals: MALFORMED,
    ..READ
};

/// Each setting, in what it changes of a request or a response.
pub(crate) const SETTINGS: &[Case] = &[
    Case {
        name: "signed: read",
        config: signed,
        ..READ
    },
    Case {
        name: "signed: write",
        config: signed,
        told: NEW,
        ..WRITE
    },
    Case {
        name: "signed: another id",
        cookies: &["__Host-id={unknown}.{22}"],
        refusals: FORGED,
        ..REFUSED
    },
    Case {
        name: "signed: no signature",
        cookies: &["__Host-id={unknown}"],
        ..REFUSED
    },
    Case {
        name: "signed: cut",
        cookies: &["{cookie}A"],
        ..REFUSED
    },
    Case {
        name: "signed: an earlier key is accepted, the new one signs",
        config: |config| config.cookie_key(CookieKeys::new(key(2)).accept(key(1))),
        told: NEW,
        ..WRITE
    },
    Case {
        name: "remembered logins are kept for as long as the session may live",
        steps: &[LoginRemembered("ada")],
        told: Told::New("; Max-Age=2592000; Path=/; Secure; HttpOnly; SameSite=Lax"),
        then_new: None,
        ..WRITE
    },
    Case {
        name: "kept always, never longer than the session",
        config: |config| config.cookie(CookieConfig::default().persistence(Persistence::Always)),
        told: Told::New("; Max-Age=28800; Path=/; Secure; HttpOnly; SameSite=Lax"),
        ..WRITE
    },
    Case {
        name: "kept always, what is left after a rotation",
        config: |config| config.cookie(CookieConfig::default().persistence(Persistence::Always)),
        elapsed: Duration::from_secs(100),
        cookies: &["{cookie}"],
        steps: &[Rotate],
        told: Told::New("; Max-Age=28700; Path=/; Secure; HttpOnly; SameSite=Lax"),
        calls: "rotate 1",
        then_new: Some("n=1"),
        ..WRITE
    },
    Case {
        name: "never kept",
        config: |config| config.cookie(CookieConfig::default().persistence(Persistence::Never)),
        steps: &[LoginRemembered("ada")],
        told: NEW,
        then_new: None,
        ..WRITE
    },
    Case {
        name: "shared with subdomains",
        config: |config| {
            let cookie = CookieConfig::default().share_with_subdomains_of("Shop.example");
            config.cookie(cookie.unwrap().name("sid").unwrap())
        },
        cookies: &["{cookie}"],
        steps: &[Logout],
        told: Told::Clear(
            "__Secure-sid=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax; Domain=shop.example",
        ),
        calls: "destroy 1",
        then_new: None,
        ..WRITE
    },
    Case {
        name: "SameSite=Strict",
        config: |config| {
            config.cookie(CookieConfig::default().same_site(SameSite::Strict).unwrap())
        },
        told: Told::New("; Path=/; Secure; HttpOnly; SameSite=Strict"),
        ..WRITE
    },
    Case {
        name: "SameSite=None",
        config: |config| config.cookie(CookieConfig::default().same_site(SameSite::None).unwrap()),
        told: Told::New("; Path=/; Secure; HttpOnly; SameSite=None"),
        ..WRITE
    },
];

fn key(seed: u8) -> CookieKey {
    let bytes: Vec<u8> = (0..32)
        .map(|n: u8| n.wrapping_mul(37).wrapping_add(seed))
        .collect();
    CookieKey::new(&bytes).unwrap()
}

fn signed(config: SessionConfig) -> SessionConfig {
    config.cookie_key(key(1))
}

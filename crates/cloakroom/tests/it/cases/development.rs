//! Development mode, which works on this very machine and nowhere else.

use cloakroom::CookieConfig;

use crate::expect::{Case, NO_STORE, Told, VARY};
use crate::script::Step::{Get, Logout, Set};

/// The host decides.
pub(crate) const DEVELOPMENT: &[Case] = &[
    Case {
        name: "development: this machine has sessions",
        steps: &[Get("n"), Logout],
        told: Told::Clear("dev-id=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax"),
        cache: NO_STORE,
        calls: "destroy 1, load 1",
        body: "n=1 ",
        ..on("127.0.0.1:3000")
    },
    Case {
        name: "development: another host's cookie is not looked at",
        steps: &[Get("n")],
        body: "n=- ",
        ..on("shop.example")
    },
    Case {
        name: "development: another host gets no cookie",
        steps: &[Set("n", 2)],
        calls: "create 1",
        ..on("localhost.example")
    },
    Case {
        name: "development: the ordinary cookie is somebody else's",
        cookies: &["__Host-id={id}"],
        steps: &[Get("n")],
        body: "n=- ",
        ..on("localhost")
    },
];

const fn on(host: &'static str) -> Case {
    Case {
        config: |config| config.cookie(CookieConfig::insecure_for_development().unwrap()),
        host,
        vary: VARY,
        ..Case::DEFAULT
    }
}

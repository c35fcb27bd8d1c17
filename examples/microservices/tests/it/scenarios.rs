//! What visitors do, what others try, and what breaks.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::HeaderMap;

use crate::town::Town;
use crate::visitor::Visitor;

const SERVICES: [&str; 2] = ["/orders/", "/profile/"];

#[tokio::test]
async fn one_sign_in_opens_both_services_and_one_sign_out_closes_them() {
    let town = Town::open();
    let mut visitor = Visitor::of(&town.url());
    visitor.get("/").await.shows("Nobody is signed in");
    for service in SERVICES {
        visitor.get(service).await.asks_to_sign_in(service);
    }
    visitor
        .get("/login?next=/orders/")
        .await
        .shows("name=\"next\" value=\"/orders/\"");
    let wrong = [("name", "ada"), ("password", "guess")];
    let page = visitor.post("/login", &wrong).await;
    assert_eq!(page.status, 403, "{page:?}");
    assert!(visitor.cookie.is_none(), "a guess leaves nothing");

    let right = [("name", "ada"), ("password", "coat-check")];
    let form = [right[0], right[1], ("next", "/orders/")];
    let page = visitor.post("/login", &form).await;
    assert_eq!(page.location.as_deref(), Some("/orders/"));
    visitor.get("/").await.shows("<span id=\"user\">ada</span>");
    let page = visitor.post("/orders/", &[("thing", "a <coat>")]).await;
    assert_eq!(page.location.as_deref(), Some("/orders/"), "{page:?}");
    visitor.get("/orders/").await.shows("a &#60;coat&#62;");
    visitor.post("/profile/", &[("name", "Countess")]).await;
    visitor.get("/profile/").await.shows("Countess");

    let before = visitor.cookie.clone();
    // The button that every page of every service has.
    visitor.get("/profile/").await.shows("action=\"/logout\"");
    visitor.post("/logout", &[]).await;
    for kept in [None, before] {
        visitor.cookie = kept;
        for service in SERVICES {
            visitor.get(service).await.asks_to_sign_in(service);
        }
    }
}

#[tokio::test]
async fn signing_out_everywhere_reaches_other_browsers() {
    let town = Town::open();
    let (mut desk, mut phone) = (Visitor::of(&town.url()), Visitor::of(&town.url()));
    let mut other = Visitor::of(&town.url());
    for (visitor, name) in [
        (&mut desk, "J\u{fc}rgen"),
        (&mut phone, "J\u{fc}rgen"),
        (&mut other, "ada"),
    ] {
        visitor.sign_in(name).await;
        visitor.get("/profile/").await.shows(name);
    }
    desk.post("/logout-everywhere", &[]).await;
    for visitor in [&mut desk, &mut phone] {
        visitor.get("/orders/").await.asks_to_sign_in("/orders/");
    }
    other.get("/orders/").await.shows("ada");
}

#[tokio::test]
async fn what_a_visitor_says_of_themselves_counts_for_nothing() {
    let town = Town::open();
    let mut visitor = Visitor::of(&town.url());
    let forgeries: [&[(&str, &str)]; 4] = [
        &[("Cloakroom-Subject", "grace")],
        &[
            ("cloakroom-subject", "grace"),
            ("cloakroom-subject", "grace"),
        ],
        &[("Cloakroom_Subject", "grace"), ("Cloakroom-Handle", "AAAA")],
        &[("X-Auth-Request-User", "grace"), ("Remote-User", "grace")],
    ];
    for forged in forgeries {
        visitor.forged = forged.to_vec();
        for service in SERVICES {
            visitor.get(service).await.asks_to_sign_in(service);
        }
    }
    visitor.sign_in("ada").await;
    for forged in forgeries {
        visitor.forged = forged.to_vec();
        for service in SERVICES {
            let page = visitor.get(service).await;
            page.shows("<span id=\"user\">ada</span>");
            assert!(!page.text.contains("grace"), "{page:?}");
        }
    }
    let page = visitor.get("/_session").await;
    assert_eq!(page.status, 404, "the question is nginx's own");
    let elsewhere = ["https://evil.example/", "//evil.example", "/\\evil.example"];
    for next in elsewhere {
        let form = [("name", "ada"), ("password", "coat-check"), ("next", next)];
        let page = visitor.post("/login", &form).await;
        assert_eq!(page.location.as_deref(), Some("/"), "{next}");
    }
}

#[tokio::test]
async fn a_service_is_told_who_asks_and_no_secret() {
    let mut town = Town::open();
    town.kill("orders");
    let seen: Arc<Mutex<Vec<HeaderMap>>> = Arc::default();
    let notes = Arc::clone(&seen);
    let address = format!("127.0.0.1:{}", town.port("orders"));
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let service = Router::new().fallback(async move |headers: HeaderMap| {
        notes.lock().unwrap().push(headers);
        "noted"
    });
    tokio::spawn(async move { axum::serve(listener, service).await });

    let mut visitor = Visitor::of(&town.url());
    visitor.sign_in("J\u{fc}rgen").await;
    visitor.forged = vec![("Cloakroom-Subject", "grace"), ("Cloakroom-Handle", "AAAA")];
    visitor.get("/orders/").await.shows("noted");
    let seen = seen.lock().unwrap();
    let [headers] = &seen[..] else {
        panic!("asked {} times", seen.len());
    };
    let subjects: Vec<_> = headers.get_all("cloakroom-subject").iter().collect();
    assert_eq!(subjects, ["J%C3%BCrgen"]);
    assert!(!headers.contains_key("cookie"), "{headers:?}");
    assert!(!headers.contains_key("cloakroom-handle"), "{headers:?}");
}

#[tokio::test]
async fn past_the_gateway_nobody_gets_in() {
    let town = Town::open();
    for (part, service) in ["orders", "profile"].into_iter().zip(SERVICES) {
        let mut visitor = Visitor::of(&format!("http://127.0.0.1:{}", town.port(part)));
        assert_eq!(visitor.get(service).await.status, 401);
        visitor.forged = vec![("Cloakroom-Subject", "")];
        assert_eq!(visitor.get(service).await.status, 401);
    }
}

#[tokio::test]
async fn services_come_and_go_and_the_sign_in_stays() {
    let mut town = Town::open();
    let mut visitor = Visitor::of(&town.url());
    visitor.sign_in("ada").await;
    town.kill("orders");
    visitor.get("/orders/").await.is_an_outage();
    visitor.get("/profile/").await.shows("ada");
    town.start("orders");
    visitor.get("/orders/").await.shows("ada");

    for part in ["accounts", "cloakroom"] {
        town.kill(part);
        town.start(part);
        visitor.get("/orders/").await.shows("ada");
        visitor.get("/").await.shows("ada");
    }
}

#[tokio::test]
async fn without_redis_or_the_session_server_nobody_gets_in_and_nobody_is_signed_out() {
    let mut town = Town::open();
    let mut visitor = Visitor::of(&town.url());
    visitor.sign_in("ada").await;
    let cookie = visitor.cookie.clone();

    town.kill("cloakroom");
    for service in SERVICES {
        visitor.get(service).await.is_an_outage();
    }
    town.start("cloakroom");
    visitor.get("/orders/").await.shows("ada");

    town.kill("redis");
    for path in ["/orders/", "/profile/", "/"] {
        visitor.get(path).await.is_an_outage();
    }
    let mut stranger = Visitor::of(&town.url());
    stranger.get("/orders/").await.asks_to_sign_in("/orders/");
    let form = [("name", "ada"), ("password", "coat-check")];
    stranger.post("/login", &form).await.is_an_outage();
    assert_eq!(visitor.cookie, cookie, "an outage takes no cookie away");

    // This Redis keeps nothing on disk, so its sessions are gone; everything heals by itself.
    town.start("redis");
    visitor.get("/orders/").await.asks_to_sign_in("/orders/");
    visitor.sign_in("ada").await;
    visitor.get("/orders/").await.shows("ada");
}

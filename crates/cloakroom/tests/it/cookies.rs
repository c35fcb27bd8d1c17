//! Settings of the cookie that cannot be: each is refused with its name, the value and the fix.

use cloakroom::core::ErrorKind as Kind;
use cloakroom::{CookieConfig, CookieKey, CookieKeys, Error, SameSite, SessionConfig};

use crate::carriers::{CARRIERS, send};
use crate::script::{Script, Step};
use crate::world::World;

fn refused(setting: &str, result: Result<CookieConfig, Error>) -> String {
    let error = result.unwrap_err();
    let Kind::InvalidSetting {
        setting: named,
        value,
        fix,
    } = error.kind()
    else {
        panic!("{error:?}");
    };
    assert_eq!(*named, setting);
    assert!(!fix.is_empty());
    value.clone()
}

#[test]
fn names_that_no_cookie_can_have_are_refused() {
    for name in [
        "",
        "a b",
        "a=b",
        "a;b",
        "\u{e9}",
        "__Host-id",
        "__secure-id",
        "__Http-x",
    ] {
        assert_eq!(
            refused("cookie name", CookieConfig::default().name(name)),
            name
        );
    }
    refused(
        "cookie name",
        CookieConfig::default().name(&"n".repeat(4096)),
    );
    let longest = CookieConfig::default()
        .name(&"n".repeat(4096 - 68 - 9))
        .unwrap();
    assert!(longest.full_name().starts_with("__Host-n"));
}

#[test]
fn domains_that_browsers_refuse_are_refused() {
    for domain in [
        "",
        "com",
        ".example.com",
        "example..com",
        "a.b;c",
        "127.0.0.1",
        "a b.c",
    ] {
        let result = CookieConfig::default().share_with_subdomains_of(domain);
        assert_eq!(refused("cookie domain", result), domain);
    }
}

#[test]
fn development_mode_refuses_what_needs_secure() {
    let dev = || CookieConfig::insecure_for_development().unwrap();
    assert_eq!(dev().full_name(), "dev-id");
    refused("cookie SameSite", dev().same_site(SameSite::None));
    refused(
        "cookie domain",
        dev().share_with_subdomains_of("example.com"),
    );
}

#[test]
fn keys_that_are_plainly_not_random_are_refused() {
    let secret = "0123456789abcdef0123456789abcdef0123456789abcdef";
    for bytes in [
        &[7; 32][..],
        &[1, 2].repeat(32),
        &[200; 31],
        secret.as_bytes(),
        b"",
    ] {
        let error = CookieKey::new(bytes).unwrap_err();
        assert!(matches!(
            error.kind(),
            Kind::InvalidSetting {
                setting: "cookie key",
                ..
            }
        ));
        assert!(!format!("{error} {error:?}").contains("0123"), "{error}");
    }
    assert!(CookieKey::from_base64("no base64!").is_err());
    let key = CookieKey::from_base64("X2uPkQ0bJHhC0y8yV1+Vf3m6l8cTn0oUu0v8m9sW2aE=\n").unwrap();
    assert_eq!(format!("{key:?}"), "CookieKey(secret)");
}

/// The cookie that the first key signed is good while the ring has that key, and for this name.
#[test]
fn a_key_ring_accepts_what_earlier_keys_signed() {
    let key = |seed: u8| {
        let bytes: Vec<u8> = (0..32).map(|n: u8| n.wrapping_mul(41) ^ seed).collect();
        CookieKey::new(&bytes).unwrap()
    };
    let first = |config: SessionConfig| config.cookie_key(key(1));
    let both = |config: SessionConfig| config.cookie_key(CookieKeys::new(key(2)).accept(key(1)));
    let second = |config: SessionConfig| config.cookie_key(key(2));
    actix_web::rt::System::new().block_on(async {
        for carrier in CARRIERS {
            let world = World::new();
            let script = |steps| Script {
                world: world.clone(),
                id: None,
                steps,
            };
            let visit = script(vec![Step::Set("n", 1)]);
            let received = send(carrier, &first(world.config()), "h", &[], visit).await;
            let set = received.all("set-cookie")[0].to_owned();
            let cookie = [set.split(';').next().unwrap().to_owned()];
            for (config, body, calls) in [
                (first(world.config()), "n=1 ", "load 1"),
                (both(world.config()), "n=1 ", "load 1"),
                (second(world.config()), "n=- ", ""),
            ] {
                world.probe.take_calls();
                let read = script(vec![Step::Get("n")]);
                let received = send(carrier, &config, "h", &cookie, read).await;
                assert_eq!(received.body, body);
                assert_eq!(world.probe.take_calls(), calls);
            }
            assert_eq!(world.events.take_refusals(), ["forged"]);
        }
    });
}

//! Every row of the table against what its libraries wrote.

use std::collections::BTreeSet;

use cloakroom_core::layout::{Encoding, Kind, Layouts, Pattern, Tombstones};

use super::{Fixture, fixtures};

#[test]
fn what_libraries_write_is_recognised() {
    let layouts = Layouts::standard();
    for fixture in fixtures() {
        let (layout, id) = layouts.recognise(&fixture.key).expect(&fixture.by);
        assert_eq!(layout.name(), fixture.layout, "{}", fixture.by);
        assert!(fixture.key.ends_with(id), "{}", fixture.by);
        let hash = fixture.value.is_none();
        assert_eq!(layout.kind() == Kind::Hash, hash, "{}", fixture.by);
    }
}

#[test]
fn whom_a_session_belongs_to_is_read() {
    let layouts = Layouts::standard();
    for fixture in fixtures() {
        let layout = layouts.named(&fixture.layout).unwrap();
        let subject = match &fixture.value {
            Some(value) => layout.subject_of_value(value),
            None => layout.subject_of_fields(|name| fixture.fields.get(name)),
        };
        let subject = subject.unwrap_or_else(|_| panic!("unreadable: {}", fixture.by));
        let subject = subject.as_ref().map(cloakroom_core::Subject::as_str);
        assert_eq!(subject, fixture.subject.as_deref(), "{}", fixture.by);
    }
}

#[test]
fn a_cookie_leads_to_its_key() {
    let layouts = Layouts::standard();
    let mut seen = 0;
    for fixture in fixtures() {
        let Some(cookie) = &fixture.cookie else {
            continue;
        };
        let layout = layouts.named(&fixture.layout).unwrap();
        let (name, value) = cookie.split_once('=').unwrap();
        let mut names = layout.cookies();
        let applications_own = matches!(
            layout.name(),
            "boj-redistore" | "rbcervilla-redisstore" | "rails"
        );
        assert!(applications_own || names.any(|it| it == name), "{cookie}");
        // Rails' prefix is the application's own.
        if layout.name() != "rails" {
            let key = layout.key_of_cookie(value).expect(cookie);
            assert_eq!(key, fixture.key, "{}", fixture.by);
        }
        seen += 1;
    }
    assert!(seen > 40, "{seen}");
}

#[test]
fn every_layout_has_what_its_libraries_wrote() {
    let seen: BTreeSet<_> = fixtures().into_iter().map(|it| it.layout).collect();
    for layout in Layouts::standard().iter() {
        // What oauth2-proxy writes is enciphered; there is nothing to read in it.
        let sealed = layout.encodings() == [Encoding::Sealed];
        assert!(sealed || seen.contains(layout.name()), "{}", layout.name());
        if sealed {
            assert_eq!(layout.subject(b"\x04\x22\x4d\x18 anything"), None);
        }
    }
}

#[test]
fn keys_beside_sessions_are_none() {
    let layouts = Layouts::standard();
    for layout in layouts.iter() {
        for key in layout.companions() {
            let taken = layouts.recognise(key.as_bytes()).map(|(it, _)| it.name());
            assert_eq!(taken, None, "{key} beside {}", layout.name());
        }
    }
    let others = [
        "",
        "s",
        "sess:",
        "sess:short",
        "session:",
        "session:1",
        "cache:page:/index",
        "user:42",
        "session:xyz xyz xyz xyz xyz xyz xyz xyz xyz xyz xyz",
        "queue:default",
        "{tag}:session",
        "myapp:2::da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "celery-task-meta-0d0a1b7e",
        "laravel_database_laravel_cache:da39a3ee5e6b4b0d3255bfef95601890afd80709",
    ];
    for key in others {
        let taken = layouts.recognise(key.as_bytes()).map(|(it, _)| it.name());
        assert_eq!(taken, None, "{key}");
    }
}

#[test]
fn spring_ends_a_session_by_a_field() {
    let spring = Layouts::standard();
    let spring = spring.named("spring-session").unwrap();
    let field = b"maxInactiveInterval".as_slice();
    let all = fixtures();
    let sessions = all.iter().filter(|it| it.layout == "spring-session");
    let (ended, alive): (Vec<&Fixture>, Vec<_>) =
        sessions.partition(|it| it.by.ends_with("deleted"));
    assert!(!ended.is_empty() && !alive.is_empty());
    assert!(
        ended
            .iter()
            .all(|it| spring.ends_by(field, &it.fields[field]))
    );
    assert!(
        alive
            .iter()
            .all(|it| !spring.ends_by(field, &it.fields[field]))
    );
    assert!(!spring.ends_by(b"creationTime", &ended[0].fields[field]));
    assert!(!spring.ends_by(field, b""));
}

#[test]
fn a_stored_form_is_no_cookie() {
    // redis-rack takes `2::<hash>`, which is the name of a key, for an id, and signs its owner in.
    let layouts = Layouts::standard();
    let rack = layouts.named("rack").unwrap();
    let all = fixtures();
    let fixture = all.iter().find(|it| it.layout == "rack").unwrap();
    let key = String::from_utf8(fixture.key.clone()).unwrap();
    let stored = key.strip_prefix("rack:session:").unwrap();
    assert!(stored.starts_with("2::"));
    assert_ne!(rack.key_of_cookie(stored), Some(fixture.key.clone()));
}

#[test]
fn cookies_that_are_none_lead_nowhere() {
    for layout in Layouts::standard().iter() {
        for cookie in [
            "",
            "%",
            "%zz",
            "s:",
            "s%3A.",
            "a|b|c",
            "v2..",
            "%ff%fe",
            "||",
            "=",
            &"x".repeat(5000),
        ] {
            let key = layout.key_of_cookie(cookie);
            // Of any text there is a hash, which no session has.
            assert!(key.is_none() || layout.name() == "rack" || layout.name() == "rails");
        }
    }
    let ticket = "djIuWDI5aGRYUm9NbDl3Y205NGVTMHdNVEl6TkRVMk56ZzVZV0pqWkdWbU1ERXlNelExTmpjNE9XRmlZMlJsWmcuczNjcjN0|1795963311|sig";
    let layouts = Layouts::standard();
    let key = layouts
        .named("oauth2-proxy")
        .unwrap()
        .key_of_cookie(ticket)
        .unwrap();
    assert_eq!(key, b"_oauth2_proxy-0123456789abcdef0123456789abcdef");
    assert!(layouts.recognise(&key).is_some());
}

#[test]
fn patterns_say_what_they_are() {
    for layout in Layouts::standard().iter() {
        for pattern in layout.keys() {
            assert_eq!(Pattern::parse(&pattern.to_string()).as_ref(), Ok(pattern));
        }
    }
    for wrong in [
        "",
        "sess:",
        "{id}",
        "*{id:32}",
        "sess:{id",
        "*sess:{id:16-32}",
        "a:{id}:{id}",
        "a:{id:4}",
        "a:{id:32:odd}",
        "a:{id:9-8}",
    ] {
        assert!(Pattern::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn php_goes_on_under_the_same_id() {
    // session.use_strict_mode=0: a tombstone would lock a visitor out who signs out and in again.
    let layouts = Layouts::standard();
    assert_eq!(
        layouts.named("php").unwrap().tombstones(),
        Tombstones::Never
    );
}

//! Names in which a hash stands for the id: each layout's own, and none that opens anything.

use cloakroom_core::layout::{LayoutSetting, Layouts};

use super::fixtures;

/// Reckoned without this code: see `docs/formats/layout-seal.md`.
const FIXTURE: &[u8] = b"sess:~AgBtPJGSwlsqT8-wC5NdeVWBMZgfrTAdiEQGJkOb8kFkQ";

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|it| it == part)
}

#[test]
fn a_hashed_name_is_its_layouts_and_is_never_an_id() {
    let layouts = Layouts::standard().at_rest(true, false);
    for fixture in fixtures() {
        let (layout, id) = layouts.recognise(&fixture.key).unwrap();
        assert_eq!(layout.name(), fixture.layout);
        let Some(name) = layouts.kept_as(&fixture.key) else {
            // Its key has the hash of the id anyway.
            assert!(
                ["rack", "rails"].contains(&layout.name()),
                "{}",
                layout.name()
            );
            continue;
        };
        assert!(!contains(&name, id), "{}", layout.name());
        assert_eq!(
            layouts.kept_as(&fixture.key),
            Some(name.clone()),
            "always the same"
        );
        let (known, _) = layouts.recognise(&name).unwrap();
        assert_eq!(known.name(), layout.name());
        assert!(layouts.is_hashed(&name) && !layouts.is_hashed(&fixture.key));
        // Presented as an id it leads elsewhere; where nothing is hashed, it is no session at all.
        let again = layouts.kept_as(&name).unwrap();
        assert_ne!(again, name);
        assert!(layouts.is_hashed(&again));
        assert!(Layouts::standard().recognise(&name).is_none());
        assert!(Layouts::standard().kept_as(&fixture.key).is_none());
    }
}

#[test]
fn its_bytes_are_those_of_the_page() {
    let layouts = Layouts::standard().at_rest(true, false);
    let name = layouts
        .kept_as(b"sess:mNLwOE8QV2aJcL1Xa-bxx97ijtvSjBZK")
        .unwrap();
    assert_eq!(name, FIXTURE);
}

#[test]
fn locks_are_hashed_with_their_sessions_and_other_keys_stay() {
    let layouts = Layouts::standard().at_rest(true, false);
    for (lock, front, behind) in [
        (
            "PHPREDIS_SESSION:e3ekp9klit8708kcuf1pkg0noe_LOCK",
            "PHPREDIS_SESSION:~",
            "_LOCK",
        ),
        (
            "_oauth2_proxy-0123456789abcdef0123456789abcdef.lock",
            "_oauth2_proxy-~",
            ".lock",
        ),
    ] {
        assert!(layouts.recognise(lock.as_bytes()).is_none(), "no session");
        let name = String::from_utf8(layouts.kept_as(lock.as_bytes()).unwrap()).unwrap();
        assert!(name.starts_with(front) && name.ends_with(behind), "{name}");
        assert!(
            layouts.recognise(name.as_bytes()).is_none(),
            "nor under its other name"
        );
    }
    for key in [
        "cache:page",
        "sess:short",
        "",
        "~",
        "spring:session:sessions:expires:x",
    ] {
        assert_eq!(layouts.kept_as(key.as_bytes()), None, "{key}");
    }
}

#[test]
fn a_row_may_say_otherwise() {
    let rows = LayoutSetting::parse_all("php ids=plain values=plain; scs ids=hashed values=sealed");
    let layouts = Layouts::with(&rows.unwrap()).unwrap();
    assert!(layouts.any_hashed() && layouts.any_sealed());
    for (hashed, sealed) in [(false, false), (true, true)] {
        let layouts = layouts.clone().at_rest(hashed, sealed);
        let is = |name: &str| {
            let layout = layouts.named(name).unwrap();
            (layout.hashes_ids(), layout.seals_values())
        };
        assert_eq!(is("php"), (false, false));
        assert_eq!(is("scs"), (true, true));
        assert_eq!(is("symfony"), (hashed, sealed));
    }
    for wrong in ["php ids=secret", "php values=yes"] {
        assert!(LayoutSetting::parse_all(wrong).is_err(), "{wrong}");
    }
}

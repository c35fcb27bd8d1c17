//! Layouts as operators write them.

use cloakroom_core::ErrorKind;
use cloakroom_core::layout::{LayoutSetting, Layouts, Tombstones};

fn with(text: &str) -> Result<Layouts, cloakroom_core::Error> {
    Layouts::with(&LayoutSetting::parse_all(text)?)
}

#[test]
fn a_row_is_added_changed_or_taken_away() {
    let layouts = with(
        "shop key=shop:{id:32:hex} encoding=json subject=customer/number cookie=shop; php tombstones=always ;rails off",
    );
    let layouts = layouts.unwrap();
    let (shop, id) = layouts
        .recognise(b"shop:0123456789abcdef0123456789abcdef")
        .unwrap();
    assert_eq!((shop.name(), id.len()), ("shop", 32));
    let subject = shop.subject(b"{\"customer\":{\"number\":7}}").unwrap();
    assert_eq!(subject.as_str(), "7");
    assert_eq!(
        layouts.named("php").unwrap().tombstones(),
        Tombstones::Always
    );
    assert!(layouts.named("rails").is_none());
    assert!(layouts.named("rack").is_some());
}

#[test]
fn a_prefix_of_ones_own_is_a_row_that_changes() {
    let layouts = with("connect-redis key=myapp:{id}; django-cache head=shop:3").unwrap();
    assert!(
        layouts
            .recognise(b"sess:0123456789abcdef0123456789abcdef")
            .is_none()
    );
    assert!(
        layouts
            .recognise(b"myapp:0123456789abcdef0123456789abcdef")
            .is_some()
    );
    let key = layouts
        .named("django-cache")
        .unwrap()
        .key_of_cookie("bb3359dt4far6th8u259psvlf2n69gnb");
    assert_eq!(
        key.unwrap(),
        b"shop:3:django.contrib.sessions.cachebb3359dt4far6th8u259psvlf2n69gnb"
    );
}

#[test]
fn a_hash_of_ones_own_names_its_field() {
    let layouts = with("hashed key=h:{id} type=hash encoding=json subject=user/id").unwrap();
    let (layout, _) = layouts
        .recognise(b"h:0123456789abcdef0123456789abcdef")
        .unwrap();
    let subject =
        layout.subject_of_fields(|field| (field == b"user").then_some(b"{\"id\":\"alice\"}"));
    assert_eq!(subject.unwrap().unwrap().as_str(), "alice");
}

#[test]
fn what_means_nothing_is_refused_with_what_to_write() {
    for (text, part) in [
        ("key=x:{id}", "key=x:{id}"),
        ("x key=x", "x"),
        ("x key=x:{id}", "x"),
        ("x key=x:{id} encoding=yaml", "yaml"),
        ("x key=x:{id} encoding=json subject=a//b", "a//b"),
        ("x key=x:{id} type=hash encoding=json subject=*/b", "*/b"),
        ("php tombstones=perhaps", "perhaps"),
        ("php on", "on"),
        ("php colour=red", "colour=red"),
    ] {
        let error = with(text).expect_err(text);
        let ErrorKind::InvalidSetting { value, fix, .. } = error.kind() else {
            panic!("{error}");
        };
        assert_eq!(value, part, "{text}");
        assert!(fix.len() > 10, "{text}");
    }
    let many: String = (0..64)
        .map(|n| format!("x{n} key=x{n}:{{id}} encoding=json;"))
        .collect();
    assert!(with(&many).is_err());
}

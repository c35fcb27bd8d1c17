//! Values that no library wrote: cut, changed, nested without end, claiming sizes that are not
//! there. A reader answers or declines; it never panics, and time and memory stay in proportion.

use cloakroom_core::layout::{Layout, Layouts};
use cloakroom_core::limits;
use proptest::prelude::*;

use super::fixtures;

/// Reads `value` with every layout there is, in every way.
fn read_with_all(layouts: &Layouts, value: &[u8]) {
    for layout in layouts.iter() {
        read(layout, value);
    }
}

fn read(layout: &Layout, value: &[u8]) {
    let of_value = layout.subject_of_value(value).ok().flatten();
    let of_fields = layout.subject_of_fields(|_| Some(value)).ok().flatten();
    for subject in of_value.into_iter().chain(of_fields) {
        assert!(subject.as_str().len() <= limits::SUBJECT_BYTES);
    }
    let _ = layout.ends_by(b"maxInactiveInterval", value);
}

#[test]
fn cut_and_changed_values_are_declined() {
    let layouts = Layouts::standard();
    for fixture in fixtures() {
        let layout = layouts.named(&fixture.layout).unwrap();
        for value in fixture.value.iter().chain(fixture.fields.values()) {
            for length in 0..value.len() {
                read(layout, &value[..length]);
            }
            for place in 0..value.len() {
                for change in [0x01, 0x80, 0xff] {
                    let mut changed = value.clone();
                    changed[place] ^= change;
                    read(layout, &changed);
                }
            }
        }
    }
}

/// Values that nest as deep as their length allows, or refer to themselves.
fn deep() -> Vec<Vec<u8>> {
    let many = |text: &[u8], count: usize| text.repeat(count);
    let with = |head: &[u8], text: &[u8]| [head, &many(text, 300_000 / text.len())].concat();
    vec![
        with(b"", b"["),
        with(b"", b"{\"a\":"),
        with(b"", b"\x91"),
        with(b"", b"\x81\x81"),
        with(b"\x80\x05", b"]"),
        [with(b"\x80\x05", b"("), many(b"t", 300_000), b".".to_vec()].concat(),
        [with(b"\x80\x05", b"N"), many(b"\x85", 300_000), b".".to_vec()].concat(),
        with(b"\xac\xed\x00\x05", b"\x72\x00\x01a\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x78"),
        with(b"\xac\xed\x00\x05", b"\x73"),
        with(b"\xac\xed\x00\x05", b"\x75\x72\x00\x02[L\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x78\x70\xff\xff\xff\xff"),
        with(b"\xac\xed\x00\x05", b"\x7d\x00\x00\x00\x00"),
        with(b"x|", b"a:1:{i:0;"),
        with(b"", b"O:1:\"a\":1:{s:1:\"a\";"),
        with(b"\x04\x08", b"[\x06"),
        with(b"\x04\x08", b"I"),
        with(b"\x04\x08", b"C:\x06a"),
        with(b"\x04\x08I:\x06a\x06", b"I:\x06a\x06"),
        with(b"\x04\x08{\x06", b"{\x06"),
        with(b"", b"\x05\x01"),
        // A class that is its own parent, and an object of it.
        b"\xac\xed\x00\x05\x73\x72\x00\x01a\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x78\x71\x00\x7e\x00\x00".to_vec(),
        // A list that is in itself.
        b"\x80\x05]\x94h\x00a.".to_vec(),
        b"\x04\x08[\x06@\x00".to_vec(),
        b"a:1:{i:0;R:1;}".to_vec(),
    ]
}

#[test]
fn nesting_is_bounded() {
    // The stack of a test's thread is 2 MiB, as that of a server's worker.
    let layouts = Layouts::standard();
    for value in deep() {
        read_with_all(&layouts, &value);
    }
}

#[test]
fn claimed_sizes_take_no_memory() {
    let layouts = Layouts::standard();
    for value in [
        &b"\xdf\xff\xff\xff\xff"[..],
        b"\xdd\xff\xff\xff\xff",
        b"\x81\xdb\xff\xff\xff\xff",
        b"\x80\x05\x8d\xff\xff\xff\xff\xff\xff\xff\xffx.",
        b"\x80\x05N\x72\xff\xff\xff\xff.",
        b"\x80\x05Np9223372036854775807\n.",
        b"\xac\xed\x00\x05\x7c\xff\xff\xff\xff\xff\xff\xff\xff",
        b"a:9223372036854775807:{",
        b"a:-1:{}",
        b"s:9223372036854775807:\"\";",
        b"x|s:-5:\"\";",
        b"\x04\x08[\x04\xff\xff\xff\x7f",
        b"\x04\x08\"\xfc\x00\x00\x00\x80",
        b"\x04\x08l+\x04\xff\xff\xff\x7f",
        b"\xf8\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    ] {
        read_with_all(&layouts, value);
    }
}

#[test]
fn lists_of_the_same_list_are_not_walked_for_ever() {
    // Ten levels, each with a thousand times the same inner list: 10^30 ways to the innermost.
    let mut pickle = b"\x80\x05]\x94".to_vec();
    for level in 0..10_u8 {
        pickle.extend_from_slice(b"](");
        pickle.extend_from_slice(&[b'h', level].repeat(1_000));
        pickle.extend_from_slice(b"e\x94");
    }
    pickle.push(b'.');
    let setting = cloakroom_core::layout::LayoutSetting::parse_all(
        "x key=x:{id} encoding=pickle subject=*/*/*/*/*/*/*/*/*/*/*",
    );
    let layouts = Layouts::with(&setting.unwrap()).unwrap();
    assert_eq!(
        layouts.named("x").unwrap().subject_of_value(&pickle),
        Ok(None)
    );
}

#[test]
fn what_calls_code_names_nobody() {
    let layouts = Layouts::standard();
    let django = layouts.named("django-cache").unwrap();
    // os.system('id') as the subject: read as something opaque.
    let call = b"\x80\x02}X\x0d\x00\x00\x00_auth_user_idcos\nsystem\nX\x02\x00\x00\x00id\x85Rs.";
    assert_eq!(django.subject_of_value(call), Ok(None));
    // A session with a date in it is read all the same.
    let date = b"\x80\x02}(X\x01\x00\x00\x00acdatetime\ndate\nU\x04\x07\xea\x0b\x1d\x85RX\x0d\x00\x00\x00_auth_user_idX\x02\x00\x00\x0042u.";
    let subject = django.subject_of_value(date).unwrap();
    assert_eq!(subject.unwrap().as_str(), "42");
    // Old protocols too.
    let old = b"(dp0\nS'_auth_user_id'\np1\nI42\ns.";
    assert_eq!(django.subject(old).unwrap().as_str(), "42");
}

#[test]
fn what_cannot_be_a_subject_is_none() {
    let layouts = Layouts::standard();
    let connect = layouts.named("connect-redis").unwrap();
    let long = format!("{{\"userId\":\"{}\"}}", "x".repeat(256));
    for value in [
        "{\"userId\":\"\"}",
        "{\"userId\":null}",
        "{\"userId\":true}",
        "{\"userId\":1.5}",
        "{\"userId\":\"a\\nb\"}",
        "{\"userId\":{}}",
        "{\"userId\":[1]}",
        "{}",
        "[]",
        long.as_str(),
    ] {
        assert_eq!(
            connect.subject_of_value(value.as_bytes()),
            Ok(None),
            "{value}"
        );
    }
    for unreadable in [
        "",
        "x",
        "{",
        "{\"userId\":1}}",
        "null",
        &format!("{{\"a\":\"{}\"}}", "x".repeat(limits::LAYOUT_BYTES)),
    ] {
        assert!(
            connect.subject_of_value(unreadable.as_bytes()).is_err(),
            "{unreadable:.20}"
        );
    }
    let escaped = connect.subject(b"{\"userId\":\"zw\\u00f6lf\"}");
    assert_eq!(escaped.unwrap().as_str(), "zw\u{f6}lf");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_bytes_are_read_or_declined(value in proptest::collection::vec(any::<u8>(), 0..400)) {
        let layouts = Layouts::standard();
        read_with_all(&layouts, &value);
        let _ = layouts.recognise(&value).map(|(layout, _)| layout.name().len());
        for head in [&b"\x80\x05"[..], b"\xac\xed\x00\x05", b"\x04\x08", b"a:1:{", b"x|", b"{\"", b"\x0e\xff\x85\x04\x01\x02\xff\x86\x00\x01\x10\x01\x10\x00\x00"] {
            read_with_all(&layouts, &[head, &value].concat());
        }
    }

    #[test]
    fn any_cookie_leads_to_a_session_key_or_nowhere(value in "\\PC{0,200}") {
        let layouts = Layouts::standard();
        for layout in layouts.iter() {
            if let Some(key) = layout.key_of_cookie(&value) {
                let found = layouts.recognise(&key).map(|(it, _)| it.name());
                prop_assert_eq!(found, Some(layout.name()));
            }
        }
    }
}

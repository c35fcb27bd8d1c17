//! Ids: as random as they are said to be, one text for one id, and shown nowhere.

use std::collections::HashSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cloakroom_core::id::{ID_CHARS, KeyForm, MalformedId, SlotTag};
use cloakroom_core::record::{Changes, Value};
use cloakroom_core::session::Cookie;
use cloakroom_core::store::Lookup;
use cloakroom_core::testkit::{ReferenceStore, SeededEntropy, ThreadSpawn, block_on};
use cloakroom_core::{
    Codec, Error, ErrorKind, Handle, OsEntropy, PresentedId, SessionId, Sessions, Store, Subject,
};
use proptest::prelude::*;

fn generate() -> SessionId {
    let tag = SlotTag::random(&OsEntropy).expect("the system has randomness");
    SessionId::generate(tag, &OsEntropy).expect("the system has randomness")
}

#[test]
fn a_hundred_thousand_ids_are_different_and_balanced() {
    const IDS: u32 = 100_000;
    let mut seen = HashSet::new();
    let mut ones = [0_u32; 256];
    for _ in 0..IDS {
        let id = generate();
        assert!(seen.insert(id.expose_secret().to_owned()));
        for (place, char) in id.expose_secret().bytes().skip(2).enumerate() {
            let digit = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
                .iter()
                .position(|known| *known == char)
                .expect("an id is base64url");
            for bit in 0..6 {
                let at = place * 6 + bit;
                if at < 256 {
                    ones[at] += u32::from(digit >> (5 - bit) & 1 == 1);
                }
            }
        }
    }
    // Six standard deviations of a fair coin thrown 100 000 times: 949.
    for (bit, count) in ones.into_iter().enumerate() {
        assert!(
            count.abs_diff(IDS / 2) < 950,
            "bit {bit} is set {count} times"
        );
    }
}

#[test]
fn an_id_reads_back_and_opens_the_same_key() {
    for _ in 0..100 {
        let id = generate();
        assert_eq!(id.expose_secret().len(), ID_CHARS);
        let presented = PresentedId::parse(id.expose_secret().as_bytes()).expect("an own id");
        assert!(presented.is(&id));
        assert_eq!(presented.key(), id.key());
        assert_ne!(id.key(), generate().key());
    }
}

#[test]
fn all_that_is_no_id_is_refused() {
    let id = generate();
    let good = id.expose_secret().as_bytes().to_vec();
    let parse = |bytes: &[u8]| PresentedId::parse(bytes).err();
    assert_eq!(parse(b""), Some(MalformedId::Length));
    assert_eq!(parse(&good[..44]), Some(MalformedId::Length));
    assert_eq!(parse(&[&*good, b"A"].concat()), Some(MalformedId::Length));
    for (place, byte) in [
        (0, b'+'),
        (1, b'/'),
        (20, b'='),
        (44, b'.'),
        (30, 0),
        (30, 0xff),
    ] {
        let mut bad = good.clone();
        bad[place] = byte;
        assert_eq!(
            parse(&bad),
            Some(MalformedId::Alphabet),
            "{byte} at {place}"
        );
    }
    // 43 characters carry 258 bits: the last two must be zero, or two texts would be one id.
    let mut accepted = 0;
    for last in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
        let mut text = good.clone();
        text[44] = *last;
        accepted += u32::from(parse(&text).is_none());
    }
    assert_eq!(accepted, 16);
}

/// A store that asked for plain ids gets just what the visitor has; any other gets its hash.
#[test]
fn a_plain_key_is_the_id() {
    let id = generate();
    let presented = PresentedId::parse(id.expose_secret().as_bytes()).expect("an own id");
    let plain = id.key_as(KeyForm::Plain);
    assert_eq!(presented.key_as(KeyForm::Plain), plain);
    assert_eq!(
        URL_SAFE_NO_PAD.encode(plain.hash()),
        id.expose_secret()[2..]
    );
    assert_eq!(plain.tag(), id.key().tag());
    assert_eq!(id.key_as(KeyForm::Hashed), id.key());
    assert_ne!(plain, id.key());
    assert_eq!(
        format!("{plain:?}"),
        format!("{:?}", id.key()),
        "no more is shown of it"
    );
}

#[test]
fn nothing_shows_the_secret() {
    let (store, _) = ReferenceStore::manual();
    let shared: Arc<dyn Store> = store.clone();
    let sessions = Sessions::new(shared, Arc::new(OsEntropy), Arc::new(ThreadSpawn));
    let session = sessions.open(None);
    block_on(async {
        session
            .set("secret-field", "secret-payload")
            .expect("it fits");
        session.login("secret-subject").await.expect("a login");
    });
    let outcome = block_on(session.finish());
    let shown = format!("{outcome:?} {session:?} {sessions:?} {store:?}");
    let Cookie::Set { id, .. } = outcome.cookie else {
        panic!("a login sets a cookie");
    };
    let presented = PresentedId::parse(id.expose_secret().as_bytes()).expect("an own id");
    let Ok(Lookup::Found(loaded)) = block_on(store.load(&id.key())) else {
        panic!("a login stores a session");
    };
    let mut changes = Changes::new();
    let value = Value::new(Codec::Json, &br#""secret-payload""#[..]);
    changes.set("secret-field", value.clone()).expect("it fits");
    let error = loaded
        .record
        .fields
        .get("secret-field")
        .expect("it was set");
    let error: Error = cloakroom_core::codec::decode::<u8>("secret-field", error).unwrap_err();
    let subject = Subject::new("secret-subject").expect("a subject");
    let shown = format!(
        "{shown} {id:?} {presented:?} {:?} {loaded:?} {changes:?} {value:?} {error:?} {error} {subject:?}",
        id.key()
    );
    let mut source = std::error::Error::source(&error);
    let mut causes = String::new();
    while let Some(cause) = source {
        causes.push_str(&format!("{cause} {cause:?}"));
        source = cause.source();
    }
    for secret in [
        id.expose_secret(),
        &id.expose_secret()[2..20],
        "secret-payload",
        "secret-subject",
    ] {
        assert!(!shown.contains(secret), "{secret} is shown in {shown}");
        assert!(!causes.contains(secret), "{secret} is shown in {causes}");
    }
    let hash: String = id
        .key()
        .hash()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert!(!shown.contains(&hash[..16]), "the key is shown");
}

#[test]
fn a_failed_generator_makes_no_id() {
    let broken = cloakroom_core::testkit::FailingEntropy::after(0);
    let tag = SlotTag::new(1).expect("a tag");
    let failed = SessionId::generate(tag, &broken)
        .map(drop)
        .map_err(Error::from);
    assert_eq!(failed.unwrap_err().kind(), &ErrorKind::EntropyFailed);
    assert!(Handle::generate(&broken).is_err());
}

#[test]
fn subjects_spread_over_the_tags() {
    let tags: HashSet<u16> = (0..4096)
        .map(|number| Subject::new(&format!("user{number}")).expect("a subject"))
        .map(|subject| SlotTag::of_subject(&subject).number())
        .collect();
    // 4096 balls into 4096 bins leave 1 - 1/e of them hit: 2589.
    assert!((2400..2800).contains(&tags.len()), "{} tags", tags.len());
    assert_eq!(SlotTag::new(4096), None);
}

#[test]
fn steps_of_a_path_are_no_new_subjects() {
    for step in [".", ".."] {
        let refused = Subject::new(step).unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::Invalid { .. }));
        assert_eq!(Subject::stored(step).unwrap().as_str(), step);
    }
    assert!(Subject::new("...").is_ok() && Subject::stored("").is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        if let Ok(id) = PresentedId::parse(&bytes) {
            let _ = id.key();
        }
    }

    #[test]
    fn a_handle_reads_back(bytes in any::<[u8; 12]>()) {
        let handle = Handle::from_bytes(bytes);
        prop_assert_eq!(handle.to_string().parse::<Handle>(), Ok(handle));
    }

    #[test]
    fn ids_of_one_seed_repeat(seed in any::<u64>()) {
        let tag = SlotTag::new(7).expect("a tag");
        let id = |seed| SessionId::generate(tag, &SeededEntropy::new(seed)).expect("seeded");
        prop_assert_eq!(id(seed).key(), id(seed).key());
        prop_assert_ne!(id(seed).key(), id(seed.wrapping_add(1)).key());
    }
}

//! What a session reads during a request in which it also saves: its own writes, in whatever order they came,
//! although what the store told of it is not packed anew after each.

use cloakroom_core::Session;
use cloakroom_core::testkit::block_on;

use crate::session::{App, Browser};

#[test]
fn a_session_reads_what_it_saved_however_often() {
    let app = App::new();
    let mut browser = Browser::default();
    app.request(&mut browser, async |session| {
        for name in ["a", "b", "c", "d"] {
            session.set(name, &1).expect("it fits");
        }
    });
    let session = app.sessions.open(browser.0.as_ref());
    let read = |session: &Session| {
        let mut names = block_on(session.names()).expect("no error");
        names.sort_unstable();
        let mut all = Vec::new();
        for name in ["a", "b", "c", "d", "e"] {
            let value = block_on(session.get::<u8>(name)).expect("it decodes");
            assert_eq!(value.is_some(), names.iter().any(|known| known == name));
            all.push(value);
        }
        all
    };
    assert_eq!(read(&session), [Some(1), Some(1), Some(1), Some(1), None]);
    session.set("a", &2).expect("it fits");
    session.remove("b").expect("a removal");
    block_on(session.save()).expect("it is saved");
    assert_eq!(read(&session), [Some(2), None, Some(1), Some(1), None]);
    session.set("b", &3).expect("it fits");
    session.set("e", &3).expect("it fits");
    session.remove("c").expect("a removal");
    block_on(session.save()).expect("it is saved");
    session.remove("a").expect("a removal");
    assert_eq!(read(&session), [None, Some(3), None, Some(1), Some(3)]);
    block_on(session.save()).expect("it is saved");
    assert_eq!(block_on(session.increment("e", 4)).expect("a number"), 7);
    // Others write in between: what this request knows of its own writes stays.
    app.request(&mut browser, async |other| {
        other.set("d", &9).expect("it fits");
    });
    session.set("a", &5).expect("it fits");
    block_on(session.save()).expect("it is saved");
    assert_eq!(read(&session), [Some(5), Some(3), None, Some(1), Some(7)]);
    let next = app.sessions.open(browser.0.as_ref());
    assert_eq!(read(&next), [Some(5), Some(3), None, Some(9), Some(7)]);
}

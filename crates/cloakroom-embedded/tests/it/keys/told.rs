//! Who watches is told of every change, by whom it was made or not.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloakroom_core::Clock as _;
use cloakroom_core::testkit::ManualClock;
use cloakroom_embedded::{Change, Db, EmbeddedConfig, There, Watcher};

use crate::kit;

#[derive(Default)]
struct Heard(Mutex<Vec<(String, Change)>>);

impl Watcher for Heard {
    fn changed(&self, db: Db, key: &[u8], change: Change) {
        let name = format!("{db}:{}", str::from_utf8(key).unwrap());
        self.0.lock().unwrap().push((name, change));
    }

    fn flushed(&self, db: Option<Db>, _: &mut There<'_>) {
        let name = format!("{db:?}");
        self.0.lock().unwrap().push((name, Change::Del));
    }

    fn swapped(&self, one: Db, other: Db, _: &mut There<'_>) {
        let name = format!("{one}<>{other}");
        self.0.lock().unwrap().push((name, Change::Set));
    }
}

impl Heard {
    fn take(&self) -> Vec<(String, Change)> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[test]
fn of_every_change() {
    let clock = ManualClock::new();
    let engine = kit::store(&clock, EmbeddedConfig::new()).engine();
    let heard = Arc::new(Heard::default());
    assert!(engine.watch(Arc::clone(&heard) as Arc<dyn Watcher>));
    let soon = Some(clock.now().saturating_add(Duration::from_secs(1)));
    let told = |list: &[(&str, Change)]| {
        let list: Vec<_> = list
            .iter()
            .map(|(it, how)| ((*it).to_owned(), *how))
            .collect();
        assert_eq!(heard.take(), list);
    };
    engine.with_all(|tx| {
        tx.set_string(0, b"s", b"v", soon).unwrap();
        told(&[("0:s", Change::Set), ("0:s", Change::Expire)]);
        tx.set_deadline(0, b"s", None);
        told(&[("0:s", Change::Persist)]);
        tx.set_deadline(0, b"s", None);
        told(&[]);
        tx.set_deadline(0, b"s", soon);
        told(&[("0:s", Change::Expire)]);
        tx.hash_set(1, b"h", b"f", b"v").unwrap();
        tx.hash_set_field_deadline(1, b"h", b"f", soon).unwrap();
        told(&[("1:h", Change::HashSet), ("1:h", Change::HashExpire)]);
        tx.set_add(0, b"t", b"m").unwrap();
        tx.set_add(0, b"t", b"m").unwrap();
        tx.set_remove(0, b"t", b"m").unwrap();
        told(&[
            ("0:t", Change::SetAdd),
            ("0:t", Change::SetRemove),
            ("0:t", Change::Del),
        ]);
        tx.sorted_put(0, b"z", b"m", 1.0).unwrap();
        tx.sorted_put(0, b"z", b"m", 1.0).unwrap();
        tx.rename((0, b"z"), (0, b"y")).unwrap();
        tx.remove(0, b"y");
        told(&[
            ("0:z", Change::SortedSetAdd),
            ("0:z", Change::RenameFrom),
            ("0:y", Change::RenameTo),
            ("0:y", Change::Del),
        ]);
    });
    clock.advance(Duration::from_secs(1));
    engine
        .with_key(0, b"s", |tx| tx.string(0, b"s").map(|it| it.is_some()))
        .unwrap();
    told(&[("0:s", Change::Expired)]);
    engine.with_key(1, b"h", |tx| tx.kind(1, b"h"));
    told(&[("1:h", Change::HashExpired), ("1:h", Change::Del)]);
    engine.with_all(|tx| {
        tx.flush(Some(3));
        tx.swap(1, 2);
        tx.flush(None);
    });
    told(&[
        ("Some(3)", Change::Del),
        ("1<>2", Change::Set),
        ("None", Change::Del),
    ]);
}

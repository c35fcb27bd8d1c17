//! The contract of `cloakroom_core::store` on the embedded store, case by case, and its simulation.
//! With few shards, so that keys meet in one; and with the default number.

use std::sync::Arc;

use cloakroom_core::session::BoxFuture;
use cloakroom_core::testkit::{Fresh, ManualClock, StoreFactory, Time, sim};
use cloakroom_embedded::journal::{Durability, JournalConfig};
use cloakroom_embedded::{EmbeddedConfig, EmbeddedStore};

use crate::journal::disk::FakeDisk;

/// Makes empty embedded stores with so many shards.
struct Embedded<const SHARDS: usize>;

impl<const SHARDS: usize> StoreFactory for Embedded<SHARDS> {
    fn fresh(&self) -> BoxFuture<Fresh> {
        let clock = ManualClock::new();
        let config = EmbeddedConfig::new()
            .shards(SHARDS)
            .clock(Arc::new(clock.clone()))
            .housekeeping(false);
        let store = EmbeddedStore::new(config).unwrap();
        Box::pin(async move {
            Fresh {
                store: Arc::new(store),
                time: Time::Driven(clock),
            }
        })
    }
}

mod few_shards {
    use super::Embedded;

    const EMBEDDED: Embedded<2> = Embedded;
    cloakroom_core::contract_tests!(EMBEDDED);
}

mod many_shards {
    use super::Embedded;

    const EMBEDDED: Embedded<64> = Embedded;
    cloakroom_core::contract_tests!(EMBEDDED);
}

/// Makes empty stores that keep a journal, and wait for it before they answer.
struct Journaled;

impl StoreFactory for Journaled {
    fn fresh(&self) -> BoxFuture<Fresh> {
        let clock = ManualClock::new();
        let journal = JournalConfig::new(Arc::new(FakeDisk::default()));
        let config = EmbeddedConfig::new()
            .journal(journal.durability(Durability::Always))
            .shards(4)
            .clock(Arc::new(clock.clone()))
            .housekeeping(false);
        let store = EmbeddedStore::new(config).unwrap();
        Box::pin(async move {
            Fresh {
                store: Arc::new(store),
                time: Time::Driven(clock),
            }
        })
    }
}

mod with_a_journal {
    use super::Journaled;

    cloakroom_core::contract_tests!(Journaled);
}

#[test]
fn holds_in_the_simulation() {
    sim::check(&Embedded::<2>, 300);
}

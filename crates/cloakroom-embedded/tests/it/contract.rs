//! The contract of `cloakroom_core::store` on the embedded store, case by case, and its simulation.
//! With few shards, so that keys meet in one; and with the default number.

use std::sync::Arc;

use cloakroom_core::session::BoxFuture;
use cloakroom_core::testkit::{Fresh, ManualClock, StoreFactory, Time, sim};
use cloakroom_embedded::{EmbeddedConfig, EmbeddedStore};

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

#[test]
fn holds_in_the_simulation() {
    sim::check(&Embedded::<2>, 300);
}

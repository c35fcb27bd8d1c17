//! The thread that sweeps. It holds the store weakly, so that dropping the last handle ends both.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Weak;
use std::thread;
use std::time::{Duration, Instant};

use cloakroom_core::{Error, ErrorKind};

use crate::store::Inner;

/// Between two sweeps. The wheel's finest bucket is a second, so sessions go 1 to 1.25 s after
/// their end, if nobody read them before.
const PAUSE: Duration = Duration::from_millis(250);

pub(crate) fn start(store: Weak<Inner>) -> Result<(), Error> {
    let sweeping = thread::Builder::new().name("cloakroom-sweep".into());
    let started = sweeping.spawn(move || {
        loop {
            thread::sleep(PAUSE);
            match store.upgrade() {
                // The application's observer or clock may panic; the shards are whole then, and
                // whoever stopped sweeping for that would keep all that expires from now on.
                Some(store) => {
                    drop(catch_unwind(AssertUnwindSafe(|| store.sweep())));
                    store.rewrite_if_due();
                    store.watch_journal(Instant::now());
                }
                None => return,
            }
        }
    });
    match started {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::new(ErrorKind::StoreUnavailable).with_source(error)),
    }
}

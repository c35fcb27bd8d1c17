//! Tells the log what becomes of the journal: that it takes no writes, that it does again, that it could not be
//! written anew. Clients of the Redis protocol are told to look there, and no call over HTTP need ever come by.

use std::task::Poll;
use std::time::{Duration, Instant};

use cloakroom_embedded::EmbeddedStore;
use cloakroom_embedded::journal::JournalError;

use crate::availability::{Availability, News};

/// Between two looks. A full disk is tried again as often, so that none which refused a write is missed.
const LOOK: Duration = Duration::from_millis(100);

/// Begins to look at the journal of this store, if it has one.
pub(super) fn start(store: &EmbeddedStore) {
    tokio::spawn(watch(store.clone()));
}

/// Looks until the journal is closed, or for ever.
async fn watch(store: EmbeddedStore) {
    let (takes, mut failures) = (Availability::default(), 0);
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(journal) = store.journal() else {
            return;
        };
        match journal.admits() {
            Poll::Ready(Err(JournalError::Closed)) => return,
            Poll::Ready(Err(why)) => refuses(&takes, &why),
            Poll::Ready(Ok(())) | Poll::Pending => {
                if let Some(News::Back(lasted, _)) = takes.answered(Instant::now()) {
                    let seconds = lasted.as_secs();
                    tracing::warn!(seconds, "the journal takes writes again");
                }
            }
        }
        let rewrites = store.rewrites();
        if rewrites.failures > failures {
            failures = rewrites.failures;
            let reason = rewrites.failed.unwrap_or_default();
            tracing::error!(
                reason,
                "the journal could not be written anew, and grows; it is tried again in a minute"
            );
        }
    }
}

fn refuses(takes: &Availability, why: &JournalError) {
    match takes.failed(Instant::now()) {
        Some(News::Lost) => {
            tracing::error!(%why, "the journal takes no writes: they are refused, reads go on");
        }
        Some(News::StillLost(lasted, _)) => {
            let seconds = lasted.as_secs();
            tracing::error!(seconds, %why, "the journal still takes no writes");
        }
        Some(News::Back(..)) | None => {}
    }
}

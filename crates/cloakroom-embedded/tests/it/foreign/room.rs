//! Sessions where memory is short.

use cloakroom_embedded::Eviction;

use super::*;

const LIMIT: u64 = 2 << 20;

/// What is known of a session leaves with it, neither before nor after: else nobody could list or revoke it.
#[test]
fn who_is_evicted_is_listed_no_more_and_all_others_are() {
    for eviction in [
        Eviction::VolatileLru,
        Eviction::VolatileTtl,
        Eviction::AllkeysLru,
    ] {
        let config = EmbeddedConfig::new()
            .max_memory(Some(LIMIT))
            .eviction(eviction);
        let front = front_on(ForeignConfig::default(), config, ManualClock::new());
        let pad = "x".repeat(300);
        for number in 0..20_000 {
            let key = format!("sess:{number:032}");
            let value = format!("{{\"user\":\"alice\",\"pad\":\"{pad}\"}}");
            front.setex(key.as_bytes(), value.as_bytes());
            // Some are read again and again: those are to stay, and be listed.
            let again = format!("sess:{:032}", number / 2);
            front.get(again.as_bytes());
        }
        let there = front.engine.len(0);
        assert!((1_000..20_000).contains(&there), "{there} of 20000 fit");
        assert_eq!(front.of("alice").len(), there, "{eviction:?}");
    }
}

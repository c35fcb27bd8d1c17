//! When a session is over: a table of moments, and what holds at every moment.

use std::time::Duration;

use cloakroom_core::expiry::{Limit, Times, Verdict, decide};
use cloakroom_core::{ErrorKind, Lifetimes, UnixMillis};
use proptest::prelude::*;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const fn at(secs: u64) -> UnixMillis {
    UnixMillis::new(1_000_000_000 + secs * 1000)
}

fn alive(remaining: u64, touch_due: bool) -> Verdict {
    Verdict::Alive {
        remaining: secs(remaining),
        touch_due,
    }
}

#[test]
fn every_moment_has_its_verdict() {
    let both = Lifetimes::new(secs(600), secs(3600)).expect("lifetimes");
    let fixed = Lifetimes::fixed(secs(3600)).expect("lifetimes");
    let (idle, absolute) = (
        Verdict::Expired(Limit::Idle),
        Verdict::Expired(Limit::Absolute),
    );
    // Lifetimes, last seen, signed in, now: verdict.
    let table = [
        (both, 0, None, 0, alive(600, false)),
        (both, 0, None, 59, alive(541, false)),
        (both, 0, None, 60, alive(540, true)),
        (both, 0, None, 599, alive(1, true)),
        (both, 0, None, 600, idle),
        (both, 3500, None, 3500, alive(100, false)),
        (both, 3500, None, 3599, alive(1, true)),
        (both, 3500, None, 3600, absolute),
        (both, 3500, Some(1000), 3600, alive(500, true)),
        (both, 4550, Some(1000), 4600, absolute),
        (fixed, 0, None, 3599, alive(1, false)),
        (fixed, 3599, None, 3600, absolute),
    ];
    for (lifetimes, seen, signed_in, now, verdict) in table {
        let times = Times {
            created_at: at(0),
            authenticated_at: signed_in.map(at),
            seen_at: at(seen),
            lifetimes,
        };
        assert_eq!(decide(&times, at(now)), verdict, "seen {seen}, now {now}");
    }
}

#[test]
fn a_touch_is_due_in_proportion() {
    let interval = |idle| {
        let lifetimes = Lifetimes::new(secs(idle), secs(400 * 86_400)).expect("lifetimes");
        lifetimes.touch_interval().expect("an idle limit")
    };
    let table = [
        (1, 250),
        (60, 15_000),
        (240, 60_000),
        (1800, 90_000),
        (86_400, 4_320_000),
    ];
    for (idle, millis) in table {
        assert_eq!(
            interval(idle),
            Duration::from_millis(millis),
            "idle {idle} s"
        );
    }
    assert_eq!(
        Lifetimes::fixed(secs(60))
            .expect("a lifetime")
            .touch_interval(),
        None
    );
}

#[test]
fn lifetimes_have_limits() {
    let bad = [
        secs(0),
        Duration::from_millis(999),
        secs(400 * 86_400 + 1),
        Duration::MAX,
    ];
    for lifetime in bad {
        for (setting, made) in [
            ("idle", Lifetimes::new(lifetime, secs(60))),
            ("absolute", Lifetimes::new(secs(60), lifetime)),
            ("absolute", Lifetimes::fixed(lifetime)),
            ("idle", Lifetimes::sliding(lifetime)),
        ] {
            let error = made.unwrap_err();
            let named = matches!(error.kind(), ErrorKind::InvalidSetting { setting: name, .. } if *name == setting);
            assert!(named, "{lifetime:?}: {error}");
        }
    }
    let sliding = Lifetimes::sliding(secs(60)).expect("a lifetime");
    assert_eq!(sliding.absolute(), secs(400 * 86_400));
}

proptest! {
    /// Whatever the clock does: what is left never exceeds a limit, and ends at the deadline.
    #[test]
    fn what_is_left_is_within_the_limits(
        idle in 1..100_000_u64, absolute in 1..100_000_u64,
        created in 0..1_000_000_u64, seen in 0..1_000_000_u64, now in 0..1_000_000_u64,
        authenticated in proptest::option::of(0..1_000_000_u64),
    ) {
        let lifetimes = Lifetimes::new(secs(idle), secs(absolute)).expect("lifetimes");
        let times = Times {
            created_at: UnixMillis::new(created),
            authenticated_at: authenticated.map(UnixMillis::new),
            seen_at: UnixMillis::new(seen),
            lifetimes,
        };
        let now = UnixMillis::new(now);
        match decide(&times, now) {
            Verdict::Alive { remaining, .. } => {
                prop_assert!(now < times.deadline());
                prop_assert!(remaining > Duration::ZERO);
                prop_assert!(remaining <= secs(idle) && remaining <= secs(absolute));
                prop_assert!(now.saturating_add(remaining) <= times.deadline());
            }
            Verdict::Expired(Limit::Absolute) => prop_assert!(now >= times.absolute_deadline()),
            Verdict::Expired(Limit::Idle) => prop_assert!(now >= times.deadline()),
        }
    }
}

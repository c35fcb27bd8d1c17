//! The table of cases: one theme a file, one promise a case. From it come [`CASES`], the tests that
//! `contract_tests!` makes, and the report.

mod cancellation;
mod clock;
mod creation;
mod device_cap;
mod expiry;
mod late_response;
mod limits;
mod listing;
mod lost_update;
mod revocation;
mod rotation;
mod subjects;
mod tombstone;
mod zombie;

use std::fmt;
use std::panic::AssertUnwindSafe;

use super::kit::{Broken, Checked, Kit, StoreFactory, Time};
use crate::session::BoxFuture;

/// One case of the contract.
#[derive(Clone, Copy)]
pub struct Case {
    /// `theme::what_holds`
    pub name: &'static str,
    /// Which promise of [`crate::store`] it is about, from 1.
    pub promise: u8,
    /// Whether it needs [`Time::Driven`].
    pub driven: bool,
    run: fn(Kit) -> BoxFuture<Checked>,
}

/// What came of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The promise was kept.
    Kept,
    /// It was not: how that was seen.
    Broken(String),
    /// The case needs a clock that can be moved.
    LeftOut,
}

/// What came of all cases.
#[derive(Clone, Debug)]
pub struct Report(pub Vec<(Case, Verdict)>);

impl Case {
    /// Tries a fresh store of `factory`.
    pub async fn check(&self, factory: &dyn StoreFactory) -> Verdict {
        let fresh = factory.fresh().await;
        if self.driven && matches!(fresh.time, Time::Real { .. }) {
            return Verdict::LeftOut;
        }
        let mut case = (self.run)(Kit::new(fresh, factory.spawn()));
        let checked = std::future::poll_fn(|context| {
            let polled = AssertUnwindSafe(|| case.as_mut().poll(context));
            match std::panic::catch_unwind(polled) {
                Ok(poll) => poll,
                Err(_) => std::task::Poll::Ready(Err(Broken("the store panicked".to_owned()))),
            }
        });
        match checked.await {
            Ok(()) => Verdict::Kept,
            Err(Broken(words)) => Verdict::Broken(words),
        }
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Case({})", self.name)
    }
}

impl Report {
    /// Whether no promise was broken.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.broken().next().is_none()
    }

    /// The cases that were not kept, and how that was seen.
    pub fn broken(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().filter_map(|(case, verdict)| match verdict {
            Verdict::Broken(words) => Some((case.name, words.as_str())),
            Verdict::Kept | Verdict::LeftOut => None,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (case, verdict) in &self.0 {
            let (sign, words) = match verdict {
                Verdict::Kept => ("kept  ", String::new()),
                Verdict::Broken(words) => ("BROKEN", format!(": {words}")),
                Verdict::LeftOut => ("left out", " (needs a clock that can be moved)".to_owned()),
            };
            writeln!(f, "{sign} {} (promise {}){words}", case.name, case.promise)?;
        }
        Ok(())
    }
}

/// Tries every case, each on a fresh store.
pub async fn contract(factory: &dyn StoreFactory) -> Report {
    let mut results = Vec::with_capacity(CASES.len());
    for case in CASES {
        results.push((*case, case.check(factory).await));
    }
    Report(results)
}

/// Runs the case `name` as a test: panics if the promise is not kept.
///
/// # Panics
/// If the promise is not kept, or there is no such case.
pub fn test_case(name: &str, factory: impl StoreFactory) {
    let case = CASES.iter().find(|case| case.name == name);
    let case = case.unwrap_or_else(|| panic!("the contract has no case {name}"));
    let factory = std::sync::Arc::new(factory);
    let shared = std::sync::Arc::clone(&factory);
    factory.run(Box::pin(async move {
        if let Verdict::Broken(words) = case.check(&*shared).await {
            panic!("{} (promise {}): {words}", case.name, case.promise);
        }
    }));
}

/// Makes a test of every case of the contract, for the stores of a factory.
///
/// ```
/// mod contract {
///     use cloakroom_core::testkit::ReferenceFactory;
///     cloakroom_core::contract_tests!(ReferenceFactory);
/// }
/// ```
#[macro_export]
macro_rules! contract_tests {
    ($factory:expr) => {
        $crate::__each_contract_case! { ($crate::__contract_test) ($factory) }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __contract_test {
    (($factory:expr) $($theme:ident { $($promise:literal $needs:ident $case:ident;)* })*) => {
        $(mod $theme {
            #[allow(unused_imports, reason = "a factory may be named by its full path")]
            use super::*;
            $(#[test]
            fn $case() {
                let name = concat!(stringify!($theme), "::", stringify!($case));
                $crate::testkit::test_case(name, $factory);
            })*
        })*
    };
}

macro_rules! table {
    (() $($theme:ident { $($promise:literal $needs:ident $case:ident;)* })*) => {
        /// Every case of the contract.
        pub const CASES: &[Case] = &[$($(Case {
            name: concat!(stringify!($theme), "::", stringify!($case)),
            promise: $promise,
            driven: is_driven(stringify!($needs)),
            run: |kit| Box::pin(async move { $theme::$case(&kit).await }),
        },)*)*];
    };
}

/// THE table: promise, `any` clock or a `driven` one, name.
#[doc(hidden)]
#[macro_export]
macro_rules! __each_contract_case {
    (($($callback:tt)*) ($($arguments:tt)*)) => {
        $($callback)*! { ($($arguments)*)
            lost_update {
                1 any different_fields_all_stay;
                1 any one_field_has_a_whole_value;
                1 any increments_all_count;
                1 any interleaved_increments_all_count;
                1 any one_of_many_conditions_holds;
                1 any a_condition_decides;
                1 any a_failed_write_changes_nothing;
                1 any a_write_does_what_it_says;
            }
            zombie {
                2 any after_destroy;
                2 any after_revoke;
                2 any after_revoke_subject;
                2 any after_revoke_all;
                2 any after_idle_expiry;
                2 any after_absolute_expiry;
                2 any the_id_from_before_a_login;
                2 any writes_in_flight_during_the_end;
            }
            creation {
                2 any a_new_session_reads_back;
                2 any a_key_is_taken_once;
                2 any a_subject_has_its_tag;
            }
            rotation {
                3 any moves_the_whole_session;
                3 any the_old_id_forwards;
                2 any the_old_id_dies_after_the_grace;
                2 driven the_grace_is_limited;
                2 any a_login_leaves_no_forward;
                3 any a_login_follows_the_forward;
                2 any a_login_keeps_what_it_may;
                2 any a_superseded_id_does_not_rotate;
                3 any a_chain_forwards;
                1 any writers_racing_a_rotation;
                2 any one_of_many_rotations_happens;
                3 any a_failed_rotation_changes_nothing;
            }
            late_response {
                2 any after_a_rotation;
                2 any of_a_slow_rotation;
                2 any after_a_login;
                2 any after_a_logout;
                2 any in_every_order;
                2 any an_unknown_id_is_not_adopted;
            }
            expiry {
                4 any an_idle_session_ends;
                4 driven the_deadline_is_exact;
                4 any activity_slides_the_idle_limit;
                4 any nothing_moves_the_absolute_limit;
                4 any a_login_restarts_the_absolute_limit;
                4 any granted_lifetimes_survive_writes;
                4 any a_fixed_session_needs_no_activity;
                4 driven a_touch_is_due_in_time;
            }
            clock {
                4 driven told_dead_stays_dead;
                4 driven back_is_no_logout_and_no_gift;
                4 driven jumps_do_not_move_the_absolute_limit;
                4 driven a_forward_does_not_come_back;
            }
            tombstone {
                5 any a_key_that_never_was_is_unknown;
                5 driven an_ended_key_is_remembered;
            }
            subjects {
                2 any the_listing_is_the_truth;
                4 any the_listing_forgets_the_expired;
                3 any the_listing_is_ordered;
            }
            device_cap {
                3 any parallel_logins_revoke_the_oldest;
                3 any parallel_logins_are_refused;
                3 any the_oldest_goes_first;
                3 any a_refused_login_changes_nothing;
                2 any logins_racing_a_revocation;
            }
            revocation {
                2 any a_subjects_sessions_end;
                2 any the_spared_session_may_have_rotated;
                2 any revoke_all_ends_everything;
            }
            limits {
                1 any what_is_too_large_is_refused;
                3 any what_just_fits_is_stored;
                1 any a_counter_does_not_overflow;
            }
            listing {
                3 any a_scan_sees_everybody;
                3 any a_scan_misses_nobody_who_stays;
                3 any stats_count_sessions;
            }
            cancellation {
                6 any create_is_whole_or_not;
                6 any apply_is_whole_or_not;
                6 any rotate_is_whole_or_not;
                6 any login_is_whole_or_not;
                6 any an_end_is_whole_or_not;
            }
        }
    };
}

__each_contract_case! { (table) () }

const fn is_driven(needs: &str) -> bool {
    needs.len() == "driven".len()
}

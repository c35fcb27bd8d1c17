//! Stores that are wrong in one way each. A test kit that was never seen to fail proves nothing:
//! the kit must catch every one of these, and by the right case.

mod kept;
mod steps;
mod store;

use std::sync::Arc;

use super::clock::ManualClock;
use super::kit::{Fresh, StoreFactory, Time};
use crate::session::BoxFuture;

pub use store::BrokenStore;

/// Makes stores with one flaw.
#[derive(Clone, Copy, Debug)]
pub struct BrokenFactory(
    /// The flaw.
    pub Flaw,
);

impl StoreFactory for BrokenFactory {
    fn fresh(&self) -> BoxFuture<Fresh> {
        let clock = ManualClock::new();
        let store = Arc::new(BrokenStore::new(self.0, Arc::new(clock.clone())));
        Box::pin(async move {
            Fresh {
                store,
                time: Time::Driven(clock),
            }
        })
    }
}

/// A flaw, and the cases of the contract that must catch it.
#[derive(Clone, Copy, Debug)]
pub struct Specimen {
    /// The flaw.
    pub flaw: Flaw,
    /// What the store does wrong, in words.
    pub what: &'static str,
    /// Names of cases; others may catch it, too.
    pub caught_by: &'static [&'static str],
}

macro_rules! flaws {
    ($($(#[doc = $what:literal])+ $flaw:ident: $($case:literal),+;)*) => {
        /// One way to be wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Flaw {
            $($(#[doc = $what])+ $flaw,)*
        }

        /// Every flaw, and what catches it.
        pub const SPECIMENS: &[Specimen] = &[$(Specimen {
            flaw: Flaw::$flaw,
            what: concat!($($what),+),
            caught_by: &[$($case),+],
        },)*];
    };
}

flaws! {
    /// A write puts back the whole record that it has read.
    WholeRecordOverwrite: "lost_update::different_fields_all_stay";
    /// An increment reads, and then sets.
    IncrementReadsAndSets: "lost_update::interleaved_increments_all_count";
    /// Conditions are not looked at.
    ConditionIgnored: "lost_update::a_condition_decides";
    /// A condition is looked at before the write, in a step of its own.
    ConditionOutsideTheStep: "lost_update::one_of_many_conditions_holds";
    /// A write that fails has done the changes before the one that failed.
    HalfOfAFailedWrite: "lost_update::a_failed_write_changes_nothing";
    /// A write changes field by field, each in a step of its own.
    WriteInSteps: "cancellation::apply_is_whole_or_not";
    /// Writes are not counted.
    VersionNotCounted: "lost_update::a_write_does_what_it_says";

    /// A write to a key that is absent creates a session.
    WriteCreates: "zombie::after_destroy", "tombstone::a_key_that_never_was_is_unknown";
    /// A write looks whether the session is there, and writes it back in another step.
    WriteBackRevives: "zombie::writes_in_flight_during_the_end";
    /// A touch brings an ended session back.
    TouchRevives: "zombie::after_destroy";
    /// A destroy is acknowledged, and done by the next operation but one.
    DestroyIsLate: "zombie::after_destroy";
    /// What is told at once is what was told when the session was last read.
    TellsAtOnceWhatWas: "late_response::after_a_logout", "expiry::an_idle_session_ends",
        "revocation::a_subjects_sessions_end";
    /// A new session takes the place of the one that has the key.
    CreateOverwrites: "creation::a_key_is_taken_once";
    /// A key that ended can be created again at once.
    CreateOverTombstone: "zombie::after_revoke";
    /// Any slot tag will do for a subject's session.
    TagNotChecked: "creation::a_subject_has_its_tag";
    /// An ended key is forgotten at once.
    NoTombstone: "tombstone::an_ended_key_is_remembered", "late_response::after_a_logout";
    /// An ended key is never forgotten.
    TombstoneForEver: "tombstone::an_ended_key_is_remembered";

    /// A rotation removes the old session before it has written the new one.
    RotateDeletesFirst: "cancellation::rotate_is_whole_or_not";
    /// A rotation leaves no forward.
    RotateForgetsTheOld: "rotation::the_old_id_forwards", "late_response::after_a_rotation";
    /// A rotation copies the session, and the old one lives on.
    RotateCopies: "rotation::the_old_id_forwards";
    /// The old id forwards after a login, too.
    LoginForwards: "rotation::a_login_leaves_no_forward", "zombie::the_id_from_before_a_login";
    /// The old id forwards for ever.
    ForwardsForEver: "rotation::the_old_id_dies_after_the_grace";
    /// The grace may be as long as anybody asks for.
    GraceNotLimited: "rotation::the_grace_is_limited";
    /// A chain of rotations is followed for one hop.
    ForwardsOneHop: "rotation::a_chain_forwards";
    /// A superseded id can be rotated again.
    SupersededRotates: "rotation::a_superseded_id_does_not_rotate",
        "rotation::one_of_many_rotations_happens";
    /// A destroy by a superseded id ends nothing.
    DestroyDoesNotFollow: "rotation::a_chain_forwards";
    /// A rotation to a key that is taken replaces whoever has it.
    RotateOverwrites: "rotation::a_failed_rotation_changes_nothing";
    /// A login keeps all data, another subject's too.
    LoginKeepsEverything: "rotation::a_login_keeps_what_it_may";

    /// Expired sessions are served until somebody sweeps.
    ServedUntilSwept: "expiry::an_idle_session_ends", "zombie::after_idle_expiry";
    /// Touches move the absolute limit.
    TouchMovesAbsolute: "expiry::nothing_moves_the_absolute_limit";
    /// Writes move the absolute limit.
    WriteMovesAbsolute: "expiry::nothing_moves_the_absolute_limit";
    /// Rotations move the absolute limit.
    RotateMovesAbsolute: "expiry::nothing_moves_the_absolute_limit";
    /// A login does not restart the absolute limit.
    LoginRestartsNothing: "expiry::a_login_restarts_the_absolute_limit";
    /// A write gives the session the default lifetimes.
    WriteForgetsLifetimes: "expiry::granted_lifetimes_survive_writes";
    /// A touch is told to be done, and is not.
    TouchDoesNothing: "expiry::activity_slides_the_idle_limit";
    /// A read counts as activity.
    ReadsSlide: "expiry::activity_slides_the_idle_limit";
    /// What is left is told without the absolute limit.
    RemainingIsIdleAlone: "expiry::nothing_moves_the_absolute_limit";
    /// A deadline is the last moment of life.
    OneMillisecondMore: "expiry::the_deadline_is_exact";
    /// What was told to be dead lives again when the clock goes back.
    ClockRevives: "clock::told_dead_stays_dead";
    /// A clock that goes back ends the sessions of the future.
    ClockLogsOut: "clock::back_is_no_logout_and_no_gift";

    /// The listing keeps sessions that ended.
    IndexLeaks: "subjects::the_listing_is_the_truth", "zombie::after_destroy";
    /// The listing loses sessions that rotate.
    IndexMissesRotated: "subjects::the_listing_is_the_truth",
        "revocation::a_subjects_sessions_end";
    /// The listing keeps sessions that went to another subject.
    IndexKeepsTheFormerOwner: "subjects::the_listing_is_the_truth";
    /// The listing learns of a login one operation later, so a revocation misses it.
    IndexIsLate: "subjects::the_listing_is_the_truth", "zombie::after_revoke_subject";
    /// The listing has the first signed in first.
    ListedBackwards: "subjects::the_listing_is_ordered";
    /// The device cap counts in a step of its own, before the login.
    CapOutsideTheStep: "device_cap::parallel_logins_revoke_the_oldest",
        "device_cap::parallel_logins_are_refused";
    /// The device cap is not looked at when a visitor signs in.
    CapIgnoresRotation: "device_cap::a_refused_login_changes_nothing";
    /// The device cap ends those who signed in last.
    CapEndsTheNewest: "device_cap::the_oldest_goes_first";
    /// The device cap counts a session twice that signs in again.
    CapCountsItself: "device_cap::the_oldest_goes_first";

    /// A revocation finds the sessions in one step and ends them in another; one that rotates in
    /// between gets away.
    RevokeMissesTheRotating: "zombie::writes_in_flight_during_the_end";
    /// Anybody's session can be revoked by its handle.
    RevokeIgnoresTheOwner: "subjects::the_listing_is_the_truth";
    /// The spared session is not spared.
    RevokeSparesNobody: "revocation::a_subjects_sessions_end";
    /// `revoke_all` misses sessions that have rotated.
    RevokeAllMissesRotated: "revocation::revoke_all_ends_everything";
    /// `revoke_all` is a time, and ends what begins in the same millisecond.
    RevokeAllByTime: "revocation::revoke_all_ends_everything";
    /// A scan counts places, so a session that ends moves others out of sight.
    ScanCountsPlaces: "listing::a_scan_misses_nobody_who_stays";
}

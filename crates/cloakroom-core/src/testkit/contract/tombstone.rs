//! Promise 5: for a while an ended key answers that it ended, so that a late response leaves the
//! browser's cookie alone; and not for ever, because everything is bounded.

use std::time::Duration;

use crate::limits;
use crate::record::Condition;
use crate::store::{Absence, Applied, Rotated};
use crate::testkit::kit::{Checked, Kit, adds, ensure_eq, grace, subject};

/// A key that nobody had is unknown, to every operation.
pub(super) async fn a_key_that_never_was_is_unknown(kit: &Kit) -> Checked {
    let key = kit.key()?;
    ensure_eq!(
        kit.gone(&key, "never created").await?,
        Absence::Unknown,
        "why"
    );
    let applied = kit
        .store
        .apply(&key, &adds("x", 1)?, &Condition::Always)
        .await?;
    ensure_eq!(applied, Applied::Absent(Absence::Unknown), "a write");
    let rotated = kit
        .store
        .rotate(&key, &kit.key()?, &grace(Duration::ZERO))
        .await?;
    ensure_eq!(rotated, Rotated::Absent(Absence::Unknown), "a rotation");
    ensure_eq!(kit.store.destroy(&key).await?, false, "a destroy");
    ensure_eq!(
        kit.gone(&key, "after all of these").await?,
        Absence::Unknown,
        "why"
    );
    Ok(())
}

/// Destroyed, revoked and superseded keys are told to have ended, for as long as was promised.
pub(super) async fn an_ended_key_is_remembered(kit: &Kit) -> Checked {
    let user = subject("alice")?;
    let (destroyed, _) = kit.begin(&kit.of(&user)?).await?;
    let (revoked, record) = kit.begin(&kit.of(&user)?).await?;
    let (before_login, _) = kit.begin(&kit.anonymous()?).await?;
    let (superseded, _) = kit.begin(&kit.anonymous()?).await?;
    kit.store.destroy(&destroyed).await?;
    kit.store.revoke(&user, &record.handle).await?;
    kit.turn(&before_login, &kit.login(&user)?).await?;
    kit.turn(&superseded, &grace(Duration::ZERO)).await?;
    let keys = [destroyed, revoked, before_login, superseded];
    let remembered = limits::TOMBSTONE.saturating_sub(Duration::from_millis(1));
    for wait in [Duration::ZERO, remembered] {
        kit.pass(wait).await;
        for (number, key) in keys.iter().enumerate() {
            let absence = kit.gone(key, "after its end").await?;
            ensure_eq!(
                absence,
                Absence::Ended,
                "why key {number} is absent after {wait:?}"
            );
        }
    }
    kit.pass(Duration::from_secs(3600)).await;
    for (number, key) in keys.iter().enumerate() {
        let absence = kit.gone(key, "an hour after its end").await?;
        ensure_eq!(
            absence,
            Absence::Unknown,
            "why key {number} is absent after an hour"
        );
    }
    Ok(())
}

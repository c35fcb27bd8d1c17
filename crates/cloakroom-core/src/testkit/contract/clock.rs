//! A clock that goes wrong: what was dead stays dead, nobody is logged out by a clock that goes
//! back, and nobody lives longer than a limit by it.

use std::time::Duration;

use crate::record::{Condition, NewSession};
use crate::store::Applied;
use crate::testkit::kit::{Checked, Kit, adds, ensure, ensure_eq, grace, subject};

const HOUR: Duration = Duration::from_secs(3600);

/// Once it was told that a session has expired, a clock that goes back does not revive it.
pub(super) async fn told_dead_stays_dead(kit: &Kit) -> Checked {
    let user = subject("alice")?;
    let clock = kit.clock()?;
    for way in ["load", "apply", "touch", "rotate", "list"] {
        let (key, _) = kit.begin(&kit.of(&user)?).await?;
        clock.advance(5 * HOUR);
        match way {
            "load" => drop(kit.gone(&key, "after its limit").await?),
            "apply" => {
                let applied = kit
                    .store
                    .apply(&key, &adds("x", 1)?, &Condition::Always)
                    .await?;
                ensure!(
                    matches!(applied, Applied::Absent(_)),
                    "a late write gave {applied:?}"
                );
            }
            "touch" => ensure_eq!(kit.store.touch(&[key]).await?, 0, "touched sessions"),
            "rotate" => {
                let new = kit.key_of(&user)?;
                drop(kit.store.rotate(&key, &new, &grace(HOUR)).await?);
                kit.gone(&new, "the rotation of an expired session").await?;
            }
            _ => {
                let listed = kit.store.of_subject(&user).await?;
                ensure!(listed.is_empty(), "an expired session is listed");
            }
        }
        clock.rewind(5 * HOUR);
        kit.gone(&key, "told dead, and then the clock went back")
            .await?;
        ensure!(
            kit.store.of_subject(&user).await?.is_empty(),
            "it is listed again"
        );
        ensure_eq!(kit.store.touch(&[key]).await?, 0, "touched sessions");
    }
    Ok(())
}

/// A clock that goes back logs nobody out, and what is left never exceeds the limits.
pub(super) async fn back_is_no_logout_and_no_gift(kit: &Kit) -> Checked {
    let clock = kit.clock()?;
    let new = NewSession {
        lifetimes: kit.lifetimes(10, 30)?,
        ..kit.of(&subject("alice")?)?
    };
    let (key, record) = kit.begin(&new).await?;
    let begun = record.times.created_at;
    for hours in [1, 24, 24 * 365] {
        clock.rewind(HOUR * hours);
        let loaded = kit.alive(&key, "when the clock went back").await?;
        ensure!(
            loaded.remaining <= kit.unit() * 10,
            "{:?} left",
            loaded.remaining
        );
        ensure!(
            loaded.touch_due,
            "no touch is due that brings it back to the present"
        );
        ensure_eq!(kit.store.touch(&[key]).await?, 1, "touched sessions");
        let listed = kit.store.of_subject(&subject("alice")?).await?;
        let left = listed
            .first()
            .map(|info| info.remaining)
            .unwrap_or_default();
        ensure!(left <= kit.unit() * 10, "{left:?} left in the listing");
    }
    clock.advance(kit.unit() * 10);
    kit.gone(&key, "idle by the clock that went back").await?;
    clock.set(begun);
    kit.gone(&key, "told dead, and the clock is right again")
        .await?;
    Ok(())
}

/// Back and forth with activity: the absolute limit holds against the first time it was begun at.
pub(super) async fn jumps_do_not_move_the_absolute_limit(kit: &Kit) -> Checked {
    let clock = kit.clock()?;
    let new = NewSession {
        lifetimes: kit.lifetimes(10, 30)?,
        ..kit.anonymous()?
    };
    let (mut key, record) = kit.begin(&new).await?;
    let deadline = record.times.absolute_deadline();
    for round in 1..=12 {
        clock.advance(kit.unit() * 7);
        clock.rewind(kit.unit() * 5);
        match round % 3 {
            0 => drop(kit.store.touch(&[key]).await?),
            1 => drop(kit.write(&key, &adds("count", 1)?).await?),
            _ => (key, _) = kit.turn(&key, &grace(Duration::ZERO)).await?,
        }
        let times = kit.alive(&key, "within its limit").await?.record.times;
        ensure_eq!(times.absolute_deadline(), deadline, "the absolute limit");
    }
    clock.set(deadline);
    kit.gone(&key, "at its absolute limit").await?;
    Ok(())
}

/// A forward that was told to be over is not taken up again.
pub(super) async fn a_forward_does_not_come_back(kit: &Kit) -> Checked {
    let clock = kit.clock()?;
    let (old, _) = kit.begin(&kit.anonymous()?).await?;
    let (new, _) = kit.turn(&old, &grace(kit.unit())).await?;
    clock.advance(kit.unit());
    kit.gone(&old, "after the grace").await?;
    clock.rewind(kit.unit());
    kit.gone(&old, "told dead, and then the clock went back")
        .await?;
    kit.alive(&new, "the session itself").await?;
    Ok(())
}

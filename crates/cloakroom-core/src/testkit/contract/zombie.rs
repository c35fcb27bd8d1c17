//! Promise 2: once an end was acknowledged, no operation brings the session back, under the old id
//! or a new one.

use crate::ErrorKind;
use crate::record::{Changes, Condition, Record, Subject};
use crate::store::{Absence, Applied, Rotated};
use crate::testkit::kit::{Broken, Checked, Kit, adds, ensure, ensure_eq, grace, sets, subject};
use crate::{Handle, StoredKey};

/// Logout.
pub(super) async fn after_destroy(kit: &Kit) -> Checked {
    let ended = begin(kit).await?;
    ensure!(
        kit.store.destroy(&ended.key).await?,
        "a live session was not alive"
    );
    ended.told(kit).await?;
    ended.stays_dead(kit).await
}

/// One session was revoked by its handle.
pub(super) async fn after_revoke(kit: &Kit) -> Checked {
    let ended = begin(kit).await?;
    let revoked = kit.store.revoke(&ended.subject, &ended.handle).await?;
    ensure!(revoked, "a live session was not alive");
    ended.told(kit).await?;
    ended.stays_dead(kit).await
}

/// All sessions of the subject were revoked.
pub(super) async fn after_revoke_subject(kit: &Kit) -> Checked {
    let ended = begin(kit).await?;
    let revoked = kit.store.revoke_subject(&ended.subject, None).await?;
    ensure_eq!(revoked, 1, "revoked sessions");
    ended.stays_dead(kit).await
}

/// All sessions were revoked.
pub(super) async fn after_revoke_all(kit: &Kit) -> Checked {
    let ended = begin(kit).await?;
    kit.store.revoke_all().await?;
    ended.stays_dead(kit).await
}

/// Nothing happened for too long. Nobody reads before the late writes come.
pub(super) async fn after_idle_expiry(kit: &Kit) -> Checked {
    let ended = begin(kit).await?;
    kit.pass(kit.unit() * 4).await;
    ended.stays_dead(kit).await
}

/// The absolute limit struck, in spite of activity.
pub(super) async fn after_absolute_expiry(kit: &Kit) -> Checked {
    let ended = begin(kit).await?;
    for _ in 0..6 {
        kit.pass(kit.unit()).await;
        kit.store.touch(&[ended.key]).await?;
    }
    ended.stays_dead(kit).await
}

/// The id from before a login is dead, and the session lives on elsewhere.
pub(super) async fn the_id_from_before_a_login(kit: &Kit) -> Checked {
    let user = subject("alice")?;
    let (old, _) = kit.begin(&kit.anonymous()?).await?;
    let (new, record) = kit.turn(&old, &kit.login(&user)?).await?;
    let write = kit
        .store
        .apply(&old, &sets([("x", "1")])?, &Condition::Always)
        .await?;
    ensure_eq!(
        write,
        Applied::Absent(Absence::Ended),
        "a write with the old id"
    );
    let other = kit.key_of(&user)?;
    for rotation in [grace(kit.unit()), kit.login(&user)?] {
        let rotated = kit.store.rotate(&old, &other, &rotation).await?;
        ensure_eq!(
            rotated,
            Rotated::Absent(Absence::Ended),
            "a rotation of the old id"
        );
    }
    ensure_eq!(kit.store.touch(&[old]).await?, 0, "touched sessions");
    ensure!(
        !kit.store.destroy(&old).await?,
        "the old id ended the session"
    );
    ensure_eq!(
        kit.alive(&new, "after the late writes").await?.record,
        record,
        "the session"
    );
    Ok(())
}

/// Writes that are under way while the session is ended: whatever happens, it stays ended.
pub(super) async fn writes_in_flight_during_the_end(kit: &Kit) -> Checked {
    for round in 0..12 {
        let ended = begin(kit).await?;
        let mut operations: Vec<Step> =
            [Step::Apply, Step::Touch, Step::Rotate, Step::Apply].into();
        operations.insert(
            round % 5,
            [Step::Destroy, Step::Revoke, Step::RevokeSubject][round % 3],
        );
        let runs = operations.into_iter().map(|step| {
            let (kit, ended) = (kit.clone(), ended.clone());
            async move { step.run(&kit, &ended).await }
        });
        let new_keys = if round % 2 == 0 {
            kit.in_parallel(runs).await?
        } else {
            kit.in_turn(runs).await?
        };
        for key in new_keys.into_iter().flatten() {
            kit.gone(&key, "a session that was ended while it rotated")
                .await?;
        }
        ended.stays_dead(kit).await?;
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Step {
    Apply,
    Touch,
    Rotate,
    Destroy,
    Revoke,
    RevokeSubject,
}

impl Step {
    /// Does it; gives the new key of a rotation.
    async fn run(self, kit: &Kit, session: &Ended) -> Checked<Option<StoredKey>> {
        let store = &kit.store;
        match self {
            Self::Apply => {
                let changes = adds("count", 1)?;
                drop(
                    store
                        .apply(&session.key, &changes, &Condition::Always)
                        .await?,
                );
            }
            Self::Touch => drop(store.touch(&[session.key]).await?),
            Self::Rotate => {
                let new = kit.key_of(&session.subject)?;
                drop(store.rotate(&session.key, &new, &grace(kit.unit())).await?);
                return Ok(Some(new));
            }
            Self::Destroy => drop(store.destroy(&session.key).await?),
            Self::Revoke => drop(store.revoke(&session.subject, &session.handle).await?),
            Self::RevokeSubject => drop(store.revoke_subject(&session.subject, None).await?),
        }
        Ok(None)
    }
}

/// A session that is ended, or about to be.
#[derive(Clone)]
struct Ended {
    key: StoredKey,
    handle: Handle,
    subject: Subject,
    record: Record,
}

async fn begin(kit: &Kit) -> Checked<Ended> {
    let user = subject("alice")?;
    let mut new = kit.of(&user)?;
    new.lifetimes = kit.lifetimes(3, 6)?;
    let (key, record) = kit.begin(&new).await?;
    kit.write(&key, &sets([("secret", "of the ended session")])?)
        .await?;
    Ok(Ended {
        key,
        handle: new.handle,
        subject: user,
        record,
    })
}

impl Ended {
    /// The key answers for a while that it ended, and cannot be created anew.
    async fn told(&self, kit: &Kit) -> Checked {
        let absence = kit.gone(&self.key, "after the end").await?;
        ensure_eq!(absence, Absence::Ended, "why the session is absent");
        let created = kit.store.create(&self.key, &kit.of(&self.subject)?).await;
        crate::testkit::kit::refused(created, &ErrorKind::Collision, "a create with a dead id")
    }

    /// No write brings the session back.
    async fn stays_dead(&self, kit: &Kit) -> Checked {
        let (store, key) = (&kit.store, &self.key);
        ensure_eq!(store.touch(&[*key]).await?, 0, "touched sessions");
        let absent = |applied: &Applied| matches!(applied, Applied::Absent(_));
        for changes in [sets([("x", "1")])?, adds("x", 1)?, Changes::new()] {
            let applied = store.apply(key, &changes, &Condition::Always).await?;
            ensure!(
                absent(&applied),
                "a write to an ended session gave {applied:?}"
            );
        }
        let new = kit.key_of(&self.subject)?;
        for rotation in [grace(kit.unit()), kit.login(&self.subject)?] {
            let rotated = store.rotate(key, &new, &rotation).await?;
            if let Rotated::Done(_) = rotated {
                return Err(Broken("a rotation revived an ended session".to_owned()));
            }
        }
        ensure!(!store.destroy(key).await?, "an ended session was alive");
        ensure!(
            !store.revoke(&self.subject, &self.handle).await?,
            "an ended session was alive"
        );
        kit.gone(key, "after all late writes").await?;
        kit.gone(&new, "the id that a late rotation would have given")
            .await?;
        let listed = store.of_subject(&self.subject).await?;
        ensure!(
            listed.is_empty(),
            "a listing shows {} ended sessions",
            listed.len()
        );
        let revoked = store.revoke_subject(&self.subject, None).await?;
        ensure_eq!(revoked, 0, "sessions that were still there to revoke");
        self.starts_blank(kit).await
    }

    /// If the key can be created anew, it is a new session and nothing of the old one.
    async fn starts_blank(&self, kit: &Kit) -> Checked {
        let new = kit.of(&self.subject)?;
        match kit.store.create(&self.key, &new).await {
            Err(error) if *error.kind() == ErrorKind::Collision => return Ok(()),
            created => drop(created?),
        }
        let record = kit.alive(&self.key, "after a create").await?.record;
        ensure!(
            record.fields.is_empty(),
            "a new session has data of an ended one"
        );
        ensure!(
            record.handle != self.record.handle,
            "a new session has the old handle"
        );
        kit.store.destroy(&self.key).await?;
        Ok(())
    }
}

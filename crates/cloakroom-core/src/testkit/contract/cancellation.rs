//! Promise 6: a caller who goes away, at whichever await point, leaves the store as if the call had
//! happened, or had not.

use crate::StoredKey;
use crate::policy::{MaxSessions, OnExcess};
use crate::record::{Condition, NewSession, Rotation, Subject};
use crate::store::Lookup;
use crate::testkit::kit::{Checked, Kit, adds, ensure, ensure_eq, grace, sets, subject, text};
use crate::testkit::poll::cancel_after;

/// More await points than any operation has.
const MOST_POLLS: usize = 10_000;

/// `create`: there is a whole session, listed, or none.
pub(super) async fn create_is_whole_or_not(kit: &Kit) -> Checked {
    for polls in 1..MOST_POLLS {
        let user = subject(&format!("user{polls}"))?;
        let new = NewSession {
            fields: crate::record::Fields::default()
                .changed(&sets([("a", "1")])?)?
                .0,
            ..kit.of(&user)?
        };
        let key = kit.key_of(&user)?;
        let done = cancel_after(polls, kit.store.create(&key, &new)).await;
        let listed = listed(kit, &user).await?;
        match kit.store.load(&key).await? {
            Lookup::Found(loaded) => {
                ensure_eq!(text(&loaded.record, "a").as_deref(), Some("1"), "its field");
                ensure_eq!(listed, 1, "listed sessions, created and dropped at {polls}");
            }
            Lookup::Absent(_) => ensure_eq!(listed, 0, "listed sessions, dropped at {polls}"),
        }
        if done.is_some() {
            return Ok(());
        }
        kit.store
            .create(&kit.key_of(&user)?, &kit.of(&user)?)
            .await?;
    }
    Ok(())
}

/// `apply`: all changes or none.
pub(super) async fn apply_is_whole_or_not(kit: &Kit) -> Checked {
    for polls in 1..MOST_POLLS {
        let (key, _) = kit.begin(&kit.anonymous()?).await?;
        let mut changes = sets([("a", "1"), ("b", "1")])?;
        changes.increment("c", 1)?;
        let write = kit.store.apply(&key, &changes, &Condition::Always);
        let done = cancel_after(polls, write).await;
        let record = kit.alive(&key, "after a dropped write").await?.record;
        let written = ["a", "b", "c"].map(|name| text(&record, name).is_some());
        ensure!(
            written == [true; 3] || written == [false; 3],
            "a part was written: {written:?}"
        );
        ensure_eq!(record.version, 1 + u64::from(written[0]), "the version");
        kit.write(&key, &adds("c", 1)?).await?;
        if done.is_some() {
            return Ok(());
        }
    }
    Ok(())
}

/// `rotate` without a login: the session is reachable by the old id, moved or not; never twice.
pub(super) async fn rotate_is_whole_or_not(kit: &Kit) -> Checked {
    for polls in 1..MOST_POLLS {
        let user = subject(&format!("user{polls}"))?;
        let (old, before) = kit.begin(&kit.of(&user)?).await?;
        let new = kit.key_of(&user)?;
        let rotation = Rotation {
            changes: sets([("step", "2")])?,
            ..grace(kit.unit() * 30)
        };
        let done = cancel_after(polls, kit.store.rotate(&old, &new, &rotation)).await;
        let loaded = kit
            .alive(&old, "by its old id after a dropped rotation")
            .await?;
        let moved = matches!(kit.store.load(&new).await?, Lookup::Found(_));
        ensure_eq!(
            loaded.forwarded,
            moved,
            "whether it moved, dropped at {polls}"
        );
        let changed = text(&loaded.record, "step").is_some();
        ensure_eq!(changed, moved, "whether its field changed");
        ensure_eq!(loaded.record.handle, before.handle, "the handle");
        ensure_eq!(
            listed(kit, &user).await?,
            1,
            "listed sessions, dropped at {polls}"
        );
        kit.write(&old, &sets([("after", "1")])?).await?;
        if done.is_some() {
            return Ok(());
        }
    }
    Ok(())
}

/// `rotate` with a login: signed in under the new id, or a visitor under the old one.
pub(super) async fn login_is_whole_or_not(kit: &Kit) -> Checked {
    for polls in 1..MOST_POLLS {
        let user = subject(&format!("user{polls}"))?;
        let (other, _) = kit.begin(&kit.of(&user)?).await?;
        let (old, _) = kit.begin(&kit.anonymous()?).await?;
        let new = kit.key_of(&user)?;
        let mut login = kit.login(&user)?;
        if let Some(login) = &mut login.login {
            login.max_sessions = Some(MaxSessions {
                limit: 1,
                on_excess: OnExcess::RevokeOldest,
            });
        }
        let done = cancel_after(polls, kit.store.rotate(&old, &new, &login)).await;
        let alive = [is_alive(kit, &old).await?, is_alive(kit, &new).await?];
        let other = is_alive(kit, &other).await?;
        ensure_eq!(
            alive[0],
            !alive[1],
            "the old id, with a login dropped at {polls}"
        );
        ensure_eq!(
            other,
            !alive[1],
            "whether the other session lives, dropped at {polls}"
        );
        ensure_eq!(
            listed(kit, &user).await?,
            1,
            "listed sessions, dropped at {polls}"
        );
        if done.is_some() {
            return Ok(());
        }
    }
    Ok(())
}

/// `destroy`, `revoke` and `revoke_subject`: ended and not listed, or alive and listed.
pub(super) async fn an_end_is_whole_or_not(kit: &Kit) -> Checked {
    for way in 0..3 {
        for polls in 1..MOST_POLLS {
            let user = subject(&format!("user{way}x{polls}"))?;
            let (first, record) = kit.begin(&kit.of(&user)?).await?;
            let (second, _) = kit.begin(&kit.of(&user)?).await?;
            let end = async {
                match way {
                    0 => kit.store.destroy(&first).await.map(drop),
                    1 => kit.store.revoke(&user, &record.handle).await.map(drop),
                    _ => kit.store.revoke_subject(&user, None).await.map(drop),
                }
            };
            let done = cancel_after(polls, end).await;
            let alive = [is_alive(kit, &first).await?, is_alive(kit, &second).await?];
            let count = alive.iter().filter(|alive| **alive).count();
            ensure_eq!(
                listed(kit, &user).await?,
                count,
                "listed, dropped at {polls}"
            );
            if way == 2 {
                ensure_eq!(alive[0], alive[1], "whether both ended, dropped at {polls}");
            } else {
                ensure!(alive[1], "the other session ended");
            }
            if done.is_some() {
                ensure!(!alive[0], "an end that was acknowledged and did not happen");
                break;
            }
        }
    }
    Ok(())
}

async fn is_alive(kit: &Kit, key: &StoredKey) -> Checked<bool> {
    Ok(matches!(kit.store.load(key).await?, Lookup::Found(_)))
}

async fn listed(kit: &Kit, user: &Subject) -> Checked<usize> {
    Ok(kit.store.of_subject(user).await?.len())
}

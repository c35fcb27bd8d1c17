//! Ending sessions from outside: exactly those that were meant, in one step.

use crate::testkit::kit::{Checked, Kit, ensure, ensure_eq, grace, sets, subject};

/// All sessions of a subject end, rotated ones too, and nobody else's; one may be spared.
pub(super) async fn a_subjects_sessions_end(kit: &Kit) -> Checked {
    let (alice, bob) = (subject("alice")?, subject("bob")?);
    let (bobs, _) = kit.begin(&kit.of(&bob)?).await?;
    let (visitor, _) = kit.begin(&kit.anonymous()?).await?;
    let (first, own) = kit.begin(&kit.of(&alice)?).await?;
    let (second, _) = kit.begin(&kit.of(&alice)?).await?;
    let (third, _) = kit.begin(&kit.of(&alice)?).await?;
    let (moved, _) = kit.turn(&third, &grace(kit.unit() * 30)).await?;
    let revoked = kit.store.revoke_subject(&alice, Some(&own.handle)).await?;
    ensure_eq!(revoked, 2, "revoked sessions");
    for key in [second, third, moved] {
        kit.gone(&key, "a revoked session").await?;
    }
    for key in [first, bobs, visitor] {
        kit.alive(&key, "a session that was not meant").await?;
    }
    ensure_eq!(
        kit.store.revoke_subject(&alice, None).await?,
        1,
        "revoked sessions"
    );
    kit.gone(&first, "the last session").await?;
    ensure_eq!(
        kit.store.revoke_subject(&alice, None).await?,
        0,
        "revoked sessions"
    );
    kit.alive(&bobs, "another subject's session").await?;
    Ok(())
}

/// The session that is spared is spared under its new id, too.
pub(super) async fn the_spared_session_may_have_rotated(kit: &Kit) -> Checked {
    let alice = subject("alice")?;
    let (old, own) = kit.begin(&kit.of(&alice)?).await?;
    let (new, _) = kit.turn(&old, &grace(kit.unit() * 30)).await?;
    kit.begin(&kit.of(&alice)?).await?;
    let revoked = kit.store.revoke_subject(&alice, Some(&own.handle)).await?;
    ensure_eq!(revoked, 1, "revoked sessions");
    kit.alive(&new, "the spared session").await?;
    kit.alive(&old, "the spared session, by its old id").await?;
    Ok(())
}

/// `revoke_all` ends everything that exists, and nothing that begins later.
pub(super) async fn revoke_all_ends_everything(kit: &Kit) -> Checked {
    let alice = subject("alice")?;
    let mut keys = Vec::new();
    for number in 0..40 {
        let (key, _) = if number % 2 == 0 {
            kit.begin(&kit.anonymous()?).await?
        } else {
            kit.begin(&kit.of(&alice)?).await?
        };
        keys.push(key);
        if number % 3 == 0 {
            keys.push(kit.turn(&key, &grace(kit.unit() * 30)).await?.0);
        }
        if number % 5 == 0 {
            kit.store.destroy(&key).await?;
        }
    }
    kit.store.revoke_all().await?;
    for key in &keys {
        kit.gone(key, "after everything was revoked").await?;
    }
    ensure_eq!(kit.store.touch(&keys).await?, 0, "touched sessions");
    ensure!(
        kit.store.of_subject(&alice).await?.is_empty(),
        "a revoked session is listed"
    );
    let page = kit.store.scan(crate::store::Cursor::default(), 100).await?;
    ensure!(
        page.sessions.is_empty(),
        "a scan shows {} revoked ones",
        page.sessions.len()
    );
    let (key, _) = kit.begin(&kit.of(&alice)?).await?;
    kit.write(&key, &sets([("a", "1")])?).await?;
    kit.alive(&key, "begun after everything was revoked")
        .await?;
    let (key, _) = kit.turn(&key, &grace(kit.unit() * 30)).await?;
    ensure_eq!(
        kit.store.of_subject(&alice).await?.len(),
        1,
        "listed sessions"
    );
    kit.alive(&key, "rotated after everything was revoked")
        .await?;
    Ok(())
}

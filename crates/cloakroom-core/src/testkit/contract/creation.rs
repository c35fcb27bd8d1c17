//! Promise 2 where a session begins: only under a key that nobody has, and never over another one.

use crate::ErrorKind;
use crate::id::SlotTag;
use crate::record::{Fields, NewSession};
use crate::testkit::kit::{Checked, Kit, ensure, ensure_eq, refused, sets, subject};
use crate::{Error, StoredKey};

/// What was created is what is read, with the store's own times.
pub(super) async fn a_new_session_reads_back(kit: &Kit) -> Checked {
    let user = subject("alice")?;
    for new in [kit.anonymous()?, kit.of(&user)?] {
        let new = NewSession {
            label: Some(crate::record::Label::new("a label")),
            fields: Fields::default().changed(&sets([("cart", "coat")])?)?.0,
            ..new
        };
        let (key, told) = kit.begin(&new).await?;
        let loaded = kit.alive(&key, "after the creation").await?;
        ensure_eq!(loaded.record, told, "what was told and what is stored");
        ensure_eq!(told.version, 1, "the version");
        ensure_eq!(
            (&told.handle, &told.fields),
            (&new.handle, &new.fields),
            "the session"
        );
        ensure_eq!(
            (&told.subject, &told.label),
            (&new.subject, &new.label),
            "its owner"
        );
        ensure_eq!(told.times.lifetimes, new.lifetimes, "the lifetimes");
        let authenticated = told.times.authenticated_at;
        ensure_eq!(
            authenticated,
            new.subject.map(|_| told.times.created_at),
            "the login"
        );
        let idle = new.lifetimes.idle().unwrap_or_default();
        ensure!(loaded.remaining <= idle, "more is left than the idle limit");
        ensure!(
            !loaded.touch_due && !loaded.forwarded,
            "a new session is {loaded:?}"
        );
    }
    Ok(())
}

/// A key that is taken stays whose it is; many who want one key do not share it.
pub(super) async fn a_key_is_taken_once(kit: &Kit) -> Checked {
    let (key, before) = kit.begin(&kit.anonymous()?).await?;
    let created = kit.store.create(&key, &kit.anonymous()?).await;
    refused(
        created,
        &ErrorKind::Collision,
        "a second session under one key",
    )?;
    ensure_eq!(
        kit.alive(&key, "after it").await?.record,
        before,
        "the first session"
    );
    for parallel in [false, true] {
        let key = kit.key()?;
        let runs = (0..12).map(|_| {
            let kit = kit.clone();
            async move { create_if_free(&kit, &key).await }
        });
        let won = if parallel {
            kit.in_parallel(runs).await?
        } else {
            kit.in_turn(runs).await?
        };
        let won: Vec<_> = won.into_iter().flatten().collect();
        ensure_eq!(won.len(), 1, "sessions that were created under one key");
        let record = kit.alive(&key, "after the race").await?.record;
        ensure_eq!(
            Some(&record.handle),
            won.first(),
            "the session under the key"
        );
    }
    Ok(())
}

async fn create_if_free(kit: &Kit, key: &StoredKey) -> Checked<Option<crate::Handle>> {
    match kit.store.create(key, &kit.anonymous()?).await {
        Ok(record) => Ok(Some(record.handle)),
        Err(error) if *error.kind() == ErrorKind::Collision => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A session of a subject lives under the subject's tag, so that it can share a shard with the
/// others.
pub(super) async fn a_subject_has_its_tag(kit: &Kit) -> Checked {
    let user = subject("alice")?;
    let tag = SlotTag::new((SlotTag::of_subject(&user).number() + 1) % 4096);
    let tag = tag.ok_or_else(|| Error::new(ErrorKind::Conflict))?;
    let key = StoredKey::from_parts(tag, *kit.key()?.hash());
    let created = kit.store.create(&key, &kit.of(&user)?).await;
    let invalid = created.is_err_and(|error| matches!(error.kind(), ErrorKind::Invalid { .. }));
    ensure!(
        invalid,
        "a session under another slot tag than its subject's was created"
    );
    kit.gone(&key, "after a refused creation").await?;
    let listed = kit.store.of_subject(&user).await?;
    ensure!(listed.is_empty(), "a refused creation is listed");
    Ok(())
}

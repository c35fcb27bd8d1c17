//! Promises 2, 3 and 5 where a session changes its id: the move is atomic, nothing is lost on the
//! way, and the old id leads on for as long as was said, or not at all after a login.

use crate::ErrorKind;
use crate::limits;
use crate::record::{Condition, Fields, Keep, Rotation};
use crate::store::{Absence, Applied, Rotated};
use crate::testkit::kit::{
    Broken, Checked, Kit, adds, ensure, ensure_eq, grace, refused, sets, subject, text,
};

/// A rotation moves the whole session: data, handle, subject, times; changes are made on the way.
pub(super) async fn moves_the_whole_session(kit: &Kit) -> Checked {
    let mut new = kit.of(&subject("alice")?)?;
    new.label = Some(crate::record::Label::new("Firefox on Linux"));
    let (old, created) = kit.begin(&new).await?;
    kit.write(&old, &sets([("cart", "coat")])?).await?;
    let rotation = Rotation {
        changes: sets([("step", "2")])?,
        ..grace(kit.unit())
    };
    let (key, record) = kit.turn(&old, &rotation).await?;
    ensure_eq!(record.handle, created.handle, "the handle");
    ensure_eq!(record.subject, created.subject, "the subject");
    ensure_eq!(record.label, created.label, "the label");
    ensure_eq!(
        record.times.created_at,
        created.times.created_at,
        "the time of creation"
    );
    ensure_eq!(record.version, 3, "the version");
    ensure_eq!(
        text(&record, "cart").as_deref(),
        Some("coat"),
        "data from before"
    );
    ensure_eq!(
        text(&record, "step").as_deref(),
        Some("2"),
        "data of the rotation"
    );
    let loaded = kit.alive(&key, "after the rotation").await?;
    ensure_eq!(loaded.record, record, "what was told and what is stored");
    ensure!(!loaded.forwarded, "the new id is told to be superseded");
    Ok(())
}

/// The old id reads and writes the moved session, and says that it is superseded.
pub(super) async fn the_old_id_forwards(kit: &Kit) -> Checked {
    let (old, _) = kit.begin(&kit.anonymous()?).await?;
    let (new, _) = kit.turn(&old, &grace(kit.unit() * 30)).await?;
    let loaded = kit.alive(&old, "within the grace").await?;
    ensure!(loaded.forwarded, "the old id is not told to be superseded");
    kit.write(&old, &sets([("late", "1")])?).await?;
    kit.write(&new, &sets([("new", "1")])?).await?;
    for key in [old, new] {
        let record = kit.alive(&key, "within the grace").await?.record;
        let fields = [text(&record, "late"), text(&record, "new")];
        ensure_eq!(fields, [Some("1".into()), Some("1".into())], "both writes");
    }
    Ok(())
}

/// After the grace, or without one, the old id is dead; the session is not.
pub(super) async fn the_old_id_dies_after_the_grace(kit: &Kit) -> Checked {
    for (units, wait) in [(1_u32, 1_u32), (0, 0)] {
        let (old, _) = kit.begin(&kit.anonymous()?).await?;
        let (new, _) = kit.turn(&old, &grace(kit.unit() * units)).await?;
        kit.pass(kit.unit() * wait).await;
        let absence = kit.gone(&old, "after the grace").await?;
        ensure_eq!(absence, Absence::Ended, "why the old id is dead");
        let applied = kit
            .store
            .apply(&old, &adds("x", 1)?, &Condition::Always)
            .await?;
        ensure_eq!(
            applied,
            Applied::Absent(Absence::Ended),
            "a write with the old id"
        );
        ensure!(
            !kit.store.destroy(&old).await?,
            "the dead id ended the session"
        );
        kit.alive(&new, "when the old id is dead").await?;
    }
    Ok(())
}

/// No grace is longer than the limit, whatever is asked for.
pub(super) async fn the_grace_is_limited(kit: &Kit) -> Checked {
    let (old, _) = kit.begin(&kit.anonymous()?).await?;
    kit.turn(&old, &grace(limits::ROTATION_GRACE * 10)).await?;
    kit.pass(limits::ROTATION_GRACE).await;
    kit.gone(&old, "after the longest grace there is").await?;
    Ok(())
}

/// After a login the old id is dead at once, even if a grace was asked for.
pub(super) async fn a_login_leaves_no_forward(kit: &Kit) -> Checked {
    let user = subject("alice")?;
    let (old, _) = kit.begin(&kit.anonymous()?).await?;
    let (before, _) = kit.turn(&old, &grace(kit.unit() * 30)).await?;
    let login = Rotation {
        grace: kit.unit() * 30,
        ..kit.login(&user)?
    };
    let (new, record) = kit.turn(&before, &login).await?;
    ensure_eq!(record.subject, Some(user), "the subject");
    for key in [old, before] {
        let absence = kit.gone(&key, "an id from before the login").await?;
        ensure_eq!(absence, Absence::Ended, "why it is dead");
    }
    kit.alive(&new, "after the login").await?;
    Ok(())
}

/// A login with an id that was superseded a moment ago takes the visitor's data along.
pub(super) async fn a_login_follows_the_forward(kit: &Kit) -> Checked {
    let (old, _) = kit.begin(&kit.anonymous()?).await?;
    kit.write(&old, &sets([("cart", "coat")])?).await?;
    let (middle, _) = kit.turn(&old, &grace(kit.unit() * 30)).await?;
    let (new, record) = kit.turn(&old, &kit.login(&subject("alice")?)?).await?;
    ensure_eq!(
        text(&record, "cart").as_deref(),
        Some("coat"),
        "the visitor's data"
    );
    for key in [old, middle] {
        kit.gone(&key, "an id from before the login").await?;
    }
    kit.alive(&new, "after the login").await?;
    Ok(())
}

/// What a login keeps: everything, what is named, and nothing of another subject.
pub(super) async fn a_login_keeps_what_it_may(kit: &Kit) -> Checked {
    let (alice, bob) = (subject("alice")?, subject("bob")?);
    let cases = [
        (None, Keep::All, [true, true]),
        (
            None,
            Keep::Only(vec![crate::record::FieldName::new("cart")?]),
            [true, false],
        ),
        (Some(alice), Keep::All, [true, true]),
        (Some(bob), Keep::All, [false, false]),
    ];
    for (before, keep, kept) in cases {
        let mut new = kit.anonymous()?;
        new.subject.clone_from(&before);
        let (old, _) = kit.begin(&new).await?;
        kit.write(&old, &sets([("cart", "1"), ("token", "1")])?)
            .await?;
        let mut rotation = kit.login(&subject("alice")?)?;
        if let Some(login) = &mut rotation.login {
            login.keep = keep;
        }
        rotation.changes = sets([("fresh", "1")])?;
        let (key, told) = kit.turn(&old, &rotation).await?;
        let record = kit.alive(&key, "after the login").await?.record;
        ensure_eq!(record, told, "what was told and what is stored");
        let is = ["cart", "token"].map(|name| text(&record, name).is_some());
        ensure_eq!(is, kept, "kept fields of a session of {before:?}");
        ensure!(
            text(&record, "fresh").is_some(),
            "the login's own field is missing"
        );
    }
    Ok(())
}

/// A second rotation of an id that has just been superseded does nothing.
pub(super) async fn a_superseded_id_does_not_rotate(kit: &Kit) -> Checked {
    let (old, _) = kit.begin(&kit.anonymous()?).await?;
    let (new, record) = kit.turn(&old, &grace(kit.unit() * 30)).await?;
    let other = kit.key()?;
    let rotated = kit.store.rotate(&old, &other, &grace(kit.unit())).await?;
    ensure_eq!(
        rotated,
        Rotated::Absent(Absence::Ended),
        "the second rotation"
    );
    kit.gone(&other, "the id of the second rotation").await?;
    ensure_eq!(
        kit.alive(&new, "after it").await?.record,
        record,
        "the session"
    );
    Ok(())
}

/// Every id of a chain of rotations leads to the session while its own grace lasts.
pub(super) async fn a_chain_forwards(kit: &Kit) -> Checked {
    let (mut key, created) = kit.begin(&kit.anonymous()?).await?;
    let mut chain = vec![key];
    for _ in 0..3 {
        (key, _) = kit.turn(&key, &grace(limits::ROTATION_GRACE)).await?;
        chain.push(key);
    }
    for old in &chain {
        kit.write(old, &adds("count", 1)?).await?;
        let record = kit.alive(old, "in a chain of rotations").await?.record;
        ensure_eq!(
            record.handle,
            created.handle,
            "the session at the chain's end"
        );
    }
    ensure!(
        kit.store.destroy(&chain[0]).await?,
        "the first id did not end the session"
    );
    for old in &chain {
        kit.gone(old, "after the end of a chain").await?;
    }
    Ok(())
}

/// Writers that race a rotation: what was acknowledged is in the session afterwards.
pub(super) async fn writers_racing_a_rotation(kit: &Kit) -> Checked {
    for round in 0..12 {
        let (old, _) = kit.begin(&kit.anonymous()?).await?;
        let new = kit.key()?;
        let writers = (0..6).map(|number| {
            let kit = kit.clone();
            async move {
                if number == 3 {
                    let rotation = grace(kit.unit() * 30);
                    let rotated = kit.store.rotate(&old, &new, &rotation).await?;
                    ensure!(
                        matches!(rotated, Rotated::Done(_)),
                        "the rotation gave {rotated:?}"
                    );
                } else {
                    let name = format!("field{number}");
                    let changes = sets([(&*name, "1")])?;
                    kit.write(&old, &changes).await?;
                }
                Ok(())
            }
        });
        if round % 2 == 0 {
            kit.in_parallel(writers).await?;
        } else {
            kit.in_turn(writers).await?;
        }
        let record = kit.alive(&new, "after the race").await?.record;
        ensure_eq!(record.fields.len(), 5, "fields of acknowledged writes");
        ensure!(
            kit.alive(&old, "after the race").await?.forwarded,
            "the session is forked"
        );
    }
    Ok(())
}

/// Of parallel rotations of one id one happens; the others are told that it was superseded.
pub(super) async fn one_of_many_rotations_happens(kit: &Kit) -> Checked {
    for round in 0..8 {
        let (old, _) = kit.begin(&kit.anonymous()?).await?;
        let runs = (0..6).map(|_| {
            let kit = kit.clone();
            async move {
                let new = kit.key()?;
                let rotated = kit
                    .store
                    .rotate(&old, &new, &grace(kit.unit() * 30))
                    .await?;
                Ok((new, rotated))
            }
        });
        let told = if round % 2 == 0 {
            kit.in_parallel(runs).await?
        } else {
            kit.in_turn(runs).await?
        };
        let mut alive = 0;
        for (new, rotated) in told {
            match rotated {
                Rotated::Done(_) => {
                    alive += 1;
                    kit.alive(&new, "the rotation that happened").await?;
                }
                Rotated::Absent(Absence::Ended) => {
                    kit.gone(&new, "a rotation that did not happen").await?;
                }
                Rotated::Absent(Absence::Unknown) => {
                    return Err(Broken("a superseded id is told to be unknown".to_owned()));
                }
            }
        }
        ensure_eq!(alive, 1, "rotations that happened");
    }
    Ok(())
}

/// A rotation that cannot be done leaves the session as it was.
pub(super) async fn a_failed_rotation_changes_nothing(kit: &Kit) -> Checked {
    let user = subject("alice")?;
    let fields = Fields::default()
        .changed(&sets([("word", "no number")])?)?
        .0;
    let mut new = kit.anonymous()?;
    new.fields = fields;
    let (old, before) = kit.begin(&new).await?;
    let (taken, other) = kit.begin(&kit.of(&user)?).await?;
    let mut rotation = kit.login(&user)?;
    rotation.changes = adds("word", 1)?;
    let failed = kit.store.rotate(&old, &kit.key_of(&user)?, &rotation).await;
    ensure!(failed.is_err(), "an increment of a word gave {failed:?}");
    let collided = kit.store.rotate(&old, &taken, &kit.login(&user)?).await;
    refused(
        collided,
        &ErrorKind::Collision,
        "a rotation to a key that is taken",
    )?;
    kit.store.destroy(&taken).await?;
    let collided = kit.store.rotate(&old, &taken, &kit.login(&user)?).await;
    refused(
        collided,
        &ErrorKind::Collision,
        "a rotation to a key that ended",
    )?;
    let foreign = kit
        .store
        .rotate(&old, &foreign_key(kit, &other)?, &kit.login(&user)?)
        .await;
    let invalid = foreign.is_err_and(|error| matches!(error.kind(), ErrorKind::Invalid { .. }));
    ensure!(
        invalid,
        "a login under another slot tag than the subject's was taken"
    );
    let after = kit.alive(&old, "after rotations that failed").await?.record;
    ensure_eq!(after, before, "the record after rotations that failed");
    Ok(())
}

/// A key with another tag than the subject's.
fn foreign_key(kit: &Kit, record: &crate::Record) -> Checked<crate::StoredKey> {
    let subject = record
        .subject
        .as_ref()
        .ok_or_else(|| Broken("no subject".to_owned()))?;
    let tag = crate::id::SlotTag::of_subject(subject).number();
    let other = crate::id::SlotTag::new((tag + 1) % 4096);
    let other = other.ok_or_else(|| Broken("no such tag".to_owned()))?;
    Ok(crate::StoredKey::from_parts(other, *kit.key()?.hash()))
}

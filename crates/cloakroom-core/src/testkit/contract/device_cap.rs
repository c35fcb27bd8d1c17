//! The limit on a subject's parallel sessions holds in the same step as the login, so that a
//! hundred at once do not slip through.

use crate::ErrorKind;
use crate::policy::{MaxSessions, OnExcess};
use crate::record::{Changes, NewSession, Subject};
use crate::testkit::kit::{Checked, Kit, ensure, ensure_eq, refused, subject};

const LOGINS: usize = 100;
const LIMIT: usize = 5;

/// A hundred parallel logins leave as many sessions as are allowed, by revoking others.
pub(super) async fn parallel_logins_revoke_the_oldest(kit: &Kit) -> Checked {
    for (name, parallel) in [("alice", true), ("bob", false)] {
        let user = subject(name)?;
        let done = logins(kit, &user, OnExcess::RevokeOldest, parallel).await?;
        ensure_eq!(done, LOGINS, "logins that were done");
        ensure_eq!(count(kit, &user).await?, LIMIT, "sessions that are left");
    }
    Ok(())
}

/// Of a hundred parallel logins as many succeed as are allowed; the others are told so.
pub(super) async fn parallel_logins_are_refused(kit: &Kit) -> Checked {
    for (name, parallel) in [("alice", true), ("bob", false)] {
        let user = subject(name)?;
        let done = logins(kit, &user, OnExcess::Refuse, parallel).await?;
        ensure_eq!(done, LIMIT, "logins that were done");
        ensure_eq!(count(kit, &user).await?, LIMIT, "sessions that are left");
    }
    Ok(())
}

/// Who signed in longest ago goes first, however active; a session's own new login counts once.
pub(super) async fn the_oldest_goes_first(kit: &Kit) -> Checked {
    let user = subject("alice")?;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        let new = NewSession {
            max_sessions: Some(cap(3, OnExcess::RevokeOldest)),
            ..kit.of(&user)?
        };
        sessions.push(kit.begin(&new).await?);
        kit.pass(kit.unit()).await;
    }
    kit.write(&sessions[1].0, &Changes::new()).await?;
    let mut login = kit.login(&user)?;
    if let Some(login) = &mut login.login {
        login.max_sessions = Some(cap(3, OnExcess::RevokeOldest));
    }
    sessions[0] = kit.turn(&sessions[0].0, &login).await?;
    ensure_eq!(
        count(kit, &user).await?,
        3,
        "sessions after a login of one of them"
    );
    kit.pass(kit.unit()).await;
    let (stranger, _) = kit.begin(&kit.anonymous()?).await?;
    kit.turn(&stranger, &login).await?;
    kit.gone(&sessions[1].0, "who signed in longest ago")
        .await?;
    kit.alive(&sessions[0].0, "who signed in again").await?;
    kit.alive(&sessions[2].0, "who signed in later").await?;
    Ok(())
}

/// A login that is refused leaves the visitor's session, and everybody else's, as it was.
pub(super) async fn a_refused_login_changes_nothing(kit: &Kit) -> Checked {
    let user = subject("alice")?;
    let most = Some(cap(1, OnExcess::Refuse));
    let (first, _) = kit.begin(&kit.of(&user)?).await?;
    let (visitor, before) = kit.begin(&kit.anonymous()?).await?;
    let mut login = kit.login(&user)?;
    if let Some(login) = &mut login.login {
        login.max_sessions = most;
    }
    let kind = ErrorKind::TooManySessions { limit: 1 };
    let new = kit.key_of(&user)?;
    refused(
        kit.store.rotate(&visitor, &new, &login).await,
        &kind,
        "a login too many",
    )?;
    let created = NewSession {
        max_sessions: most,
        ..kit.of(&user)?
    };
    refused(
        kit.store.create(&new, &created).await,
        &kind,
        "a session too many",
    )?;
    kit.gone(&new, "the id of a refused login").await?;
    let after = kit.alive(&visitor, "after a refused login").await?.record;
    ensure_eq!(after, before, "the visitor's session");
    kit.turn(&first, &login).await?;
    Ok(())
}

/// Logins that race a revocation: each is either ended by it or listed afterwards.
pub(super) async fn logins_racing_a_revocation(kit: &Kit) -> Checked {
    for round in 0..10_usize {
        let user = subject(&format!("user{round}"))?;
        let (first, _) = kit.begin(&kit.of(&user)?).await?;
        let runs = (0..8).map(|number| {
            let (kit, user) = (kit.clone(), user.clone());
            async move {
                if number == round % 8 {
                    return Ok((kit.store.revoke_subject(&user, None).await?, None));
                }
                let (visitor, _) = kit.begin(&kit.anonymous()?).await?;
                Ok((0, Some(kit.turn(&visitor, &kit.login(&user)?).await?.0)))
            }
        });
        let told = if round % 2 == 0 {
            kit.in_parallel(runs).await?
        } else {
            kit.in_turn(runs).await?
        };
        let revoked: usize = told.iter().map(|(revoked, _)| revoked).sum();
        let mut alive = 0;
        for key in told.iter().filter_map(|(_, key)| *key) {
            let found = kit.store.load(&key).await?;
            alive += usize::from(matches!(found, crate::store::Lookup::Found(_)));
        }
        kit.gone(&first, "the session from before the revocation")
            .await?;
        ensure_eq!(
            revoked + alive,
            8,
            "sessions that were revoked or are alive"
        );
        ensure_eq!(count(kit, &user).await?, alive, "sessions that are listed");
    }
    Ok(())
}

async fn logins(kit: &Kit, user: &Subject, on_excess: OnExcess, parallel: bool) -> Checked<usize> {
    let runs = (0..LOGINS).map(|number| {
        let (kit, user) = (kit.clone(), user.clone());
        async move { login(&kit, &user, on_excess, number % 2 == 0).await }
    });
    let told = if parallel {
        kit.in_parallel(runs).await?
    } else {
        kit.in_turn(runs).await?
    };
    Ok(told.into_iter().filter(|done| *done).count())
}

/// Signs in, by a new session or by rotating an anonymous one.
async fn login(kit: &Kit, user: &Subject, on_excess: OnExcess, anew: bool) -> Checked<bool> {
    let most = cap(LIMIT, on_excess);
    let key = kit.key_of(user)?;
    let done = if anew {
        let new = NewSession {
            max_sessions: Some(most),
            ..kit.of(user)?
        };
        kit.store.create(&key, &new).await.map(|_| ())
    } else {
        let (visitor, _) = kit.begin(&kit.anonymous()?).await?;
        let mut rotation = kit.login(user)?;
        if let Some(login) = &mut rotation.login {
            login.max_sessions = Some(most);
        }
        kit.store
            .rotate(&visitor, &key, &rotation)
            .await
            .map(|_| ())
    };
    match done {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::TooManySessions { limit: LIMIT }) => {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

async fn count(kit: &Kit, user: &Subject) -> Checked<usize> {
    let listed = kit.store.of_subject(user).await?;
    ensure!(listed.len() <= LOGINS, "the listing repeats sessions");
    Ok(listed.len())
}

const fn cap(limit: usize, on_excess: OnExcess) -> MaxSessions {
    MaxSessions { limit, on_excess }
}

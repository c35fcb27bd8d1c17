//! Two requests of one browser, as an application sees them: what the later response says of the
//! cookie never puts a dead or superseded id over a newer one.

use crate::record::Subject;
use crate::session::{Cookie, Outcome};
use crate::store::Lookup;
use crate::testkit::faults::YieldingStore;
use crate::testkit::kit::{Broken, Checked, Kit, ensure, ensure_eq, present, sets, subject};
use crate::testkit::poll::{join_all, yield_now};
use crate::{Error, ErrorKind, Session, SessionId, StoredKey};

/// Another request has rotated the id: this one still reads and writes, and says nothing of it.
pub(super) async fn after_a_rotation(kit: &Kit) -> Checked {
    let id = begin(kit, None).await?;
    let (early, late) = two(kit, &id)?;
    early.rotate()?;
    let new = set_id(early.finish().await)?;
    ensure_eq!(
        late.get::<u8>("cart").await?,
        Some(1),
        "what the late request reads"
    );
    late.set("late", &2)?;
    late.rotate()?;
    keeps(late.finish().await, "after a rotation")?;
    let after = kit.sessions().open(Some(&present(&new)?));
    ensure_eq!(
        after.get::<u8>("late").await?,
        Some(2),
        "what the late request wrote"
    );
    Ok(())
}

/// This one asked for a new id, and was slow; another request has signed in meanwhile.
pub(super) async fn of_a_slow_rotation(kit: &Kit) -> Checked {
    let id = begin(kit, None).await?;
    let (fast, slow) = two(kit, &id)?;
    slow.get::<u8>("cart").await?;
    slow.rotate()?;
    fast.login("alice").await?;
    let new = set_id(fast.finish().await)?;
    keeps(slow.finish().await, "after a login")?;
    kit.alive(
        &new.key_as(kit.store.key_form()),
        "the session that signed in",
    )
    .await?;
    Ok(())
}

/// Another request has signed in: the old id is dead, what this one writes is dropped, and the
/// browser keeps what it was told.
pub(super) async fn after_a_login(kit: &Kit) -> Checked {
    let id = begin(kit, None).await?;
    let (early, late) = two(kit, &id)?;
    late.get::<u8>("cart").await?;
    early.login("alice").await?;
    let new = set_id(early.finish().await)?;
    late.set("late", &2)?;
    keeps(late.finish().await, "after a login")?;
    let after = kit.sessions().open(Some(&present(&new)?));
    ensure_eq!(
        after.get::<u8>("cart").await?,
        Some(1),
        "the visitor's data"
    );
    ensure_eq!(
        after.get::<u8>("late").await?,
        None,
        "what the late request wrote"
    );
    Ok(())
}

/// Another request has signed out: no write brings the session back or begins another one.
pub(super) async fn after_a_logout(kit: &Kit) -> Checked {
    let user = subject("alice")?;
    for loaded in [false, true] {
        let id = begin(kit, Some(&user)).await?;
        let (early, late) = two(kit, &id)?;
        if loaded {
            late.get::<u8>("cart").await?;
        }
        early.logout().await?;
        let outcome = early.finish().await;
        let cleared = matches!(outcome.cookie, Cookie::Clear);
        ensure!(cleared, "a logout left the cookie: {:?}", outcome.cookie);
        late.set("late", &2)?;
        let counted = late.increment("count", 1).await;
        let ended = counted.is_err_and(|error| *error.kind() == ErrorKind::SessionEnded);
        ensure!(ended, "an increment after a logout was not refused");
        keeps(late.finish().await, "after a logout")?;
        kit.gone(&id.key_as(kit.store.key_form()), "after the late response")
            .await?;
        ensure_eq!(
            kit.store.stats().await?.sessions,
            0,
            "sessions after a logout"
        );
    }
    Ok(())
}

/// All pairs of things that two requests do, in many interleavings: a cookie that is set opens a
/// session, unless the other request signed in or out over it; a dead one is not set again.
pub(super) async fn in_every_order(kit: &Kit) -> Checked {
    let yielding = Kit {
        store: YieldingStore::yielding(std::sync::Arc::clone(&kit.store)),
        ..kit.clone()
    };
    for first in Act::ALL {
        for second in Act::ALL {
            for head_start in 0..6 {
                race(&yielding, first, second, head_start).await?;
                race(&yielding, second, first, head_start).await?;
            }
        }
    }
    Ok(())
}

/// A well-formed id that nobody was given is not adopted, and the browser is told to forget it.
pub(super) async fn an_unknown_id_is_not_adopted(kit: &Kit) -> Checked {
    let unknown = kit.id(None)?;
    let session = kit.sessions().open(Some(&present(&unknown)?));
    ensure_eq!(
        session.get::<u8>("cart").await?,
        None,
        "what an unknown id reads"
    );
    let outcome = session.finish().await;
    ensure!(
        matches!(outcome.cookie, Cookie::Clear),
        "it is {:?}",
        outcome.cookie
    );
    let session = kit.sessions().open(Some(&present(&unknown)?));
    session.rotate()?;
    let outcome = session.finish().await;
    ensure!(
        matches!(outcome.cookie, Cookie::Clear),
        "after a rotation it is {:?}",
        outcome.cookie
    );
    let session = kit.sessions().open(Some(&present(&unknown)?));
    session.set("cart", &1)?;
    let new = set_id(session.finish().await)?;
    ensure!(!present(&unknown)?.is(&new), "an unknown id was adopted");
    kit.gone(&unknown.key_as(kit.store.key_form()), "the unknown id")
        .await?;
    kit.alive(
        &new.key_as(kit.store.key_form()),
        "the session that was created for it",
    )
    .await?;
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    Write,
    Rotate,
    Login,
    Logout,
}

impl Act {
    const ALL: [Self; 4] = [Self::Write, Self::Rotate, Self::Login, Self::Logout];

    async fn run(self, session: &Session) -> Result<(), Error> {
        match self {
            Self::Write => session.set("late", &1),
            Self::Rotate => session.rotate(),
            Self::Login => session.login("alice").await,
            Self::Logout => session.logout().await,
        }
    }
}

/// A request that acts after a while, and its response.
async fn request(session: &Session, act: Act, wait: usize) -> Result<Outcome, Error> {
    for _ in 0..wait {
        yield_now().await;
    }
    act.run(session).await?;
    Ok(session.finish().await)
}

async fn race(kit: &Kit, first: Act, second: Act, head_start: usize) -> Checked {
    let words = format!("{second:?}, {head_start} steps after {first:?}");
    let id = begin(kit, None).await?;
    let (one, two) = two(kit, &id)?;
    let runs = [request(&one, first, 0), request(&two, second, head_start)];
    let mut outcomes = Vec::new();
    for outcome in join_all(runs).await {
        let outcome = outcome?;
        outcome.saved?;
        outcomes.push(outcome.cookie);
    }
    let ended = [first, second].contains(&Act::Logout);
    let signed_in = [first, second].contains(&Act::Login);
    let mut alive = 0;
    let mut set = 0;
    for cookie in &outcomes {
        match cookie {
            Cookie::Keep => {}
            Cookie::Clear => ensure!(ended, "{words}: a live session's cookie was cleared"),
            Cookie::Set { id: new, .. } => {
                set += 1;
                ensure!(!present(&id)?.is(new), "{words}: the old id was set again");
                alive += usize::from(is_alive(kit, &new.key_as(kit.store.key_form())).await?);
            }
        }
    }
    let orphaned = set > 0 && alive == 0 && !ended;
    ensure!(!orphaned, "{words}: every cookie that was set is dead");
    if signed_in {
        kit.gone(
            &id.key_as(kit.store.key_form()),
            &format!("{words}: the id from before the login"),
        )
        .await?;
    }
    if ended && !signed_in {
        let left = outcomes
            .iter()
            .filter(|cookie| matches!(cookie, Cookie::Set { .. }));
        ensure!(
            left.count() == 0 || alive == 0,
            "{words}: a logout left the session alive"
        );
        kit.gone(
            &id.key_as(kit.store.key_form()),
            &format!("{words}: the id from before the logout"),
        )
        .await?;
    }
    // The next race begins without the sessions that this one left.
    kit.store.revoke_subject(&subject("alice")?, None).await?;
    Ok(())
}

/// A session with something in its cart, and its id.
async fn begin(kit: &Kit, user: Option<&Subject>) -> Checked<SessionId> {
    let id = kit.id(user)?;
    let mut new = kit.anonymous()?;
    new.subject = user.cloned();
    let mut cart = sets([])?;
    cart.set("cart", crate::record::Value::integer(1))?;
    new.fields = new.fields.changed(&cart)?.0;
    kit.store
        .create(&id.key_as(kit.store.key_form()), &new)
        .await?;
    Ok(id)
}

/// Two requests with one id.
fn two(kit: &Kit, id: &SessionId) -> Checked<(Session, Session)> {
    let sessions = kit.sessions();
    let presented = present(id)?;
    Ok((
        sessions.open(Some(&presented)),
        sessions.open(Some(&presented)),
    ))
}

fn set_id(outcome: Outcome) -> Checked<SessionId> {
    outcome.saved?;
    match outcome.cookie {
        Cookie::Set { id, .. } => Ok(id),
        other => Err(Broken(format!(
            "no new id was told to the browser, but {other:?}"
        ))),
    }
}

fn keeps(outcome: Outcome, when: &str) -> Checked {
    outcome.saved?;
    let keeps = matches!(outcome.cookie, Cookie::Keep);
    ensure!(
        keeps,
        "{when}: the late response says {:?} of the cookie",
        outcome.cookie
    );
    Ok(())
}

async fn is_alive(kit: &Kit, key: &StoredKey) -> Checked<bool> {
    Ok(matches!(kit.store.load(key).await?, Lookup::Found(_)))
}

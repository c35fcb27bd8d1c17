//! Promise 4: expiry is decided on reading, from the times inside the record; activity slides the
//! idle limit alone, and nothing but a login moves the absolute one.

use std::time::Duration;

use crate::Lifetimes;
use crate::record::{Changes, Condition, NewSession};
use crate::testkit::kit::{Checked, Kit, adds, ensure, ensure_eq, grace, sets, subject};

/// Without activity the session is over, for every reader, at once.
pub(super) async fn an_idle_session_ends(kit: &Kit) -> Checked {
    let user = subject("alice")?;
    let new = NewSession {
        lifetimes: kit.lifetimes(2, 20)?,
        ..kit.of(&user)?
    };
    let (key, _) = kit.begin(&new).await?;
    kit.pass(kit.unit()).await;
    kit.alive(&key, "within the idle limit").await?;
    kit.pass(kit.unit()).await;
    kit.gone(&key, "after the idle limit").await?;
    ensure!(
        kit.store.of_subject(&user).await?.is_empty(),
        "an expired session is listed"
    );
    ensure_eq!(
        kit.store.revoke_subject(&user, None).await?,
        0,
        "sessions to revoke"
    );
    let page = kit.store.scan(crate::store::Cursor::default(), 10).await?;
    ensure!(page.sessions.is_empty(), "a scan shows an expired session");
    Ok(())
}

/// A deadline is the first moment at which the session is over.
pub(super) async fn the_deadline_is_exact(kit: &Kit) -> Checked {
    let clock = kit.clock()?;
    let two =
        |idle, absolute| Lifetimes::new(Duration::from_secs(idle), Duration::from_secs(absolute));
    for (lifetimes, life) in [(two(100, 1000)?, 100), (two(1000, 100)?, 100)] {
        let new = NewSession {
            lifetimes,
            ..kit.anonymous()?
        };
        let (key, record) = kit.begin(&new).await?;
        let end = record
            .times
            .created_at
            .saturating_add(Duration::from_secs(life));
        clock.set(end.saturating_sub(Duration::from_millis(1)));
        let left = kit.alive(&key, "1 ms before its end").await?.remaining;
        ensure_eq!(left, Duration::from_millis(1), "what is left");
        clock.set(end);
        kit.gone(&key, "at its end").await?;
    }
    Ok(())
}

/// Touches and writes keep a session alive beyond its idle limit; reads do not.
pub(super) async fn activity_slides_the_idle_limit(kit: &Kit) -> Checked {
    let new = NewSession {
        lifetimes: kit.lifetimes(3, 60)?,
        ..kit.anonymous()?
    };
    let (read, _) = kit.begin(&new).await?;
    let (touched, _) = kit.begin(&with_new_handle(kit, &new)?).await?;
    let (written, _) = kit.begin(&with_new_handle(kit, &new)?).await?;
    for _ in 0..3 {
        kit.pass(kit.unit()).await;
        drop(kit.store.load(&read).await?);
        ensure_eq!(kit.store.touch(&[touched]).await?, 1, "touched sessions");
        kit.write(&written, &adds("count", 1)?).await?;
    }
    kit.gone(&read, "read, and never touched").await?;
    kit.alive(&touched, "touched every unit").await?;
    kit.alive(&written, "written every unit").await?;
    Ok(())
}

/// However busy a session is, its absolute limit ends it: one is touched, one changed, one rotated.
pub(super) async fn nothing_moves_the_absolute_limit(kit: &Kit) -> Checked {
    let new = NewSession {
        lifetimes: kit.lifetimes(3, 6)?,
        ..kit.anonymous()?
    };
    let mut busy = Vec::new();
    for doing in ["touch", "apply", "rotate"] {
        let (key, created) = kit.begin(&with_new_handle(kit, &new)?).await?;
        busy.push((doing, key, created.times.absolute_deadline()));
    }
    for minute in 1..6 {
        kit.pass(kit.unit()).await;
        for (doing, key, deadline) in &mut busy {
            match *doing {
                "touch" => drop(kit.store.touch(&[*key]).await?),
                "apply" => drop(kit.write(key, &adds("count", 1)?).await?),
                _ => (*key, _) = kit.turn(key, &grace(Duration::ZERO)).await?,
            }
            let loaded = kit.alive(key, "before its absolute limit").await?;
            let times = &loaded.record.times;
            ensure_eq!(
                times.absolute_deadline(),
                *deadline,
                "the limit after {doing}"
            );
            let most = kit.unit() * (6 - minute);
            ensure!(
                loaded.remaining <= most,
                "{:?} left after {doing}",
                loaded.remaining
            );
        }
    }
    kit.pass(kit.unit()).await;
    for (doing, key, _) in &busy {
        kit.gone(key, &format!("after its absolute limit, with {doing}"))
            .await?;
    }
    Ok(())
}

/// A login restarts the absolute limit with its own lifetimes; a rotation does not.
pub(super) async fn a_login_restarts_the_absolute_limit(kit: &Kit) -> Checked {
    let new = NewSession {
        lifetimes: kit.lifetimes(4, 4)?,
        ..kit.anonymous()?
    };
    let (key, created) = kit.begin(&new).await?;
    kit.pass(kit.unit() * 2).await;
    let mut login = kit.login(&subject("alice")?)?;
    let lifetimes = kit.lifetimes(4, 5)?;
    if let Some(login) = &mut login.login {
        login.lifetimes = lifetimes;
    }
    let (key, record) = kit.turn(&key, &login).await?;
    ensure_eq!(
        record.times.created_at,
        created.times.created_at,
        "the time of creation"
    );
    ensure_eq!(
        record.times.authenticated_at,
        Some(record.times.seen_at),
        "the login's time"
    );
    ensure_eq!(record.times.lifetimes, lifetimes, "the lifetimes");
    kit.pass(kit.unit() * 3).await;
    kit.alive(&key, "after the limit from before the login")
        .await?;
    let (key, rotated) = kit.turn(&key, &grace(Duration::ZERO)).await?;
    let authenticated = rotated.times.authenticated_at;
    ensure_eq!(
        authenticated,
        record.times.authenticated_at,
        "the login's time, rotated"
    );
    kit.pass(kit.unit() * 2).await;
    kit.gone(&key, "after the login's absolute limit").await?;
    Ok(())
}

/// Lifetimes that were granted to one session survive every later write of it.
pub(super) async fn granted_lifetimes_survive_writes(kit: &Kit) -> Checked {
    let granted = kit.lifetimes(20_000, 40_000)?;
    let mut login = kit.login(&subject("alice")?)?;
    if let Some(login) = &mut login.login {
        login.lifetimes = granted;
    }
    let (key, _) = kit.begin(&kit.anonymous()?).await?;
    let (key, _) = kit.turn(&key, &login).await?;
    kit.write(&key, &sets([("a", "1")])?).await?;
    kit.store.touch(&[key]).await?;
    let (key, _) = kit.turn(&key, &grace(Duration::ZERO)).await?;
    kit.store
        .apply(&key, &Changes::new(), &Condition::Always)
        .await?;
    let loaded = kit.alive(&key, "after writes").await?;
    ensure_eq!(
        loaded.record.times.lifetimes,
        granted,
        "the lifetimes after writes"
    );
    let most = kit.unit() * 20_000;
    let least = most.saturating_sub(kit.unit() * 10);
    ensure!(
        (least..=most).contains(&loaded.remaining),
        "{:?} left",
        loaded.remaining
    );
    Ok(())
}

/// A session without an idle limit lives to its absolute one, untouched.
pub(super) async fn a_fixed_session_needs_no_activity(kit: &Kit) -> Checked {
    let new = NewSession {
        lifetimes: Lifetimes::fixed(kit.unit() * 5)?,
        ..kit.anonymous()?
    };
    let (key, _) = kit.begin(&new).await?;
    kit.pass(kit.unit() * 4).await;
    let loaded = kit.alive(&key, "before its limit").await?;
    ensure!(
        !loaded.touch_due,
        "a touch is due that would change nothing"
    );
    kit.store.touch(&[key]).await?;
    kit.pass(kit.unit()).await;
    kit.gone(&key, "after its limit").await?;
    Ok(())
}

/// A touch is due when the last one is old enough, and no longer once it was recorded.
pub(super) async fn a_touch_is_due_in_time(kit: &Kit) -> Checked {
    let new = NewSession {
        lifetimes: Lifetimes::new(kit.unit() * 40, kit.unit() * 400)?,
        ..kit.anonymous()?
    };
    let (key, record) = kit.begin(&new).await?;
    let interval = record.times.lifetimes.touch_interval().unwrap_or_default();
    kit.pass(interval.saturating_sub(Duration::from_millis(1)))
        .await;
    ensure!(
        !kit.alive(&key, "early").await?.touch_due,
        "a touch is due too early"
    );
    kit.pass(Duration::from_millis(1)).await;
    ensure!(
        kit.alive(&key, "in time").await?.touch_due,
        "no touch is due in time"
    );
    let missing = kit.key()?;
    ensure_eq!(
        kit.store.touch(&[missing, key]).await?,
        1,
        "touched of two, one missing"
    );
    kit.gone(&missing, "touched, and never created").await?;
    let loaded = kit.alive(&key, "touched").await?;
    ensure!(!loaded.touch_due, "a touch is due after it was recorded");
    ensure_eq!(
        loaded.remaining,
        kit.unit() * 40,
        "what is left after a touch"
    );
    ensure_eq!(loaded.record.version, 1, "the version: a touch is no write");
    Ok(())
}

fn with_new_handle(kit: &Kit, new: &NewSession) -> Checked<NewSession> {
    Ok(NewSession {
        lifetimes: new.lifetimes,
        ..kit.anonymous()?
    })
}

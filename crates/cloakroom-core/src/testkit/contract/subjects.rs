//! The sessions of a subject: after every operation the listing is the truth, no ghost and no
//! omission, and nobody sees or ends another's.

use std::collections::BTreeMap;

use crate::record::{NewSession, Subject};
use crate::testkit::kit::{Checked, Kit, adds, ensure, ensure_eq, grace, sets, subject};
use crate::{Handle, StoredKey};

/// A day in the life of three subjects; after every step every listing is compared with the truth.
pub(super) async fn the_listing_is_the_truth(kit: &Kit) -> Checked {
    let mut truth = Truth::new(kit, ["alice", "bob", "carol"])?;
    let alice = truth.subjects[0].clone();
    let bob = truth.subjects[1].clone();
    for owner in [&alice, &bob, &alice, &alice] {
        truth.begin(owner).await?;
    }
    let keys = truth.keys_of(&alice);
    let moved = truth.rotate(&keys[0]).await?;
    let moved = truth.rotate(&moved).await?;
    kit.write(&moved, &sets([("a", "1")])?).await?;
    kit.store.touch(&[moved, keys[1]]).await?;
    truth.check("after writes").await?;
    let moved = truth.login(&moved, &alice).await?;
    let anonymous = kit.begin(&kit.anonymous()?).await?;
    truth
        .sessions
        .insert(anonymous.0, (anonymous.1.handle, None));
    let bobs = truth.login(&anonymous.0, &bob).await?;
    let carols = truth.login(&bobs, &truth.subjects[2].clone()).await?;
    truth.destroy(&carols).await?;
    truth.destroy(&keys[1]).await?;
    truth.revoke(&moved).await?;
    truth.revoke_subject(&alice, None).await?;
    truth.begin(&alice).await?;
    let (kept, _) = truth.begin(&alice).await?;
    let handle = truth.sessions[&kept].0;
    truth.revoke_subject(&alice, Some(handle)).await?;
    kit.store.revoke_all().await?;
    truth.sessions.clear();
    truth.check("after everything was revoked").await?;
    truth.begin(&bob).await?;
    Ok(())
}

/// Sessions that expire leave the listing, whichever limit struck, whatever they did before.
pub(super) async fn the_listing_forgets_the_expired(kit: &Kit) -> Checked {
    let user = subject("alice")?;
    let short = NewSession {
        lifetimes: kit.lifetimes(2, 20)?,
        ..kit.of(&user)?
    };
    let (rotated, _) = kit.begin(&short).await?;
    let (_, kept) = kit.begin(&kit.of(&user)?).await?;
    kit.turn(&rotated, &grace(kit.unit())).await?;
    ensure_eq!(
        kit.store.of_subject(&user).await?.len(),
        2,
        "listed sessions"
    );
    kit.pass(kit.unit() * 2).await;
    let listed = kit.store.of_subject(&user).await?;
    let handles: Vec<Handle> = listed.iter().map(|info| info.handle).collect();
    ensure_eq!(handles, [kept.handle], "listed after one expired");
    Ok(())
}

/// The last signed in comes first, and each entry says what the session is.
pub(super) async fn the_listing_is_ordered(kit: &Kit) -> Checked {
    let user = subject("alice")?;
    let mut expected = Vec::new();
    let mut keys = Vec::new();
    for _ in 0..4 {
        let (key, record) = kit.begin(&kit.of(&user)?).await?;
        kit.pass(kit.unit()).await;
        keys.push(key);
        expected.insert(0, record.handle);
    }
    kit.write(&keys[0], &adds("count", 1)?).await?;
    let (_, again) = kit.turn(&keys[1], &kit.login(&user)?).await?;
    expected.retain(|handle| *handle != again.handle);
    expected.insert(0, again.handle);
    let listed = kit.store.of_subject(&user).await?;
    let handles: Vec<Handle> = listed.iter().map(|info| info.handle).collect();
    ensure_eq!(handles, expected, "the order");
    let info = listed.last().filter(|info| info.version == 2);
    ensure!(info.is_some(), "the listing does not know the last write");
    ensure!(
        listed
            .iter()
            .all(|info| info.subject.as_ref() == Some(&user)),
        "another's session"
    );
    Ok(())
}

/// What should be listed.
struct Truth<'a> {
    kit: &'a Kit,
    subjects: Vec<Subject>,
    sessions: BTreeMap<StoredKey, (Handle, Option<Subject>)>,
}

impl<'a> Truth<'a> {
    fn new(kit: &'a Kit, names: [&str; 3]) -> Checked<Self> {
        Ok(Self {
            kit,
            subjects: names.into_iter().map(subject).collect::<Checked<_>>()?,
            sessions: BTreeMap::new(),
        })
    }

    fn keys_of(&self, owner: &Subject) -> Vec<StoredKey> {
        let owned = self.sessions.iter();
        let owned = owned.filter(|(_, (_, subject))| subject.as_ref() == Some(owner));
        owned.map(|(key, _)| *key).collect()
    }

    async fn begin(&mut self, owner: &Subject) -> Checked<(StoredKey, Handle)> {
        let (key, record) = self.kit.begin(&self.kit.of(owner)?).await?;
        self.sessions
            .insert(key, (record.handle, Some(owner.clone())));
        self.check("after a login").await?;
        Ok((key, record.handle))
    }

    async fn rotate(&mut self, old: &StoredKey) -> Checked<StoredKey> {
        let (new, _) = self.kit.turn(old, &grace(self.kit.unit())).await?;
        if let Some(session) = self.sessions.remove(old) {
            self.sessions.insert(new, session);
        }
        self.check("after a rotation").await?;
        Ok(new)
    }

    async fn login(&mut self, old: &StoredKey, owner: &Subject) -> Checked<StoredKey> {
        let (new, record) = self.kit.turn(old, &self.kit.login(owner)?).await?;
        self.sessions.remove(old);
        self.sessions
            .insert(new, (record.handle, Some(owner.clone())));
        self.check("after a login of an old session").await?;
        Ok(new)
    }

    async fn destroy(&mut self, key: &StoredKey) -> Checked {
        ensure!(
            self.kit.store.destroy(key).await?,
            "a live session was not alive"
        );
        self.sessions.remove(key);
        self.check("after a logout").await
    }

    async fn revoke(&mut self, key: &StoredKey) -> Checked {
        let (handle, owner) = self.sessions[key].clone();
        for stranger in self
            .subjects
            .iter()
            .filter(|stranger| Some(*stranger) != owner.as_ref())
        {
            let revoked = self.kit.store.revoke(stranger, &handle).await?;
            ensure!(!revoked, "a stranger revoked a session");
        }
        self.kit
            .alive(key, "after strangers tried to revoke it")
            .await?;
        if let Some(owner) = owner {
            let revoked = self.kit.store.revoke(&owner, &handle).await?;
            ensure!(revoked, "the owner could not revoke a session");
        }
        self.sessions.remove(key);
        self.check("after a revocation").await
    }

    async fn revoke_subject(&mut self, owner: &Subject, except: Option<Handle>) -> Checked {
        let before = self.sessions.len();
        self.sessions.retain(|_, (handle, subject)| {
            subject.as_ref() != Some(owner) || Some(*handle) == except
        });
        let revoked = self
            .kit
            .store
            .revoke_subject(owner, except.as_ref())
            .await?;
        ensure_eq!(
            revoked,
            before - self.sessions.len(),
            "sessions that were revoked"
        );
        self.check("after the revocation of a subject's sessions")
            .await
    }

    async fn check(&self, when: &str) -> Checked {
        for owner in &self.subjects {
            let listed = self.kit.store.of_subject(owner).await?;
            let mut listed: Vec<Handle> = listed.iter().map(|info| info.handle).collect();
            listed.sort();
            let keys = self.keys_of(owner);
            let mut truth: Vec<Handle> = keys.iter().map(|key| self.sessions[key].0).collect();
            truth.sort();
            ensure_eq!(listed, truth, "{when}: the listing of a subject");
            for key in keys {
                self.kit.alive(&key, when).await?;
            }
        }
        Ok(())
    }
}

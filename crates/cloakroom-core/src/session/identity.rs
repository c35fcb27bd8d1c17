//! Who the session belongs to: signing in and out, new ids, the subject's other sessions.

use super::Session;
use super::state::{Cookie, Ticket};
use crate::error::{Error, ErrorKind};
use crate::id::{Handle, SlotTag};
use crate::observe::{Event, Operation};
use crate::record::{FieldName, Keep, Label, Login, Record, Rotation, SessionInfo, Subject};
use crate::store::Absence;

/// How somebody signs in.
#[derive(Clone, Debug)]
pub struct LoginOptions {
    subject: String,
    label: Option<Label>,
    remember: bool,
    keep: Option<Vec<String>>,
}

impl LoginOptions {
    /// `subject` signs in.
    #[must_use]
    pub fn new(subject: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            label: None,
            remember: false,
            keep: None,
        }
    }

    /// A devices page shows this for the session ("Firefox on Linux").
    #[must_use]
    pub fn label(mut self, label: &str) -> Self {
        self.label = Some(Label::new(label));
        self
    }

    /// The session lives as long as the policy allows remembered ones, if `remember`.
    #[must_use]
    pub const fn remember(mut self, remember: bool) -> Self {
        self.remember = remember;
        self
    }

    /// Of the data from before the login only these fields stay. Without it all of them do, unless
    /// they are another subject's: those never do.
    #[must_use]
    pub fn keep_only<I, S>(mut self, names: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        self.keep = Some(names.into_iter().map(Into::into).collect());
        self
    }
}

impl Session {
    /// `subject` has proved who they are: the session is theirs from now on, under a new id. The
    /// old id is dead at once. This is the only way to attach a subject, and it always rotates
    /// (OWASP: renew the id after any change of privilege).
    ///
    /// # Errors
    /// As [`Session::login_with`].
    pub async fn login(&self, subject: &str) -> Result<(), Error> {
        self.login_with(LoginOptions::new(subject)).await
    }

    /// [`Session::login`] with a label, "remember me", or less to keep.
    ///
    /// # Errors
    /// [`ErrorKind::TooManySessions`] if the policy refuses another one,
    /// [`ErrorKind::RememberNotAllowed`], a subject over its limit, [`ErrorKind::Finished`], the
    /// store's errors. The session is as it was then.
    pub async fn login_with(&self, options: LoginOptions) -> Result<(), Error> {
        let login = self.login_of(options)?;
        self.lock().open_for_changes()?;
        let _gate = self.0.gate.lock().await;
        let (key, changes, rotate) = {
            let mut state = self.lock();
            // Again: while this waited, the response may have been decided.
            state.open_for_changes()?;
            let changes = std::mem::take(&mut state.overlay);
            (state.key(), changes, std::mem::take(&mut state.rotate))
        };
        let tag = SlotTag::of_subject(&login.subject);
        let rotation = Rotation {
            changes,
            login: Some(login),
            grace: std::time::Duration::ZERO,
        };
        let result = match key {
            Some(key) => self.move_to_new_id(key, tag, rotation.clone()).await,
            None => Ok(Some(Absence::Unknown)),
        };
        let result = match result {
            Ok(None) => Ok(()),
            Ok(Some(_)) => {
                self.create(&rotation.changes, rotation.login.as_ref())
                    .await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            self.put_back(rotation.changes);
            self.lock().rotate |= rotate;
            return Err(error);
        }
        // Not in one expression: observers are not called under a lock.
        let handle = self.lock().record().map(|record| record.handle);
        if let Some(handle) = handle {
            self.observe(&Event::LoggedIn(handle));
        }
        Ok(())
    }

    /// Ends the session. When this returns, no id of it opens anything any more.
    ///
    /// # Errors
    /// [`ErrorKind::Finished`], the store's errors; the session may then be alive.
    pub async fn logout(&self) -> Result<(), Error> {
        self.lock().open_for_changes()?;
        let _gate = self.0.gate.lock().await;
        let (key, handle) = {
            let mut state = self.lock();
            state.open_for_changes()?;
            (state.key(), state.record().map(|record| record.handle))
        };
        if let Some(key) = key {
            if self.destroy(key).await? {
                self.observe(&Event::LoggedOut(handle));
            }
            self.left_behind();
        }
        self.lock().overlay = crate::record::Changes::new();
        Ok(())
    }

    /// Gives the session a new id, together with what else is written before the response: no late
    /// response of a slow request can then put this id over a newer one. Requests that are on their
    /// way with the old id still reach the session, for the rotation grace. No clock is reset. If
    /// another request has rotated it by then, nothing happens.
    ///
    /// # Errors
    /// [`ErrorKind::Finished`].
    pub fn rotate(&self) -> Result<(), Error> {
        let mut state = self.lock();
        state.open_for_changes()?;
        state.rotate = true;
        Ok(())
    }

    /// Who is signed in.
    ///
    /// # Errors
    /// The store's errors.
    pub async fn subject(&self) -> Result<Option<Subject>, Error> {
        Ok(self.look(|record| record.subject.clone()).await?.flatten())
    }

    /// The session's public name, if it exists yet. May be logged and shown.
    ///
    /// # Errors
    /// The store's errors.
    pub async fn handle(&self) -> Result<Option<Handle>, Error> {
        self.look(|record| record.handle).await
    }

    /// The session's version, if it exists yet: it counts the writes, from 1.
    ///
    /// # Errors
    /// The store's errors.
    pub async fn version(&self) -> Result<Option<u64>, Error> {
        self.look(|record| record.version).await
    }

    /// The sessions of the signed-in user, this one among them ([`Session::handle`] tells which).
    ///
    /// # Errors
    /// [`ErrorKind::NotLoggedIn`], the store's errors.
    pub async fn sessions(&self) -> Result<Vec<SessionInfo>, Error> {
        let (subject, _) = self.owner().await?;
        let sessions = self.config().store.of_subject(&subject).await;
        self.noting(Operation::OfSubject, sessions)
    }

    /// Ends one of the signed-in user's sessions. Returns whether it was alive; another user's
    /// handle is as unknown as any (ASVS 5.0, 7.5.2).
    ///
    /// # Errors
    /// [`ErrorKind::NotLoggedIn`], [`ErrorKind::Finished`], the store's errors.
    pub async fn revoke(&self, handle: &Handle) -> Result<bool, Error> {
        self.lock().open_for_changes()?;
        let (subject, own) = self.owner().await?;
        if own == *handle {
            self.logout().await?;
            return Ok(true);
        }
        self.revoke_one(subject, *handle).await
    }

    /// Ends all other sessions of the signed-in user. Returns how many there were.
    ///
    /// # Errors
    /// [`ErrorKind::NotLoggedIn`], [`ErrorKind::Finished`], the store's errors.
    pub async fn logout_everywhere_else(&self) -> Result<usize, Error> {
        self.lock().open_for_changes()?;
        let (subject, own) = self.owner().await?;
        self.revoke_subject(subject, Some(own)).await
    }

    /// Ends all sessions of the signed-in user, this one too. Returns how many there were.
    ///
    /// # Errors
    /// As [`Session::logout_everywhere_else`].
    pub async fn logout_everywhere(&self) -> Result<usize, Error> {
        self.lock().open_for_changes()?;
        let (subject, _) = self.owner().await?;
        let _gate = self.0.gate.lock().await;
        self.lock().open_for_changes()?;
        let revoked = self.revoke_subject(subject, None).await?;
        self.left_behind();
        self.lock().overlay = crate::record::Changes::new();
        Ok(revoked)
    }

    async fn look<T>(&self, at: impl FnOnce(&Record) -> T) -> Result<Option<T>, Error> {
        self.load().await?;
        Ok(self.lock().record().map(at))
    }

    async fn owner(&self) -> Result<(Subject, Handle), Error> {
        let owner = self.look(|record| record.subject.clone().map(|owner| (owner, record.handle)));
        owner
            .await?
            .flatten()
            .ok_or_else(|| ErrorKind::NotLoggedIn.into())
    }

    fn login_of(&self, options: LoginOptions) -> Result<Login, Error> {
        let policy = &self.config().policy;
        let lifetimes = if options.remember {
            policy
                .remember_lifetimes()
                .ok_or(ErrorKind::RememberNotAllowed)?
        } else {
            policy.lifetimes()
        };
        let keep = match options.keep {
            None => Keep::All,
            Some(names) => {
                let names: Result<Vec<_>, _> =
                    names.iter().map(|name| FieldName::new(name)).collect();
                Keep::Only(names?)
            }
        };
        Ok(Login {
            subject: Subject::new(&options.subject)?,
            label: options.label,
            lifetimes,
            max_sessions: policy.session_limit(),
            keep,
        })
    }

    /// The session that was is no more, by this request's own will.
    fn left_behind(&self) {
        let mut state = self.lock();
        state.ticket = Ticket::None;
        state.cookie = Cookie::Clear;
        state.touch = None;
        state.rotate = false;
    }
}

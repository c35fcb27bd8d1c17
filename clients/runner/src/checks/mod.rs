//! The checks: what every application must do with every server. clients/README.md has them in words.

mod cart;
mod crash;
mod limits;
mod logout;
mod many;
mod revoke;
mod signing;

use std::fmt;

use crate::application::Application;
use crate::apps::{App, Variant};
use crate::fault::Fault;
use crate::server::{Limits, Server};
use crate::visitor::Visitor;
use crate::wire::Wire;

/// A check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Nobody signs in and is somebody.
    SignIn,
    /// A new id at each step that changes what it opens.
    NewId,
    /// An id that a visitor made up is not taken.
    Forged,
    /// What several requests put in is there.
    Cart,
    /// The idle limit slides, and ends.
    Idle,
    /// The absolute limit ends also who comes all the time.
    Absolute,
    /// A late save does not undo a logout.
    Logout,
    /// A user's sessions are listed and ended by the server's own API.
    Revoke,
    /// A crash of the server signs nobody out.
    Crash,
    /// Many sessions, listed and cleared.
    Many,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it must.
    Held,
    /// A logout was undone.
    Undone,
    /// Half of a session came back after its logout: every request with its cookie fails.
    Broken,
    /// Sessions were gone after a crash.
    Forgotten,
    /// An id that a visitor made up was taken for one.
    Taken,
    /// The absolute limit was not enforced.
    NoLimit,
    /// Of requests that overlap, what the last one saved is there and nothing else.
    LastOnly,
    /// The idle limit slides by requests that change the session, and by no others.
    ByWrites,
    /// The framework clears sessions and cannot list them.
    NoList,
    /// The framework lists and ends the sessions of one user, and no others.
    ByUser,
    /// The framework has no call for it.
    NoCall,
}

/// Everything that a check has to do with: one application on one server, both running.
pub(crate) struct Scene<'a> {
    pub(crate) app: &'a App,
    pub(crate) variant: &'a Variant,
    pub(crate) server: &'a Server,
    pub(crate) application: &'a Application,
    pub(crate) wire: &'a Wire,
    pub(crate) limits: Limits,
    /// Whether the server hashes ids and seals values.
    pub(crate) at_rest: bool,
}

impl Check {
    /// All of them, in the order of the matrix.
    pub const ALL: [Self; 10] = [
        Self::SignIn,
        Self::NewId,
        Self::Forged,
        Self::Cart,
        Self::Idle,
        Self::Absolute,
        Self::Logout,
        Self::Revoke,
        Self::Crash,
        Self::Many,
    ];

    /// The ones that wait for limits to pass.
    pub(crate) const SHORT: [Self; 2] = [Self::Idle, Self::Absolute];

    /// The others; the last one ends all sessions.
    pub(crate) const ORDINARY: [Self; 8] = [
        Self::SignIn,
        Self::NewId,
        Self::Forged,
        Self::Cart,
        Self::Logout,
        Self::Revoke,
        Self::Crash,
        Self::Many,
    ];

    /// Its name in clients/README.md.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SignIn => "sign-in",
            Self::NewId => "new-id",
            Self::Forged => "forged",
            Self::Cart => "cart",
            Self::Idle => "idle",
            Self::Absolute => "absolute",
            Self::Logout => "logout",
            Self::Revoke => "revoke",
            Self::Crash => "crash",
            Self::Many => "many",
        }
    }

    /// Whether the check says anything of that application.
    pub(crate) fn concerns(self, app: &App) -> bool {
        self != Self::Revoke || revoke::subject(app).is_some()
    }

    pub(crate) async fn run(self, scene: &Scene<'_>) -> Result<Verdict, Fault> {
        match self {
            Self::SignIn => signing::sign_in(scene).await,
            Self::NewId => signing::new_id(scene).await,
            Self::Forged => signing::forged(scene).await,
            Self::Cart => cart::cart(scene).await,
            Self::Idle => limits::idle(scene).await,
            Self::Absolute => limits::absolute(scene).await,
            Self::Logout => logout::logout(scene).await,
            Self::Revoke => revoke::revoke(scene).await,
            Self::Crash => crash::crash(scene).await,
            Self::Many => many::many(scene).await,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Held => "held",
            Self::Undone => "UNDONE",
            Self::Broken => "BROKEN",
            Self::Forgotten => "FORGOTTEN",
            Self::Taken => "TAKEN",
            Self::NoLimit => "no limit",
            Self::LastOnly => "last only",
            Self::ByWrites => "by writes",
            Self::NoList => "no list",
            Self::ByUser => "by user",
            Self::NoCall => "no call",
        })
    }
}

impl Scene<'_> {
    /// Somebody who comes for the first time.
    pub(crate) fn visitor(&self) -> Result<Visitor, Fault> {
        Visitor::new(self.application.port)
    }

    /// Somebody who has signed in.
    pub(crate) async fn signed_in(&self, user: &str) -> Result<Visitor, Fault> {
        let mut visitor = self.visitor()?;
        visitor.login(user).await?;
        Ok(visitor)
    }

    /// The id of a visitor's session, as the cookie has it.
    pub(crate) fn id<'v>(&self, visitor: &'v Visitor) -> Result<&'v str, Fault> {
        let name = self.app.cookie;
        visitor
            .cookie(name)
            .ok_or_else(|| Fault::new(format!("there is no cookie {name}")))
    }
}

//! What a test's handler does: a script, so that the same one runs in every carrier's handler.

use std::sync::Arc;
use std::time::Duration;

use cloakroom::core::observe::Operation;
use cloakroom::{ErrorKind, LoginOptions, Result, Session};

use crate::world::World;

#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Writes `name=value ` into the body.
    Get(&'static str),
    Set(&'static str, i64),
    /// Sets a value of this many bytes.
    SetBytes(&'static str, usize),
    Increment(&'static str),
    Login(&'static str),
    LoginRemembered(&'static str),
    Logout,
    Rotate,
    /// Writes the subject into the body.
    Who,
    /// Another request with the same cookie does this in the meantime.
    Elsewhere(Elsewhere),
    /// From now on this operation fails.
    Break(Operation, ErrorKind),
    /// The application's response has this header.
    Header(&'static str, &'static str),
    /// The application's response has this status.
    Status(u16),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Elsewhere {
    Login(&'static str),
    Logout,
    Rotate,
    Set(&'static str, i64),
}

#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) world: Arc<World>,
    /// The id in the request's cookie, if it is one.
    pub(crate) id: Option<String>,
    pub(crate) steps: Vec<Step>,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    pub(crate) body: String,
}

impl Script {
    pub(crate) async fn run(&self, session: Session) -> Result<Reply> {
        let mut reply = Reply {
            status: 200,
            headers: Vec::new(),
            body: String::new(),
        };
        for step in &self.steps {
            self.step(step, &session, &mut reply).await?;
        }
        Ok(reply)
    }

    async fn step(&self, step: &Step, session: &Session, reply: &mut Reply) -> Result<()> {
        match step {
            Step::Get(name) => {
                let value = session.get::<i64>(name).await?;
                reply.body += &format!("{name}={} ", value.map_or("-".into(), |n| n.to_string()));
            }
            Step::Set(name, value) => session.set(name, value)?,
            Step::SetBytes(name, length) => session.set(name, &"x".repeat(*length))?,
            Step::Increment(name) => drop(session.increment(name, 1).await?),
            Step::Login(who) => session.login(who).await?,
            Step::LoginRemembered(who) => {
                session
                    .login_with(LoginOptions::new(*who).remember(true))
                    .await?;
            }
            Step::Logout => session.logout().await?,
            Step::Rotate => session.rotate()?,
            Step::Who => {
                let who = session.subject().await?;
                reply.body += who.as_ref().map_or("nobody", |who| who.as_str());
            }
            Step::Elsewhere(what) => self.elsewhere(*what).await?,
            Step::Break(operation, kind) => {
                self.world.probe.break_down(*operation, kind.clone());
            }
            Step::Header(name, value) => reply.headers.push((name, value)),
            Step::Status(status) => reply.status = *status,
        }
        Ok(())
    }

    async fn elsewhere(&self, what: Elsewhere) -> Result<()> {
        let other = self.world.other_request(self.id.as_deref().unwrap());
        match what {
            Elsewhere::Login(who) => other.login(who).await?,
            Elsewhere::Logout => other.logout().await?,
            Elsewhere::Rotate => other.rotate()?,
            Elsewhere::Set(name, value) => other.set(name, &value)?,
        }
        other.finish().await.saved?;
        self.world.clock.advance(Duration::from_millis(1));
        Ok(())
    }
}

//! One row of the table: what a request is, what its handler does, what the response has to be; and
//! the one check of it.

use std::sync::Arc;
use std::time::Duration;

use cloakroom::SessionConfig;

use crate::carriers::{Carrier, Received, send};
use crate::script::{Script, Step};
use crate::world::World;

pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) config: fn(SessionConfig) -> SessionConfig,
    /// What an earlier request of the visitor did; its cookie is `{cookie}` below, name and value,
    /// and `{id}`, the value alone.
    pub(crate) before: &'static [Step],
    /// How long ago that was.
    pub(crate) elapsed: Duration,
    /// The request's `Cookie` lines.
    pub(crate) cookies: &'static [&'static str],
    pub(crate) host: &'static str,
    pub(crate) steps: &'static [Step],
    pub(crate) status: u16,
    pub(crate) told: Told,
    /// The `Vary` lines.
    pub(crate) vary: &'static [&'static str],
    /// The `Cache-Control` lines.
    pub(crate) cache: &'static [&'static str],
    pub(crate) calls: &'static str,
    pub(crate) refusals: &'static [&'static str],
    pub(crate) body: &'static str,
    /// What a later request reads of `n` with the cookie from before, and with the new one.
    pub(crate) then_old: Option<&'static str>,
    pub(crate) then_new: Option<&'static str>,
}

/// What the browser is told of the id.
pub(crate) enum Told {
    Nothing,
    /// A new id, with everything after the value.
    New(&'static str),
    /// The whole header.
    Clear(&'static str),
}

/// A visitor without a cookie.
pub(crate) const STRANGER: Case = Case {
    cookies: &[],
    ..Case::DEFAULT
};

pub(crate) const FINE: &[&str] = &[];
pub(crate) const MALFORMED: &[&str] = &["malformed"];
pub(crate) const DUPLICATE: &[&str] = &["duplicate"];
pub(crate) const TOO_LONG: &[&str] = &["too long"];
pub(crate) const FORGED: &[&str] = &["forged"];
pub(crate) const VARY: &[&str] = &["cookie"];
pub(crate) const NO_STORE: &[&str] = &["no-store"];
pub(crate) const NEW: Told = Told::New("; Path=/; Secure; HttpOnly; SameSite=Lax");
pub(crate) const CLEAR: Told =
    Told::Clear("__Host-id=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax");

impl Case {
    /// A request with the visitor's cookie, whose handler does nothing.
    pub(crate) const DEFAULT: Self = Self {
        name: "",
        config: |config| config,
        before: &[Step::Set("n", 1)],
        elapsed: Duration::ZERO,
        cookies: &["{cookie}"],
        host: "shop.example",
        steps: &[],
        status: 200,
        told: Told::Nothing,
        vary: &[],
        cache: &[],
        calls: "",
        refusals: &[],
        body: "",
        then_old: None,
        then_new: None,
    };

    /// Why `carrier` does not do as the row says, if it does not.
    pub(crate) async fn check(&self, carrier: Carrier) -> Result<(), String> {
        let world = World::new();
        let config = (self.config)(world.config());
        let cookie = self.earlier(carrier, &world, &config).await;
        let id = cookie.split_once('=').map_or("", |(_, value)| value);
        world.clock.advance(self.elapsed);
        let fill = |line: &&str| fill(line, &cookie, id);
        let cookies: Vec<_> = self.cookies.iter().map(fill).collect();
        world.probe.take_calls();
        world.events.take();

        let script = Script {
            world: Arc::clone(&world),
            id: (id.len() >= 45).then(|| id[..45].to_owned()),
            steps: self.steps.to_vec(),
        };
        let received = send(carrier, &config, self.host, &cookies, script).await;

        same("store calls", &*world.probe.take_calls(), self.calls)?;
        same("status", received.status, self.status)?;
        same("body", &*received.body, self.body)?;
        same("vary", received.all("vary"), self.vary.to_vec())?;
        same(
            "cache-control",
            received.all("cache-control"),
            self.cache.to_vec(),
        )?;
        same(
            "refusals",
            world.events.take_refusals(),
            self.refusals.to_vec(),
        )?;
        let retry: &[&str] = if self.status == 503 { &["1"] } else { &[] };
        same("retry-after", received.all("retry-after"), retry.to_vec())?;
        let names_us = format!("{:?}", received.headers).contains("cloakroom");
        same("a header names this program", names_us, false)?;
        let new = self.told(&received, id)?;
        for (what, cookie, body) in [
            ("old cookie", Some(&cookie), self.then_old),
            ("new cookie", new.as_ref(), self.then_new),
        ] {
            let Some(body) = body else { continue };
            let later = vec![cookie.cloned().unwrap_or_default()];
            let steps = vec![Step::Get("n")];
            let script = Script {
                world: Arc::clone(&world),
                id: None,
                steps,
            };
            let received = send(carrier, &config, self.host, &later, script).await;
            same(what, received.body.trim_end(), body)?;
        }
        Ok(())
    }

    /// The cookie that an earlier visit got, as the browser sends it.
    async fn earlier(
        &self,
        carrier: Carrier,
        world: &Arc<World>,
        config: &SessionConfig,
    ) -> String {
        let script = Script {
            world: Arc::clone(world),
            id: None,
            steps: self.before.to_vec(),
        };
        let received = send(carrier, config, "localhost", &[], script).await;
        let set = received.all("set-cookie");
        set.first()
            .and_then(|set| set.split(';').next())
            .unwrap_or_default()
            .to_owned()
    }

    fn told(&self, received: &Received, old: &str) -> Result<Option<String>, String> {
        let set = received.all("set-cookie");
        match self.told {
            Told::Nothing => same("set-cookie", set, Vec::new()).map(|()| None),
            Told::Clear(whole) => same("set-cookie", set, vec![whole]).map(|()| None),
            Told::New(attributes) => {
                same("number of set-cookie", set.len(), 1)?;
                let (pair, rest) = set[0].split_at(set[0].find(';').unwrap_or(0));
                same("attributes", rest, attributes)?;
                let value = pair.split_once('=').map_or("", |(_, value)| value);
                if value == old || value.len() < 45 {
                    return Err(format!("no new id: {pair}"));
                }
                Ok(Some(pair.to_owned()))
            }
        }
    }
}

/// A `Cookie` line: `{cookie}` and `{id}` as said above, `{unknown}` is an id that nobody has, and
/// `{44}` are so many characters of one.
fn fill(line: &str, cookie: &str, id: &str) -> String {
    let mut line = line.replace("{cookie}", cookie).replace("{id}", id);
    line = line.replace("{unknown}", &"A".repeat(45));
    for length in [22, 44, 8000, 9000, 16384] {
        line = line.replace(&format!("{{{length}}}"), &"A".repeat(length));
    }
    line
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "callers compare what they just made"
)]
fn same<T: PartialEq + std::fmt::Debug>(what: &str, is: T, should: T) -> Result<(), String> {
    if is == should {
        return Ok(());
    }
    Err(format!("{what}: is {is:?}, should be {should:?}"))
}

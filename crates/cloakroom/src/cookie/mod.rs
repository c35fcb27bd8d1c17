//! The session cookie: its name, its attributes, and how both are written. Everything here is
//! decided when the application starts; a request only reads.

mod jar;
mod sign;

use std::time::Duration;

use cloakroom_core::session::Cookie;
use cloakroom_core::{Error, ErrorKind, SessionId, limits};

pub use jar::presented_id;
pub(crate) use jar::{read, value_of};
pub use sign::{CookieKey, CookieKeys};

/// The session cookie's name and attributes.
///
/// The default is `__Host-id=...; Path=/; Secure; HttpOnly; SameSite=Lax`: sent by browsers to this
/// very host alone, over https alone, never to scripts (RFC 6265bis; OWASP Session Management).
/// `Secure`, `HttpOnly` and `Path=/` cannot be turned off, and every attribute is written each time,
/// for deletion too: a browser ignores a deletion whose attributes break the name's prefix.
///
/// ```
/// use cloakroom::{CookieConfig, SameSite};
///
/// let cookie = CookieConfig::default().name("sid")?.same_site(SameSite::Strict)?;
/// assert_eq!(cookie.full_name(), "__Host-sid");
/// # Ok::<(), cloakroom::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieConfig {
    base_name: String,
    scope: Scope,
    same_site: SameSite,
    persistence: Persistence,
    /// Derived: prefix and base name.
    full_name: String,
    /// Derived: everything after the value.
    attributes: String,
}

/// To which requests of other sites the browser adds the cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SameSite {
    /// To none, not even when a link is followed.
    Strict,
    /// When a link is followed. The default.
    #[default]
    Lax,
    /// To all of them. Then the application needs a defence against CSRF of its own.
    None,
}

/// Whether the browser keeps the cookie when it is closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Persistence {
    /// Only for visitors who asked to be remembered. The default.
    #[default]
    Remembered,
    /// Always, as long as the session may live.
    Always,
    /// Never.
    Never,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Scope {
    Host,
    Domain(String),
    Development,
}

/// The environment variable that consents to [`CookieConfig::insecure_for_development`] in a release
/// build, with the value `1`.
pub const ALLOW_INSECURE_COOKIES: &str = "CLOAKROOM_ALLOW_INSECURE_COOKIES";

impl CookieConfig {
    /// The same cookie with this name after the prefix, in place of `id`. It is better not to name
    /// a framework or a program (OWASP Session Management, session id name).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidSetting`] if it is empty, has characters that no cookie's name has
    /// (RFC 6265, 4.1.1), brings a prefix of its own, or makes the cookie too large.
    pub fn name(mut self, name: &str) -> Result<Self, crate::Error> {
        let refuse = |fix| invalid("cookie name", name, fix);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(refuse("use letters, digits, - and _"));
        }
        let lower = name.to_ascii_lowercase();
        if ["__host-", "__secure-", "__http-"]
            .iter()
            .any(|prefix| lower.starts_with(prefix))
        {
            return Err(refuse(
                "leave the prefix out; it follows from the cookie's scope",
            ));
        }
        if LONGEST_PREFIX + name.len() + sign::SIGNED_CHARS > limits::COOKIE_BYTES {
            return Err(refuse(
                "name and value have 4096 bytes together, or browsers ignore them",
            ));
        }
        name.clone_into(&mut self.base_name);
        Ok(self.derived())
    }

    /// The same cookie, for all hosts of `domain` in place of this one alone. Every one of them
    /// then receives the secret, and can overwrite it. The name's prefix becomes `__Secure-`,
    /// because browsers refuse `__Host-` with a domain.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidSetting`] if it is no domain with at least one dot, or in development
    /// mode.
    pub fn share_with_subdomains_of(mut self, domain: &str) -> Result<Self, crate::Error> {
        let refuse = |fix| invalid("cookie domain", domain, fix);
        if self.scope == Scope::Development {
            return Err(refuse("a development cookie stays on this machine"));
        }
        let label = |label: &str| {
            let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            !label.is_empty() && label.len() <= 63 && label.bytes().all(inner)
        };
        let is_address = domain
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
        if !domain.contains('.')
            || domain.len() > 253
            || !domain.split('.').all(label)
            || is_address
        {
            return Err(refuse(
                "give a domain like example.com, without a leading dot",
            ));
        }
        self.scope = Scope::Domain(domain.to_ascii_lowercase());
        Ok(self.derived())
    }

    /// The same cookie with this `SameSite`, in place of `Lax`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidSetting`] for [`SameSite::None`] in development mode: browsers refuse it
    /// without `Secure`.
    pub fn same_site(mut self, same_site: SameSite) -> Result<Self, crate::Error> {
        if self.scope == Scope::Development && same_site == SameSite::None {
            let fix = "browsers want Secure with it, which a development cookie has not";
            return Err(invalid("cookie SameSite", "None", fix));
        }
        self.same_site = same_site;
        Ok(self.derived())
    }

    /// The same cookie, kept by the browser as this says.
    ///
    /// A kept cookie lives as long as the session may at most, and 400 days (RFC 6265bis). Activity
    /// does not refresh it, the server alone enforces the idle limit: so a response that changes
    /// nothing sets no cookie, and none that comes late can overwrite a newer id.
    #[must_use]
    pub const fn persistence(mut self, persistence: Persistence) -> Self {
        self.persistence = persistence;
        self
    }

    /// A cookie for plain http on this very machine: `dev-id`, without prefix and without `Secure`.
    /// (Chrome and Firefox take `Secure` cookies from `http://localhost`; Safari does not.)
    ///
    /// It cannot be left on by accident: requests to any host but `localhost`, `127.0.0.1` and
    /// `[::1]` have no session and get no cookie; a release build refuses it, unless
    /// `CLOAKROOM_ALLOW_INSECURE_COOKIES=1` is in its environment; a warning is logged; and without
    /// this mode a `dev-id` cookie means nothing.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidSetting`] in a release build without that consent.
    pub fn insecure_for_development() -> Result<Self, crate::Error> {
        let consent = std::env::var(ALLOW_INSECURE_COOKIES).ok();
        let cookie = Self::development(!cfg!(debug_assertions), consent.as_deref())?;
        tracing::warn!(
            name = cookie.full_name(),
            "session cookies without Secure, for development on this machine"
        );
        Ok(cookie)
    }

    /// The cookie's name as browsers see it, with its prefix.
    #[must_use]
    pub fn full_name(&self) -> &str {
        &self.full_name
    }

    fn development(release: bool, consent: Option<&str>) -> Result<Self, crate::Error> {
        if release && consent != Some("1") {
            let fix = "leave development mode off in release builds, or consent with the value 1";
            return Err(invalid(
                ALLOW_INSECURE_COOKIES,
                consent.unwrap_or_default(),
                fix,
            ));
        }
        let scope = Scope::Development;
        Ok(Self {
            scope,
            ..Self::default()
        }
        .derived())
    }

    /// Whether cookies may go to and come from a request to `host` (a `Host` header's value).
    pub(crate) fn serves<'a>(&self, host: impl FnOnce() -> Option<&'a [u8]>) -> bool {
        self.scope != Scope::Development || host().is_some_and(is_loopback)
    }

    /// The `Set-Cookie` header's value for what the browser has to be told, if anything.
    pub(crate) fn header(&self, cookie: &Cookie, keys: Option<&CookieKeys>) -> Option<String> {
        match cookie {
            Cookie::Keep => None,
            Cookie::Clear => Some(format!("{}=; Max-Age=0{}", self.full_name, self.attributes)),
            Cookie::Set {
                id,
                absolute_left,
                remembered,
            } => Some(self.header_of(id, *absolute_left, *remembered, keys)),
        }
    }

    fn header_of(
        &self,
        id: &SessionId,
        left: Duration,
        remembered: bool,
        keys: Option<&CookieKeys>,
    ) -> String {
        let mut header = String::with_capacity(self.full_name.len() + self.attributes.len() + 96);
        header.push_str(&self.full_name);
        header.push('=');
        header.push_str(id.expose_secret());
        if let Some(keys) = keys {
            keys.sign(&self.full_name, id.expose_secret(), &mut header);
        }
        let kept = match self.persistence {
            Persistence::Remembered => remembered,
            Persistence::Always => true,
            Persistence::Never => false,
        };
        if kept {
            header.push_str("; Max-Age=");
            header.push_str(&left.min(limits::LIFETIME).as_secs().to_string());
        }
        header.push_str(&self.attributes);
        header
    }

    fn derived(mut self) -> Self {
        let (prefix, secure, domain) = match &self.scope {
            Scope::Host => ("__Host-", "; Secure", String::new()),
            Scope::Domain(domain) => ("__Secure-", "; Secure", format!("; Domain={domain}")),
            Scope::Development => ("dev-", "", String::new()),
        };
        let same_site = match self.same_site {
            SameSite::Strict => "Strict",
            SameSite::Lax => "Lax",
            SameSite::None => "None",
        };
        self.full_name = format!("{prefix}{}", self.base_name);
        self.attributes = format!("; Path=/{secure}; HttpOnly; SameSite={same_site}{domain}");
        self
    }
}

impl Default for CookieConfig {
    fn default() -> Self {
        Self {
            base_name: "id".to_owned(),
            scope: Scope::Host,
            same_site: SameSite::default(),
            persistence: Persistence::default(),
            full_name: String::new(),
            attributes: String::new(),
        }
        .derived()
    }
}

const LONGEST_PREFIX: usize = "__Secure-".len();

/// Whether a `Host` header's value, with or without a port, names this very machine.
fn is_loopback(host: &[u8]) -> bool {
    let port_is_plain = |port: &[u8]| port.iter().all(u8::is_ascii_digit);
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|name| {
        let Some((start, rest)) = host.split_at_checked(name.len()) else {
            return false;
        };
        let port = rest.strip_prefix(b":").unwrap_or(rest);
        start.eq_ignore_ascii_case(name.as_bytes())
            && (rest.is_empty() || rest.len() > port.len())
            && port_is_plain(port)
    })
}

/// A character of a token (RFC 9110, 5.6.2).
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

fn invalid(setting: &'static str, value: &str, fix: &'static str) -> crate::Error {
    let value = value.to_owned();
    Error::new(ErrorKind::InvalidSetting {
        setting,
        value,
        fix,
    })
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_builds_refuse_development_mode_without_consent() {
        for consent in [None, Some(""), Some("0"), Some("true")] {
            let refused = CookieConfig::development(true, consent).unwrap_err();
            assert!(
                refused.to_string().contains(ALLOW_INSECURE_COOKIES),
                "{refused}"
            );
        }
        assert!(CookieConfig::development(true, Some("1")).is_ok());
        assert!(CookieConfig::development(false, None).is_ok());
    }

    #[test]
    fn loopback_is_three_names_and_nothing_that_looks_like_them() {
        for yes in [
            "localhost",
            "LOCALHOST:3000",
            "127.0.0.1:80",
            "127.0.0.1",
            "[::1]:8080",
            "[::1]",
        ] {
            assert!(is_loopback(yes.as_bytes()), "{yes}");
        }
        for no in [
            "",
            "localhost.example.com",
            "localhost:80.example.com",
            "127.0.0.1.nip.io",
            "127.0.0.10",
            "localhosted",
            "::1",
            "example.com:127",
            "192.168.0.1",
        ] {
            assert!(!is_loopback(no.as_bytes()), "{no}");
        }
    }
}

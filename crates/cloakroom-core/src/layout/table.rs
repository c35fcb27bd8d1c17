//! The layouts that are known, once. Recognition, `docs/layouts.md` and the tests of the fixtures
//! derive from this table.

use super::cookie::Carried;
use super::read::Encoding;
use super::{Kind, Tombstones};

/// One layout, as it is written down; `Layout` is what becomes of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    /// Frameworks and libraries that write it.
    pub(super) of: &'static str,
    /// Shapes of its keys ([`super::Pattern`]).
    pub(super) keys: &'static [&'static str],
    /// What is in front of a key whose pattern begins with `*`, unless somebody configured it.
    pub(super) head: &'static str,
    pub(super) kind: Kind,
    pub(super) encodings: &'static [Encoding],
    /// Where the subject is; the first path that leads to one is taken ([`super::Path`]).
    pub(super) subject: &'static [&'static str],
    /// A field of the hash that ends the session when it is set to 0.
    pub(super) zeroed: Option<&'static str>,
    pub(super) tombstones: Tombstones,
    /// Names of the cookie, and how the id is in it.
    pub(super) cookies: &'static [&'static str],
    pub(super) carried: Carried,
    /// Keys beside it that are no sessions: an example of each.
    pub(super) companions: &'static [&'static str],
    /// Those of them that have the id in their names and live as long as a request.
    pub(super) locks: &'static [&'static str],
}

/// Where applications put their user, having no rule of their framework.
const ANYWHERE: &[&str] = &[
    "user_id",
    "userId",
    "userID",
    "uid",
    "user/id",
    "user/_id",
    "user/username",
    "user/email",
    "user",
    "username",
    "email",
];

const PLAIN: Row = Row {
    name: "",
    of: "",
    keys: &[],
    head: "",
    kind: Kind::String,
    encodings: &[],
    subject: ANYWHERE,
    zeroed: None,
    tombstones: Tombstones::Always,
    cookies: &[],
    carried: Carried::Plain,
    companions: &[],
    locks: &[],
};

pub(super) const TABLE: [Row; 15] = [
    Row {
        name: "connect-redis",
        of: "express-session and @fastify/session on connect-redis",
        keys: &["sess:{id:16-128:url}"],
        encodings: &[Encoding::Json],
        subject: &[
            "passport/user",
            "passport/user/id",
            "passport/user/_id",
            "passport/user/username",
            "user/id",
            "user/_id",
            "user/username",
            "user/email",
            "userId",
            "user_id",
            "userID",
            "uid",
            "user",
            "username",
            "email",
        ],
        cookies: &["connect.sid", "sessionId"],
        carried: Carried::Signed,
        ..PLAIN
    },
    Row {
        name: "flask-session",
        of: "Flask-Session",
        keys: &["session:{id:43:url}"],
        encodings: &[Encoding::Json, Encoding::Pickle, Encoding::MessagePack],
        subject: &[
            "_user_id", "user_id", "user/id", "user", "username", "email",
        ],
        cookies: &["session"],
        carried: Carried::Signed,
        ..PLAIN
    },
    Row {
        name: "django-cache",
        of: "Django with SESSION_ENGINE cache, on its own RedisCache or django-redis",
        keys: &["*:django.contrib.sessions.cache{id:32:lower}"],
        head: ":1",
        encodings: &[Encoding::Json, Encoding::Pickle, Encoding::MessagePack],
        subject: &["_auth_user_id"],
        cookies: &["sessionid"],
        companions: &[":1:views.decorators.cache.cache_page", ":1:lock"],
        ..PLAIN
    },
    Row {
        name: "django-cached-db",
        of: "Django with SESSION_ENGINE cached_db, on its own RedisCache or django-redis",
        keys: &["*:django.contrib.sessions.cached_db{id:32:lower}"],
        head: ":1",
        encodings: &[Encoding::Json, Encoding::Pickle, Encoding::MessagePack],
        subject: &["_auth_user_id"],
        cookies: &["sessionid"],
        ..PLAIN
    },
    Row {
        name: "starsessions",
        of: "starsessions (Starlette, FastAPI)",
        keys: &["starsessions.{id:32:hex}"],
        encodings: &[Encoding::Json],
        // It takes over an id that it does not know, so a visitor may come back with an old one.
        tombstones: Tombstones::Adopted,
        cookies: &["session"],
        ..PLAIN
    },
    Row {
        name: "spring-session",
        of: "Spring Session: plain, indexed and reactive repositories",
        keys: &["spring:session:sessions:{id:36:uuid}"],
        kind: Kind::Hash,
        encodings: &[Encoding::Jdk, Encoding::Json],
        subject: &[
            "sessionAttr:org.springframework.session.FindByIndexNameSessionRepository.PRINCIPAL_NAME_INDEX_NAME",
            "sessionAttr:PRINCIPAL_NAME_INDEX_NAME",
            "sessionAttr:SPRING_SECURITY_CONTEXT/authentication/principal/username",
            "sessionAttr:SPRING_SECURITY_CONTEXT/authentication/principal",
            "sessionAttr:SPRING_SECURITY_CONTEXT/authentication/principal/name",
            "sessionAttr:SPRING_SECURITY_CONTEXT/authentication/principal/attributes/sub",
        ],
        zeroed: Some("maxInactiveInterval"),
        cookies: &["SESSION"],
        carried: Carried::Base64,
        companions: &[
            "spring:session:sessions:expires:0d0a1b7e-0000-4000-8000-000000000001",
            "spring:session:sessions:0d0a1b7e-0000-4000-8000-000000000001:idx",
            "spring:session:sessions:expirations",
            "spring:session:expirations:1795965540000",
            "spring:session:index:org.springframework.session.FindByIndexNameSessionRepository.PRINCIPAL_NAME_INDEX_NAME:alice",
            "spring:session:sessions:index:PRINCIPAL_NAME_INDEX_NAME:alice",
        ],
        ..PLAIN
    },
    Row {
        name: "php",
        of: "PHP with phpredis as session.save_handler",
        keys: &["PHPREDIS_SESSION:{id:22-256:php}"],
        encodings: &[Encoding::PhpSession],
        // With session.use_strict_mode=0, which is PHP's default, a script that destroys its session
        // starts the next one under the same id.
        tombstones: Tombstones::Never,
        cookies: &["PHPSESSID"],
        companions: &["PHPREDIS_SESSION:e3ekp9klit8708kcuf1pkg0noe_LOCK"],
        locks: &["PHPREDIS_SESSION:{id:22-256:php}_LOCK"],
        ..PLAIN
    },
    Row {
        name: "laravel",
        of: "Laravel, session driver redis",
        keys: &[
            "*_cache_{id:40:mixed}",
            "*_cache_:{id:40:mixed}",
            "*_cache:{id:40:mixed}",
            "*-cache-{id:40:mixed}",
            // `CACHE_PREFIX=` in the application's settings.
            "*_database_{id:40:mixed}",
            "*-database-{id:40:mixed}",
        ],
        head: "laravel_database_laravel",
        encodings: &[Encoding::Php],
        subject: &[
            "!php/login_web_*",
            "!php/login_*",
            "!json/login_web_*",
            "!json/login_*",
        ],
        tombstones: Tombstones::Adopted,
        cookies: &["laravel_session"],
        carried: Carried::Sealed,
        companions: &[
            "laravel_database_laravel_cache_session:iAXNZRn4g5hJNfuSQdOVUwLYMzOQ8iJXqH9we3aO",
            "laravel_database_laravel_cache_da39a3ee5e6b4b0d3255bfef95601890afd80709",
            "laravel_database_da39a3ee5e6b4b0d3255bfef95601890afd80709",
        ],
        ..PLAIN
    },
    Row {
        name: "symfony",
        of: "Symfony, RedisSessionHandler",
        keys: &["sf_s{id:22-256:php}"],
        encodings: &[Encoding::PhpSession],
        subject: &[
            "_sf2_attributes/_security_*/!php/*/0/username",
            "_sf2_attributes/_security_*/!php/*/0/userIdentifier",
            "_sf2_attributes/_security_*/!php/*/0/email",
            "_sf2_attributes/_security_*/!php/*/0/id",
            "_sf2_attributes/user_id",
        ],
        cookies: &["PHPSESSID"],
        ..PLAIN
    },
    Row {
        name: "scs",
        of: "scs (Go), redisstore and goredisstore",
        keys: &["scs:session:{id:43:url}", "scs:session:{id:43:url}="],
        encodings: &[Encoding::Gob],
        subject: &[
            "Values/user_id",
            "Values/userID",
            "Values/userId",
            "Values/UserID",
            "Values/uid",
            "Values/authenticatedUserID",
            "Values/user",
            "Values/username",
            "Values/email",
        ],
        cookies: &["session"],
        ..PLAIN
    },
    Row {
        name: "boj-redistore",
        of: "gorilla/sessions on boj/redistore (Go)",
        keys: &["session_{id:52:base32}"],
        encodings: &[Encoding::Json, Encoding::Gob],
        // A signed id whose session is gone is taken over.
        tombstones: Tombstones::Adopted,
        carried: Carried::SecureCookie,
        cookies: &[],
        ..PLAIN
    },
    Row {
        name: "rbcervilla-redisstore",
        of: "gorilla/sessions on rbcervilla/redisstore (Go)",
        keys: &["session:{id:103:base32}"],
        encodings: &[Encoding::Json, Encoding::Gob],
        // It takes over an id that it does not know.
        tombstones: Tombstones::Adopted,
        ..PLAIN
    },
    Row {
        name: "rack",
        of: "Rack on redis-rack (Sinatra, Hanami)",
        keys: &["rack:session:2::{id:64:hex}"],
        encodings: &[Encoding::Marshal, Encoding::Json],
        subject: RUBY,
        cookies: &["rack.session"],
        carried: Carried::Rack,
        companions: &[
            "rack:session:e8e8374cd3f32248be00c0984a3718fae995dfdf974c3cffc0c0105bd1786895",
        ],
        ..PLAIN
    },
    Row {
        name: "rails",
        of: "Rails on redis-session-store",
        keys: &["*2::{id:64:hex}"],
        encodings: &[Encoding::Marshal, Encoding::Json],
        subject: RUBY,
        cookies: &[],
        carried: Carried::Rack,
        ..PLAIN
    },
    Row {
        name: "oauth2-proxy",
        of: "oauth2-proxy with a Redis session store",
        keys: &["_oauth2_proxy-{id:32:hex}"],
        encodings: &[Encoding::Sealed],
        subject: &[],
        cookies: &["_oauth2_proxy"],
        carried: Carried::OauthTicket,
        companions: &["_oauth2_proxy-0123456789abcdef0123456789abcdef.lock"],
        locks: &["_oauth2_proxy-{id:32:hex}.lock"],
        ..PLAIN
    },
];

/// Devise and Warden keep `[[id], salt]` for each scope; the others what they like.
const RUBY: &[&str] = &[
    "warden.user.*.key/0/0",
    "warden.user.*.key/0",
    "user_id",
    "current_user_id",
    "user/id",
    "user",
    "username",
    "email",
];

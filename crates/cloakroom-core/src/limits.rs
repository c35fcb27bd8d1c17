//! Every bound of Cloakroom in one place, with its unit and its reason, because a limit that is
//! written where it is used is a limit that nobody can list.
//!
//! Stores may enforce lower bounds, never higher ones.

use std::time::Duration;

/// Bytes in a field's name. Long enough for a dotted path; fits six bits of the packed header.
pub const FIELD_NAME_BYTES: usize = 64;

/// Bytes in one field's encoded value. A larger value belongs in the application's own storage.
pub const FIELD_VALUE_BYTES: usize = 64 * 1024;

/// Fields in one session. Lookup is a scan of packed bytes, which beats a map up to this size.
pub const FIELDS: usize = 128;

/// Fields that one write names: as many as a session has may go while as many others come. Each is
/// looked for among those named before, so without a bound a long list takes minutes.
pub const CHANGES: usize = 2 * FIELDS;

/// Bytes of all packed fields of one session, so that one visitor cannot fill a store.
pub const RECORD_BYTES: usize = 256 * 1024;

/// Bytes in a subject. Long enough for a DID or an e-mail address (RFC 5321: 254 octets).
pub const SUBJECT_BYTES: usize = 255;

/// Bytes in a session's label ("Firefox on Linux"), shown on a devices page.
pub const LABEL_BYTES: usize = 128;

/// Longest absolute lifetime: what browsers keep a cookie for at most (RFC 6265bis, 400 days).
pub const LIFETIME: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// Shortest lifetime. Below it, a response may outlive its own session.
pub const LIFETIME_MIN: Duration = Duration::from_secs(1);

/// How long an ended or superseded id is remembered as such. A request that was in flight when its
/// session ended is over by then (proxies give up after 60 s; this is twice that).
pub const TOMBSTONE: Duration = Duration::from_secs(120);

/// Longest time a superseded id may go on forwarding to its successor.
pub const ROTATION_GRACE: Duration = Duration::from_secs(60);

/// Hops that a store follows from a superseded id to the present one.
pub const FORWARD_HOPS: usize = 8;

/// Tries of `Session::update` and `Session::take` before they report a conflict.
pub const UPDATE_TRIES: u32 = 16;

/// Tries to find an unused id. A second collision of 256 random bits means a broken generator.
pub const COLLISION_TRIES: u32 = 2;

/// Depth of nesting that a decoder follows in a value.
pub const DECODE_DEPTH: usize = 64;

/// Sessions in one page of `scan`, so that a listing never holds a store for long.
pub const SCAN_PAGE: usize = 1_000;

/// Sessions that `touch` takes in one call.
pub const TOUCH_BATCH: usize = 256;

/// Bytes of a `Cookie` header that is looked at. Servers refuse header blocks above 8 to 64 KiB.
pub const COOKIE_HEADER_BYTES: usize = 16 * 1024;

/// Bytes of a cookie's name and value together; browsers ignore a larger one (RFC 6265bis, 5.6).
pub const COOKIE_BYTES: usize = 4096;

/// Cookies of one request that may be other frameworks' sessions: each is looked for in every keyspace. The
/// layouts that are known have ten names; a browser has one of a name, or two where paths differ.
pub const COOKIES_OF_FRAMEWORKS: usize = 16;

/// Sessions whose activity waits to be recorded. A session is due at most once a touch interval
/// (60 s by default), so this is 160 newly active visitors per millisecond; half a megabyte.
pub const TOUCH_QUEUE: usize = 16 * 1024;

/// How long activity waits for company before it is recorded. Well below the shortest touch
/// interval (a quarter of the shortest idle limit, 250 ms).
pub const TOUCH_DELAY: Duration = Duration::from_millis(100);

/// How often the store is asked about sessions on connections that outlive their request, unless the
/// application says otherwise: so long a revoked session's web socket may live on.
pub const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Shortest time between two such rounds. A shorter one asks more often than anybody can notice.
pub const WATCH_INTERVAL_MIN: Duration = Duration::from_millis(50);

/// Sessions of one process that are watched. A round asks about each, so more would take longer than
/// the interval; 200 bytes each.
pub const WATCHED: usize = 128 * 1024;

/// Loads of one round that are on their way at the same time, so that requests beside it still have
/// the store. Enough to fill a pipeline over a round trip of a millisecond.
pub const WATCH_TOGETHER: usize = 64;

/// How long a round waits for one answer at least; a longer interval waits as long as itself.
pub const WATCH_PATIENCE: Duration = Duration::from_secs(1);

/// How long a watched session counts as alive without an answer of the store. A short outage must
/// not end every connection, and a long one must not keep a revoked session's.
pub const WATCH_BLIND: Duration = Duration::from_secs(30);

/// Bytes of another framework's session. Node, PHP and Ruby sessions of 100 KB are seen; this is ten
/// times that.
pub const LAYOUT_BYTES: usize = 1024 * 1024;

/// Values in another framework's session that are read to find whom it belongs to; 2 MiB of nodes.
pub const LAYOUT_NODES: usize = 64 * 1024;

/// Types that a gob stream may describe; an application's session has a handful.
pub const LAYOUT_TYPES: usize = 256;

/// Layouts at a time: those of the table and those of the settings. One bit each in a mask.
pub const LAYOUTS: usize = 64;

/// Bytes of a key that can be a session's. Ids are up to 256 characters (PHP), prefixes a few dozen.
pub const LAYOUT_KEY_BYTES: usize = 512;

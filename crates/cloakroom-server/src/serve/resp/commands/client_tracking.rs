//! `CLIENT TRACKING`: a connection says what it wants to be told of.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use crate::serve::resp::args::Args;
use crate::serve::resp::conn::{Bytes, Conn, Tracked};
use crate::serve::resp::fail::Fail;
use crate::serve::resp::limits;
use crate::serve::resp::reply::Out;
use crate::serve::resp::table::Done;
use crate::serve::resp::tracking::Reader;

pub(super) fn tracking(conn: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    let on = args.is(2, "on");
    if !on && !args.is(2, "off") {
        return Err(Fail::Syntax);
    }
    let mut tracked = Tracked {
        reader: Reader {
            client: conn.me.id,
            told: conn.me.id,
            no_loop: false,
        },
        broadcast: false,
        opt_in: false,
        opt_out: false,
        prefixes: Vec::new(),
        caching: false,
        caching_ends: false,
    };
    let mut at = 3;
    while at < args.len() {
        match () {
            () if args.is(at, "redirect") && at + 1 < args.len() => {
                let id = args.integer(at + 1)?;
                let id = u64::try_from(id).unwrap_or(0);
                if !conn.server.hub.clients.lock().contains_key(&id) {
                    return Err(Fail::say(
                        "ERR The client ID you want redirect to does not exist",
                    ));
                }
                tracked.reader.told = id;
                at += 1;
            }
            () if args.is(at, "bcast") => tracked.broadcast = true,
            () if args.is(at, "optin") => tracked.opt_in = true,
            () if args.is(at, "optout") => tracked.opt_out = true,
            () if args.is(at, "noloop") => tracked.reader.no_loop = true,
            () if args.is(at, "prefix") && at + 1 < args.len() => {
                tracked.prefixes.push(args.get(at + 1).into());
                at += 1;
            }
            () => return Err(Fail::Syntax),
        }
        at += 1;
    }
    if on {
        if conn.hashes_ids() {
            return Err(HASHED);
        }
        begin_tracking(conn, tracked)?;
    } else if let Some(old) = conn.tracked.take() {
        conn.server.hub.tracking.end(conn.me.id, &old.prefixes);
    }
    conn.me.tracking.store(on, Ordering::Relaxed);
    out.ok();
    Ok(())
}

/// Whoever keeps values by their ids would never hear that one is no longer true.
const HASHED: Fail = Fail::say(
    "ERR client tracking is not offered while ids of sessions are hashed (layout-hash-ids): it could \
     only tell names that clients do not know",
);

fn begin_tracking(conn: &mut Conn, mut tracked: Tracked) -> Done {
    if !tracked.broadcast && !tracked.prefixes.is_empty() {
        return Err(Fail::say(
            "ERR PREFIX option requires BCAST mode to be enabled",
        ));
    }
    if tracked.broadcast && (tracked.opt_in || tracked.opt_out) {
        return Err(Fail::say(
            "ERR OPTIN and OPTOUT are not compatible with BCAST",
        ));
    }
    if tracked.opt_in && tracked.opt_out {
        return Err(Fail::say("ERR You can't use both OPTIN and OPTOUT"));
    }
    if let Some(old) = &conn.tracked {
        if old.broadcast != tracked.broadcast {
            return Err(Fail::say(
                "ERR You can't switch BCAST mode on/off before disabling tracking for this \
                 client, and then re-enabling it with a different mode.",
            ));
        }
        if old.opt_in != tracked.opt_in || old.opt_out != tracked.opt_out {
            return Err(Fail::say(
                "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this \
                 client, and then re-enabling it with a different mode.",
            ));
        }
    }
    if tracked.broadcast {
        let known = conn.tracked.as_deref();
        let known = known.map_or(&[][..], |old| &old.prefixes);
        tracked.prefixes = with_prefixes(known, tracked.prefixes)?;
    }
    if let Some(user) = conn.short_sighted()
        && !tracked.prefixes.iter().all(|it| user.may_beginning(it))
    {
        return Err(Fail::say(
            "NOPERM this user has no permissions to hear of all keys that begin so: name a PREFIX of \
             those that it may use",
        ));
    }
    let hub = &conn.server.hub;
    if let Some(old) = &conn.tracked {
        hub.tracking.end(conn.me.id, &old.prefixes);
    }
    hub.tracking.begin(tracked.reader, &tracked.prefixes);
    conn.tracked = Some(Box::new(tracked));
    Ok(())
}

/// The prefixes that a client has, and those that it names now; none that begins as another.
fn with_prefixes(known: &[Bytes], named: Vec<Bytes>) -> Result<Vec<Bytes>, Fail> {
    if known.len() + named.len() > limits::PREFIXES {
        return Err(Fail::say("ERR too many prefixes"));
    }
    for (at, prefix) in named.iter().enumerate() {
        let overlaps = |other: &&Bytes| other.starts_with(prefix) || prefix.starts_with(other);
        let refused = |what: &str, other: &Bytes| {
            Fail::from(format!(
                "ERR Prefix '{}' overlaps with {what} prefix '{}'. Prefixes for a single client must \
                 not overlap.",
                String::from_utf8_lossy(prefix),
                String::from_utf8_lossy(other)
            ))
        };
        if let Some(other) = known.iter().find(overlaps) {
            return Err(refused("an existing", other));
        }
        if let Some(other) = named[at + 1..].iter().find(overlaps) {
            return Err(refused("another provided", other));
        }
    }
    // Who names none hears of all keys, and of those of its prefixes once more, as in Redis.
    let all = named.is_empty().then(Bytes::default);
    let prefixes: BTreeSet<Bytes> = known.iter().cloned().chain(named).chain(all).collect();
    Ok(prefixes.into_iter().collect())
}

pub(super) fn caching(conn: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    let (yes, no) = (args.is(2, "yes"), args.is(2, "no"));
    let Some(tracked) = conn.tracked.as_deref_mut() else {
        return Err(Fail::say(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN \
             or OPTOUT mode enabled",
        ));
    };
    match () {
        () if yes && !tracked.opt_in => {
            return Err(Fail::say(
                "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
            ));
        }
        () if no && !tracked.opt_out => {
            return Err(Fail::say(
                "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
            ));
        }
        () if yes || no => {
            tracked.caching = true;
            tracked.caching_ends = false;
        }
        () => return Err(Fail::Syntax),
    }
    out.ok();
    Ok(())
}

pub(super) fn trackinginfo(conn: &mut Conn, _: Args<'_>, out: &mut Out) -> Done {
    let tracked = conn.tracked.as_deref();
    let mut flags = Vec::new();
    match tracked {
        None => flags.push("off"),
        Some(tracked) => {
            flags.push("on");
            for (set, name) in [
                (tracked.broadcast, "bcast"),
                (tracked.opt_in, "optin"),
                (tracked.opt_in && tracked.caching, "caching-yes"),
                (tracked.opt_out, "optout"),
                (tracked.opt_out && tracked.caching, "caching-no"),
                (tracked.reader.no_loop, "noloop"),
            ] {
                flags.extend(set.then_some(name));
            }
        }
    }
    out.map(3);
    out.bulk(b"flags");
    out.set(flags.len());
    flags.iter().for_each(|flag| out.bulk(flag.as_bytes()));
    out.bulk(b"redirect");
    out.integer(redirect(conn));
    out.bulk(b"prefixes");
    let prefixes = tracked.map_or(&[][..], |tracked| &tracked.prefixes);
    out.array(prefixes.len());
    prefixes.iter().for_each(|prefix| out.bulk(prefix));
    Ok(())
}

/// Who is told: -1 nobody, 0 the connection itself.
fn redirect(conn: &Conn) -> i64 {
    match conn.tracked.as_deref() {
        None => -1,
        Some(tracked) if tracked.reader.told == conn.me.id => 0,
        Some(tracked) => i64::try_from(tracked.reader.told).unwrap_or(i64::MAX),
    }
}

pub(super) fn getredir(conn: &mut Conn, _: Args<'_>, out: &mut Out) -> Done {
    out.integer(redirect(conn));
    Ok(())
}

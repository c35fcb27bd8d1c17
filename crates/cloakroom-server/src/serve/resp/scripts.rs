//! The scripts that session libraries send, recognised by their text and run as what they mean, so they
//! need no interpreter, and by default there is none to break out of (`lua` is a feature). Blanks do not count, so a library that indents its
//! script anew is still understood.

use std::collections::HashMap;

use cloakroom_embedded::Written;
use parking_lot::Mutex;
use sha1_smol::Sha1;

use super::args::Clock;
use super::call::Call;
use super::events::Class;
use super::fail::Fail;
use super::limits;
use super::number;
use super::table::Done;

/// What a script is given: where its keys and its other words begin and end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    pub(crate) keys: usize,
    pub(crate) rest: usize,
}

/// A script that is known.
pub(crate) struct Known {
    /// SHA-1 of its text as the library sends it.
    sha: &'static str,
    /// SHA-1 of its text with every run of blanks as one, and none around it.
    plain: &'static str,
    pub(crate) library: &'static str,
    pub(crate) does: &'static str,
    pub(crate) run: fn(&mut Call<'_, '_, '_>, Words) -> Done,
}

const UNLOCK: &str = "b70c2384248f88e6b75b9f89241a180f856ad852";

#[rustfmt::skip]
pub(crate) static KNOWN: [Known; 13] = [
    Known { sha: UNLOCK, plain: UNLOCK, library: "phpredis", does: "removes a lock that is its caller's", run: remove_own },
    Known { sha: "647c65a442733a1aa440f99908d249d13b4d6c4a", plain: UNLOCK, library: "Laravel", does: "removes a lock that is its caller's", run: remove_own },
    Known { sha: "c3f8721cbb97f72bc19e972846bd7aaf91901658", plain: "2aef8d7ce63503709a01cbf6ad6bb4b93d5c3909", library: "redis-py, django-redis", does: "removes a lock that is its caller's", run: remove_own },
    Known { sha: "a4e8783852e6b949f9ef3a97212805108459a890", plain: "829408cc83d4524666232bd8beebe3bcf873ac70", library: "redis-py", does: "has a lock last longer", run: extend_own },
    Known { sha: "1cac51482acf5858da00f6d685d68f886cd6b6b2", plain: "042112cf75a3fdabb4e02600ce494eff4b2d2906", library: "redis-py", does: "begins a lock's time anew", run: renew_own },
    Known { sha: "eb0c00d98f6f33b4262419a509002884540f30be", plain: "f6c03ad8db4626ac5ce11bda1fc79eed1068db0a", library: "redislock, oauth2-proxy", does: "takes locks, or those that are its caller's again", run: obtain },
    Known { sha: "5a22d7e8431313862816d4416b5e46dd70fc340d", plain: "937fbb7140b3d8edacbe80c751c73566d5b97218", library: "redislock, oauth2-proxy", does: "begins locks' time anew", run: refresh },
    Known { sha: "9470c810040e272ee6c579d8d4331aaf6332a7b1", plain: "87f5252be271b311537b27f44b49c99baae2b80a", library: "redislock, oauth2-proxy", does: "removes locks that are its caller's", run: release },
    Known { sha: "66e1084c2d842a7e8c271925aae90219fac4e129", plain: "ab5db0194cbb0ab2eabdd19b84791341df1eed9d", library: "redislock, oauth2-proxy", does: "says how long locks last", run: shortest },
    Known { sha: "d5f94f1848f0c54fff99d99dbc4d54184a157c02", plain: "19c4a358c581ab7dc787ccbb806ba26fe59d1654", library: "Laravel", does: "begins a lock's time anew", run: refresh_seconds },
    Known { sha: "a08c9c69b7c07ae2485190873b90d128a23e502d", plain: "a08c9c69b7c07ae2485190873b90d128a23e502d", library: "Laravel", does: "sets a key that is not there, for a time", run: add },
    Known { sha: "f4a7da3e5d8ea3b46642af08427151cae0190400", plain: "a18fab0ac0660f36408271b6d581f0d87b887c1a", library: "django-redis", does: "adds to a number that is there", run: add_to_present },
    Known { sha: "4d15273b16b10c15e1d9202cbe93c959ab7d250b", plain: "8cd00688c05c46bde4a2e60658ef20a2e5c0b248", library: "django-redis", does: "adds to a number", run: add_to },
];

/// Which texts were shown to this server, by their hashes where these are not the libraries' own.
#[derive(Debug, Default)]
pub(crate) struct Scripts {
    known: Mutex<HashMap<String, &'static Known>>,
    /// Those that nobody knows, which the interpreter runs.
    #[cfg(feature = "lua")]
    texts: Mutex<HashMap<String, std::sync::Arc<[u8]>>>,
}

impl Scripts {
    /// Remembers that a known script was sent with this text. Returns its hash.
    pub(crate) fn learn(&self, text: &[u8], known: &'static Known) -> String {
        let sha = sha(text);
        if sha != known.sha {
            let mut texts = self.known.lock();
            if texts.len() < limits::SCRIPTS {
                texts.insert(sha.clone(), known);
            }
        }
        sha
    }

    /// The script of this hash.
    pub(crate) fn of_sha(&self, sha: &[u8]) -> Option<&'static Known> {
        let lower = String::from_utf8(sha.to_ascii_lowercase()).ok()?;
        let known = KNOWN.iter().find(|known| known.sha == lower);
        known.or_else(|| self.known.lock().get(&lower).copied())
    }

    /// Forgets what was shown.
    pub(crate) fn flush(&self) {
        self.known.lock().clear();
        #[cfg(feature = "lua")]
        self.texts.lock().clear();
    }
}

#[cfg(feature = "lua")]
impl Scripts {
    /// Remembers a text, so that it can be run by its hash; or not, if there are too many. Returns its hash.
    pub(crate) fn keep(&self, text: &[u8]) -> Option<String> {
        let sha = sha(text);
        let mut texts = self.texts.lock();
        if !texts.contains_key(&sha) {
            if texts.len() >= limits::SCRIPTS || text.len() > limits::SCRIPT_BYTES {
                return None;
            }
            texts.insert(sha.clone(), text.into());
        }
        Some(sha)
    }

    /// The text of this hash.
    pub(crate) fn text(&self, sha: &[u8]) -> Option<std::sync::Arc<[u8]>> {
        let lower = String::from_utf8(sha.to_ascii_lowercase()).ok()?;
        self.texts.lock().get(&lower).cloned()
    }
}

/// The script of this text.
pub(crate) fn of_text(text: &[u8]) -> Option<&'static Known> {
    if text.len() > limits::SCRIPT_BYTES {
        return None;
    }
    let mut plain = Vec::with_capacity(text.len());
    for word in text
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
    {
        if !plain.is_empty() {
            plain.push(b' ');
        }
        plain.extend_from_slice(word);
    }
    let plain = sha(&plain);
    KNOWN.iter().find(|known| known.plain == plain)
}

/// SHA-1 in hexadecimal, by which Redis names scripts.
pub(crate) fn sha(text: &[u8]) -> String {
    Sha1::from(text).digest().to_string()
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Known({})", self.sha)
    }
}

/// Whether the key at word `at` holds the caller's word.
fn is_own(call: &mut Call<'_, '_, '_>, at: usize, word: usize) -> Result<bool, Fail> {
    let (key, own) = (call.args.get(at), call.args.get(word));
    let held = call.keys.string(key)?;
    let (there, own) = (held.is_some(), held == Some(own) && word < call.args.len());
    call.keys.counts(key, there);
    Ok(own)
}

fn remove(call: &mut Call<'_, '_, '_>, key: &[u8]) -> bool {
    let removed = call.keys.remove(key);
    if removed {
        call.keys.event(Class::Generic, "del", key);
    }
    removed
}

/// Has a key end in so long, if it is there.
fn expire(call: &mut Call<'_, '_, '_>, key: &[u8], value: i64, clock: Clock) -> Result<bool, Fail> {
    let moment = clock.moment(value, call.keys.now);
    let moment = moment.ok_or(Fail::Expire(call.name))?;
    let set = call.keys.set_deadline(key, Some(moment));
    if set {
        let event = if moment <= call.keys.now {
            "del"
        } else {
            "expire"
        };
        call.keys.event(Class::Generic, event, key);
    }
    Ok(set)
}

/// What is left of a key's life: -1 without end, -2 if it is not there.
fn left(call: &mut Call<'_, '_, '_>, key: &[u8]) -> i64 {
    match call.keys.deadline(key) {
        None => -2,
        Some(None) => -1,
        Some(Some(deadline)) => (deadline - call.keys.now).max(0),
    }
}

fn remove_own(call: &mut Call<'_, '_, '_>, words: Words) -> Done {
    let own = is_own(call, words.keys, words.rest)?;
    let removed = own && remove(call, call.args.get(words.keys));
    call.out.truth(removed);
    Ok(())
}

fn extend_own(call: &mut Call<'_, '_, '_>, words: Words) -> Done {
    let key = call.args.get(words.keys);
    let lasts = left(call, key);
    if !is_own(call, words.keys, words.rest)? || lasts < 0 {
        call.out.truth(false);
        return Ok(());
    }
    let mut millis = call.args.integer(words.rest + 1)?;
    if call.args.get(words.rest + 2) == b"0" {
        millis = millis.saturating_add(lasts);
    }
    expire(call, key, millis, Clock::InMillis)?;
    call.out.truth(true);
    Ok(())
}

fn renew_own(call: &mut Call<'_, '_, '_>, words: Words) -> Done {
    let own = is_own(call, words.keys, words.rest)?;
    if own {
        let millis = call.args.integer(words.rest + 1)?;
        expire(call, call.args.get(words.keys), millis, Clock::InMillis)?;
    }
    call.out.truth(own);
    Ok(())
}

fn refresh_seconds(call: &mut Call<'_, '_, '_>, words: Words) -> Done {
    let key = call.args.get(words.keys);
    if !is_own(call, words.keys, words.rest)? {
        call.out.truth(false);
        return Ok(());
    }
    let seconds = call.args.integer(words.rest + 1)?;
    if seconds > 0 {
        expire(call, key, seconds, Clock::InSeconds)?;
    } else if left(call, key) >= 0 {
        call.keys.set_deadline(key, None);
        call.keys.event(Class::Generic, "persist", key);
    }
    call.out.truth(true);
    Ok(())
}

/// Whether all keys hold the caller's word.
fn all_own(call: &mut Call<'_, '_, '_>, words: Words) -> bool {
    let own = call.args.get(words.rest);
    (words.keys..words.rest).all(|at| {
        // What is no string counts as not there, as it does for MGET.
        let key = call.args.get(at);
        let held = call.keys.string(key).unwrap_or_default();
        let (there, is_own) = (held.is_some(), held == Some(own));
        call.keys.counts(key, there);
        is_own
    })
}

fn obtain(call: &mut Call<'_, '_, '_>, words: Words) -> Done {
    let value = call.args.get(words.rest);
    let length = call.args.integer(words.rest + 1)?;
    let millis = call.args.integer(words.rest + 2)?;
    let length = usize::try_from(length).unwrap_or(0).min(value.len());
    let mut keys = words.keys..words.rest;
    let free = keys.all(|at| call.keys.kind(call.args.get(at)).is_none());
    if !free {
        for at in words.keys..words.rest {
            let held = call.keys.string(call.args.get(at))?.unwrap_or_default();
            if held.get(..length) != Some(&value[..length]) {
                call.out.nil();
                return Ok(());
            }
        }
    }
    for at in words.keys..words.rest {
        let key = call.args.get(at);
        call.keys.set_string(key, value, None)?;
        call.keys.event(Class::String, "set", key);
        expire(call, key, millis, Clock::InMillis)?;
    }
    call.out.ok();
    Ok(())
}

fn refresh(call: &mut Call<'_, '_, '_>, words: Words) -> Done {
    if !all_own(call, words) {
        call.out.nil();
        return Ok(());
    }
    let millis = call.args.integer(words.rest + 1)?;
    for at in words.keys..words.rest {
        expire(call, call.args.get(at), millis, Clock::InMillis)?;
    }
    call.out.ok();
    Ok(())
}

fn release(call: &mut Call<'_, '_, '_>, words: Words) -> Done {
    if !all_own(call, words) {
        call.out.nil();
        return Ok(());
    }
    for at in words.keys..words.rest {
        remove(call, call.args.get(at));
    }
    call.out.ok();
    Ok(())
}

fn shortest(call: &mut Call<'_, '_, '_>, words: Words) -> Done {
    if !all_own(call, words) {
        call.out.nil();
        return Ok(());
    }
    let lasting = (words.keys..words.rest).map(|at| left(call, call.args.get(at)));
    let shortest = lasting.filter(|left| *left > 0).min();
    call.out.integer(shortest.unwrap_or(0));
    Ok(())
}

fn add(call: &mut Call<'_, '_, '_>, words: Words) -> Done {
    let (key, value) = (call.args.get(words.keys), call.args.get(words.rest));
    if call.keys.kind(key).is_some() || call.keys.is_ended(key, Written::Value(value)) {
        call.out.nil();
        return Ok(());
    }
    let seconds = call.args.integer(words.rest + 1)?;
    let deadline = Clock::InSeconds.moment(seconds, call.keys.now);
    let deadline = deadline.filter(|_| seconds > 0);
    let deadline = deadline.ok_or(Fail::Expire("setex"))?;
    call.keys.set_string(key, value, Some(deadline))?;
    call.keys.event(Class::String, "set", key);
    call.keys.event(Class::Generic, "expire", key);
    call.out.ok();
    Ok(())
}

fn add_to_present(call: &mut Call<'_, '_, '_>, words: Words) -> Done {
    if call.keys.kind(call.args.get(words.keys)).is_none() {
        call.out.nil();
        return Ok(());
    }
    add_to(call, words)
}

fn add_to(call: &mut Call<'_, '_, '_>, words: Words) -> Done {
    let key = call.args.get(words.keys);
    let by = call.args.integer(words.rest)?;
    let value = match call.keys.string(key)? {
        Some(value) => number::integer(value).ok_or(Fail::NotInteger)?,
        None => 0,
    };
    let sum = value.checked_add(by);
    let sum = sum.ok_or(Fail::say("ERR increment or decrement would overflow"))?;
    call.keys.update_string(key, sum.to_string().as_bytes())?;
    call.keys.event(Class::String, "incrby", key);
    call.out.integer(sum);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{KNOWN, Scripts, UNLOCK, of_text, sha};

    /// The compare-and-delete of Redis' own manual, as one line and as a library might indent it.
    const LINE: &str = "if redis.call(\"get\",KEYS[1]) == ARGV[1] then return \
                        redis.call(\"del\",KEYS[1]) else return 0 end";

    #[test]
    fn a_script_is_known_by_its_words() {
        assert_eq!(sha(LINE.as_bytes()), UNLOCK);
        let lines = LINE
            .replace(" then ", " then\r\n    ")
            .replace(" else ", "\r\nelse\r\n\t");
        let known = of_text(lines.as_bytes()).unwrap();
        assert_eq!(known.plain, UNLOCK);
        assert!(of_text(b"return 1").is_none());
        let scripts = Scripts::default();
        let sha = scripts.learn(lines.as_bytes(), known);
        assert_ne!(sha, UNLOCK);
        assert_eq!(scripts.of_sha(sha.as_bytes()).unwrap().plain, UNLOCK);
        assert!(scripts.of_sha(sha.to_uppercase().as_bytes()).is_some());
        scripts.flush();
        assert!(scripts.of_sha(sha.as_bytes()).is_none());
        assert!(
            KNOWN
                .iter()
                .all(|known| scripts.of_sha(known.sha.as_bytes()).is_some())
        );
    }
}

//! For tools: pages of all sessions, and numbers. On a connection of its own, so that no visitor
//! waits behind it.

use cloakroom_core::id::StoredKey;
use cloakroom_core::limits;
use cloakroom_core::store::{Cursor, Page, Stats};
use cloakroom_core::{Error, SessionInfo, UnixMillis};

use super::RedisStore;
use crate::head::Epoch;
use crate::keys::{self, EPOCH, SESSIONS};
use crate::layout::{Kept, Present};
use crate::steps::time;
use crate::wire::{self, Lane, Reply};

/// A cursor is Redis's own in the low bits; above, up to which rank the first keys at it were given.
const RANK_SHIFT: u32 = 48;
/// Keys that `stats` looks at to tell sessions from markers and indexes.
const SAMPLE: usize = 10_000;

impl RedisStore {
    /// A page. Redis may give more keys at a cursor than asked for; then it is asked for fewer. Keys
    /// that hash to one place come together: should they alone be more than the page, it ends
    /// between them, ordered by a rank that is taken from the key.
    pub(super) async fn scan_page(&self, cursor: Cursor, limit: usize) -> Result<Page, Error> {
        let limit = limit.clamp(1, limits::SCAN_PAGE);
        let mut at = cursor.0 & ((1 << RANK_SHIFT) - 1);
        let mut after = (cursor.0 >> RANK_SHIFT) as u16;
        let mut page = Page::default();
        let mut count = if after > 0 { 1 } else { limit };
        loop {
            let room = limit - page.sessions.len();
            count = count.min(room);
            let (next, mut keys) = self.scan_keys(at, count).await?;
            keys.retain(|key| rank(key) > after);
            if keys.len() > room && count > 1 {
                count = count.saturating_sub(keys.len() - room + 1).max(1);
                continue;
            }
            if keys.len() > room && !page.sessions.is_empty() {
                page.next = Some(Cursor(at));
                return Ok(page);
            }
            if keys.len() > room {
                keys.sort_by_key(|key| (rank(key), *key));
                keys.truncate(part(&keys, room));
                let last = keys.last().map_or(0, rank);
                page.sessions = self.infos(&keys).await?;
                page.next = Some(Cursor(u64::from(last) << RANK_SHIFT | at));
                return Ok(page);
            }
            page.sessions.extend(self.infos(&keys).await?);
            if next == 0 {
                return Ok(page);
            }
            (at, after, count) = (next, 0, limit);
            if page.sessions.len() >= limit {
                page.next = Some(Cursor(at));
                return Ok(page);
            }
        }
    }

    async fn scan_keys(&self, at: u64, count: usize) -> Result<(u64, Vec<StoredKey>), Error> {
        let mut scan = wire::command("SCAN", [at]);
        scan.arg("MATCH")
            .arg(SESSIONS)
            .arg("COUNT")
            .arg(count.max(1));
        let [reply] = wire::exactly(self.wire.send(Lane::Bulk, vec![scan]).await?)?;
        let [next, keys] = wire::exactly(wire::array(reply)?)?;
        let mut found = Vec::new();
        for key in wire::array(keys)? {
            let name = wire::bytes(key)?.unwrap_or_default();
            found.extend(keys::parse_session(&name));
        }
        found.sort();
        found.dedup();
        Ok((wire::integer(&next)?.cast_unsigned(), found))
    }

    /// What is under these keys. A session that rotated since the scan began may have moved to where
    /// the scan has been already, so where one was, its successor is looked up.
    async fn infos(&self, keys: &[StoredKey]) -> Result<Vec<SessionInfo>, Error> {
        let mut infos = Vec::new();
        let mut waiting = keys.to_vec();
        for _ in 0..=limits::FORWARD_HOPS {
            if waiting.is_empty() {
                break;
            }
            let (found, epoch, now) = self.read_many(&waiting).await?;
            waiting.clear();
            for kept in found {
                match kept {
                    Kept::Ended(marker) => waiting.extend(marker.forward.map(|(target, _)| target)),
                    kept => {
                        if let Present::Alive(record) = kept.judge(epoch, now) {
                            infos.push(record.info(now));
                        }
                    }
                }
            }
        }
        Ok(infos)
    }

    async fn read_many(
        &self,
        keys: &[StoredKey],
    ) -> Result<(Vec<Kept>, Option<Epoch>, UnixMillis), Error> {
        let mut commands = vec![
            wire::command::<&str>("TIME", []),
            wire::command("GET", [EPOCH]),
        ];
        commands.extend(keys.iter().map(|key| self.layout.read(&keys::session(key))));
        let mut replies = self.wire.send(Lane::Bulk, commands).await?.into_iter();
        let now = time(replies.next().unwrap_or_default())?;
        let epoch = wire::bytes(replies.next().unwrap_or_default())?;
        let epoch = epoch.and_then(|epoch| epoch.try_into().ok());
        let kept = replies.map(|reply| self.layout.decode(reply));
        Ok((kept.collect::<Result<_, _>>()?, epoch, now))
    }

    /// Numbers. Sessions are counted up to 10000 keys, and estimated from as many beyond that:
    /// Redis counts keys, and some of ours are markers and indexes.
    pub(super) async fn numbers(&self) -> Result<Stats, Error> {
        let commands = vec![
            wire::command::<&str>("DBSIZE", []),
            wire::command("INFO", ["memory"]),
            wire::command("INFO", ["stats"]),
        ];
        let [size, memory, counters] = wire::exactly(self.wire.send(Lane::Bulk, commands).await?)?;
        let size = wire::integer(&size)?.cast_unsigned();
        let (memory, counters) = (text(memory)?, text(counters)?);
        let (mut at, mut seen, mut alive) = (0, 0_u64, 0_u64);
        loop {
            let (next, found) = self.scan_keys(at, limits::SCAN_PAGE).await?;

            seen += limits::SCAN_PAGE as u64;
            let (kept, epoch, now) = self.read_many(&found).await?;
            let lives = |kept: Kept| matches!(kept.judge(epoch, now), Present::Alive(_));
            alive += kept.into_iter().map(lives).filter(|lives| *lives).count() as u64;
            at = next;
            if at == 0 || seen >= SAMPLE as u64 {
                break;
            }
        }
        let mut stats = Stats::default();
        stats.sessions = if at == 0 {
            alive
        } else {
            alive * size / seen.max(1)
        };
        stats.bytes = number(&memory, "used_memory");
        stats.bytes_limit = Some(number(&memory, "maxmemory")).filter(|limit| *limit > 0);
        stats.expired = number(&counters, "expired_keys");
        stats.evicted = number(&counters, "evicted_keys");
        Ok(stats)
    }
}

/// How many of the ordered keys fit, never between two of one rank, and at least the first rank.
fn part(keys: &[StoredKey], room: usize) -> usize {
    let mut cut = keys.len().min(room);
    if cut == keys.len() {
        return cut;
    }
    while cut > 0 && rank(&keys[cut - 1]) == rank(&keys[cut]) {
        cut -= 1;
    }
    if cut > 0 {
        return cut;
    }
    keys.iter()
        .take_while(|key| rank(key) == rank(&keys[0]))
        .count()
}

/// A place inside a batch: never 0, which means before all.
fn rank(key: &StoredKey) -> u16 {
    u16::from_be_bytes([key.hash()[0], key.hash()[1]]).max(1)
}

fn text(reply: Reply) -> Result<String, Error> {
    let bytes = wire::bytes(reply)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn number(info: &str, name: &str) -> u64 {
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|number| number.trim().parse().ok())
        .unwrap_or_default()
}

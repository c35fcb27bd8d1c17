//! For tools: pages of all sessions, and numbers. On a connection of its own, so that no visitor
//! waits behind it.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloakroom_core::id::{SlotTag, StoredKey};
use cloakroom_core::limits;
use cloakroom_core::observe::Concern;
use cloakroom_core::store::{Cursor, Page, Stats};
use cloakroom_core::{Error, SessionInfo, UnixMillis};

use super::RedisStore;
use crate::epoch::{self, Epoch};
use crate::failure::{Class, Failure};
use crate::keys::{self, SESSIONS};
use crate::layout::{Kept, Present};
use crate::route::Batch;
use crate::steps::time;
use crate::wire::{self, Lane, Reply, Wire};

/// Keys that `stats` looks at on a node to tell sessions from markers and indexes.
const SAMPLE: usize = 10_000;

/// What was under a key, and what it is judged by.
type Found = (Kept, Option<Epoch>, UnixMillis);

/// Where a scan is. In a cursor's 64 bits, from the low ones: Redis's own cursor on the node (32), the
/// node (8), a sign of the nodes that there were (8), and up to which rank the first keys at that
/// place were given (16).
struct Place {
    at: u64,
    node: usize,
    sign: u8,
    after: u16,
}

impl Place {
    fn of(cursor: Cursor) -> Self {
        Self {
            at: cursor.0 & u64::from(u32::MAX),
            node: (cursor.0 >> 32 & 0xff) as usize,
            sign: (cursor.0 >> 40 & 0xff) as u8,
            after: (cursor.0 >> 48) as u16,
        }
    }

    fn cursor(&self) -> Result<Cursor, Error> {
        if self.at > u64::from(u32::MAX) || self.node > 0xff {
            return Err(Failure::protocol("more keys or nodes than a cursor can count").into());
        }
        let parts = [
            u64::from(self.after) << 48,
            u64::from(self.sign) << 40,
            (self.node as u64) << 32,
            self.at,
        ];
        Ok(Cursor(parts.into_iter().sum()))
    }
}

impl RedisStore {
    /// A page of one node. Redis may give more keys at a cursor than asked for; then it is asked for
    /// fewer. Keys that hash to one place come together: should they alone be more than the page, it
    /// ends between them, ordered by a rank that is taken from the key.
    pub(super) async fn scan_page(&self, cursor: Cursor, limit: usize) -> Result<Page, Error> {
        let limit = limit.clamp(1, limits::SCAN_PAGE);
        let mut place = Place::of(cursor);
        let nodes = self.route.nodes();
        if cursor != Cursor::default() && nodes.sign != place.sign {
            // Redis's cursors mean nothing on another node.
            let moved = Failure::new(Class::Moving, "sessions changed nodes during the scan");
            return Err(moved.into());
        }
        place.sign = nodes.sign;
        let mut page = Page::default();
        let mut count = if place.after > 0 { 1 } else { limit };
        while let Some(node) = nodes.wires.get(place.node) {
            let room = limit - page.sessions.len();
            count = count.min(room);
            let (next, mut keys) = scan_keys(&**node, place.at, count).await?;
            keys.retain(|key| rank(key) > place.after);
            if keys.len() > room && count > 1 {
                count = count.saturating_sub(keys.len() - room + 1).max(1);
                continue;
            }
            if keys.len() > room {
                if page.sessions.is_empty() {
                    keys.sort_by_key(|key| (rank(key), *key));
                    keys.truncate(part(&keys, room));
                    place.after = keys.last().map_or(0, rank);
                    page.sessions = self.infos(node, &keys).await?;
                }
                page.next = Some(place.cursor()?);
                return Ok(page);
            }
            page.sessions.extend(self.infos(node, &keys).await?);
            (place.at, place.after, count) = (next, 0, limit);
            if next == 0 {
                place.node += 1;
            }
            if page.sessions.len() >= limit && place.node < nodes.wires.len() {
                page.next = Some(place.cursor()?);
                return Ok(page);
            }
        }
        Ok(page)
    }

    /// What is under these keys of a node. A session that rotated since the scan began may have moved
    /// to where the scan has been already, so where one was, its successor is looked up.
    async fn infos(
        &self,
        node: &Arc<dyn Wire>,
        keys: &[StoredKey],
    ) -> Result<Vec<SessionInfo>, Error> {
        // While sessions move, a key may be on two nodes, and each is asked about its own.
        let is_before = |key: &&StoredKey| {
            let before = self.route.before(key.tag());
            before.is_some_and(|before| Arc::ptr_eq(&before, node))
        };
        let (leaving, staying): (Vec<StoredKey>, Vec<StoredKey>) =
            keys.iter().copied().partition(|key| is_before(&key));
        let mut found = self.read_many(&staying).await?;
        found.extend(self.read_before(&leaving).await?);
        let (mut asked, mut infos) = (keys.to_vec(), Vec::new());
        for _ in 0..=limits::FORWARD_HOPS {
            let mut waiting = Vec::new();
            for (kept, epoch, now) in found {
                match kept {
                    Kept::Ended(marker) => {
                        let target = marker.forward.map(|(target, _)| target);
                        // One that leads to itself is found on the other node.
                        waiting.extend(target.filter(|target| !asked.contains(target)));
                    }
                    kept => {
                        if let Present::Alive(record) = kept.judge(epoch, now) {
                            infos.push(record.info(now));
                        }
                    }
                }
            }
            if waiting.is_empty() {
                break;
            }
            found = self.read_many(&waiting).await?;
            found.extend(self.read_before(&waiting).await?);
            asked = waiting;
        }
        Ok(infos)
    }

    /// What is under those of these keys whose tags are moving, on the node that owned them before.
    async fn read_before(&self, keys: &[StoredKey]) -> Result<Vec<Found>, Error> {
        let mut all = Vec::new();
        for (tag, batch) in self.reading(keys) {
            let Some(before) = self.route.before(tag) else {
                continue;
            };
            let answer = before.send(Lane::Bulk, batch.commands).await;
            if self.found(answer, &mut all)? {
                continue;
            }
            for single in self.reading_singly(keys, tag) {
                let answer = before.send(Lane::Bulk, single.commands).await;
                self.found_alone(answer, &mut all)?;
            }
        }
        Ok(all)
    }

    /// What is under these keys of any tags, each with what it is judged by.
    async fn read_many(&self, keys: &[StoredKey]) -> Result<Vec<Found>, Error> {
        let batches: Vec<_> = self.reading(keys).into_values().collect();
        let tags: Vec<_> = batches.iter().map(|batch| batch.tag).collect();
        let (mut all, mut singly) = (Vec::with_capacity(keys.len()), Vec::new());
        let answers = self.route.send_each(Lane::Bulk, batches).await;
        for (answer, tag) in answers.into_iter().zip(tags) {
            if !self.found(answer, &mut all)? {
                singly.extend(self.reading_singly(keys, tag));
            }
        }
        for answer in self.route.send_each(Lane::Bulk, singly).await {
            self.found_alone(answer, &mut all)?;
        }
        Ok(all)
    }

    fn reading(&self, keys: &[StoredKey]) -> BTreeMap<SlotTag, Batch> {
        let mut batches = BTreeMap::new();
        for key in keys {
            let tag = key.tag();
            let batch = batches.entry(tag).or_insert_with(|| Batch {
                tag,
                commands: vec![wire::command::<&str>("TIME", []), epoch::read(tag)],
            });
            batch.commands.push(self.layout.read(&keys::session(key)));
        }
        batches
    }

    /// The keys of a tag, one by one.
    fn reading_singly(&self, keys: &[StoredKey], tag: SlotTag) -> impl Iterator<Item = Batch> {
        let of_the_tag = keys.iter().filter(move |key| key.tag() == tag);
        of_the_tag.flat_map(|key| self.reading(&[*key]).into_values())
    }

    /// Takes what was found under the keys of a tag; `false`: nothing, because a value of somebody else is among it.
    fn found(
        &self,
        answer: Result<Vec<Reply>, Failure>,
        all: &mut Vec<Found>,
    ) -> Result<bool, Failure> {
        match answer.and_then(|replies| self.judged(replies)) {
            Ok(found) => {
                all.extend(found);
                Ok(true)
            }
            Err(failure) if failure.class() == Class::Foreign => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// As [`Self::found`], of one key. Somebody else's value is no session, and is told of.
    fn found_alone(
        &self,
        answer: Result<Vec<Reply>, Failure>,
        all: &mut Vec<Found>,
    ) -> Result<(), Failure> {
        if !self.found(answer, all)? {
            self.shared.concerns.tell_of_all(Concern::ForeignValue);
        }
        Ok(())
    }

    fn judged(&self, replies: Vec<Reply>) -> Result<Vec<Found>, Failure> {
        let mut replies = replies.into_iter();
        let now = time(replies.next().unwrap_or_default())?;
        let epoch = epoch::decode(replies.next().unwrap_or_default())?;
        let found = replies.map(|reply| {
            let kept = match self.layout.beneath(reply.clone())? {
                Some(leaving) => leaving,
                None => self.layout.decode(reply)?,
            };
            Ok((kept, epoch, now))
        });
        found.collect()
    }

    /// Numbers of all nodes together.
    pub(super) async fn numbers(&self) -> Result<Stats, Error> {
        let mut all = Stats::default();
        for node in self.route.nodes().wires {
            let stats = self.numbers_of(&*node).await?;
            all.sessions += stats.sessions;
            all.bytes += stats.bytes;
            all.bytes_limit = match (all.bytes_limit, stats.bytes_limit) {
                (Some(one), Some(other)) => Some(one + other),
                (one, other) => one.or(other),
            };
            all.expired += stats.expired;
            all.evicted += stats.evicted;
        }
        Ok(all)
    }

    /// Numbers of a node. Sessions are counted up to 10000 keys, and estimated from as many beyond
    /// that: Redis counts keys, and some of ours are markers and indexes.
    async fn numbers_of(&self, node: &dyn Wire) -> Result<Stats, Error> {
        let commands = vec![
            wire::command::<&str>("DBSIZE", []),
            wire::command("INFO", ["memory"]),
            wire::command("INFO", ["stats"]),
        ];
        let [size, memory, counters] = wire::exactly(node.send(Lane::Bulk, commands).await?)?;
        let size = wire::integer(&size)?.cast_unsigned();
        let (memory, counters) = (text(memory)?, text(counters)?);
        let (mut at, mut seen, mut alive) = (0, 0_u64, 0_u64);
        loop {
            let (next, found) = scan_keys(node, at, limits::SCAN_PAGE).await?;
            seen += limits::SCAN_PAGE as u64;
            for (kept, epoch, now) in self.read_many(&found).await? {
                alive += u64::from(matches!(kept.judge(epoch, now), Present::Alive(_)));
            }
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

async fn scan_keys(node: &dyn Wire, at: u64, count: usize) -> Result<(u64, Vec<StoredKey>), Error> {
    let mut scan = wire::command("SCAN", [at]);
    scan.arg("MATCH")
        .arg(SESSIONS)
        .arg("COUNT")
        .arg(count.max(1));
    let [reply] = wire::exactly(node.send(Lane::Bulk, vec![scan]).await?)?;
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

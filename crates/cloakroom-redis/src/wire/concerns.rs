//! What is to be worried about in a server that works: how it keeps its memory decides whether
//! sessions disappear, or whether new ones will be refused. Asked once of each server that is met, over a
//! connection of its own that nobody waits for, and told as an event and a log line. A server that does not
//! say is not asked twice.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::observe::{Concern, Event, Observer};
use parking_lot::Mutex;
use redis::Client;
use redis::aio::MultiplexedConnection;
use tokio::task::JoinSet;

use super::open::ask;
use super::{Shared, array, bytes, command};
use crate::failure::{Class, Failure};

/// The longest that a server is listened to; who opens a store waits for that.
const PATIENCE: Duration = Duration::from_millis(250);
/// Servers that are remembered as asked.
const REMEMBERED: usize = 64;
/// The part of its memory that a server may use before it is nearly full, in percent.
const NEARLY_FULL: u128 = 80;

/// Asks servers, and tells.
#[derive(Debug)]
pub(crate) struct Concerns {
    observer: Arc<dyn Observer>,
    /// The first server that the settings name.
    first: String,
    /// Runs of servers that were asked; `None` stands for all that do not tell their run.
    asked: Mutex<VecDeque<Option<Vec<u8>>>>,
    /// Those that are being asked.
    looking: Mutex<JoinSet<()>>,
}

/// How a server keeps its memory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Memory {
    policy: String,
    /// In bytes; 0 is none.
    limit: u64,
    /// In bytes, where the server tells.
    used: Option<u64>,
}

impl Concerns {
    pub(crate) fn new(observer: Arc<dyn Observer>, first: String) -> Self {
        Self {
            observer,
            first,
            asked: Mutex::default(),
            looking: Mutex::default(),
        }
    }

    /// Has a server looked at, unless it was before. Nothing fails by it.
    pub(super) fn send(shared: &Arc<Shared>, client: Client, run: Option<&[u8]>, address: &str) {
        if !shared.concerns.is_new(run) {
            return;
        }
        let (look, address) = (Arc::clone(shared), address.to_owned());
        let mut looking = shared.concerns.looking.lock();
        while looking.try_join_next().is_some() {}
        looking.spawn(async move { look.concerns.look(&client, &address).await });
    }

    /// Waits until nothing is to be told of the servers that were met.
    pub(crate) async fn settled(&self) {
        let mut looking = std::mem::take(&mut *self.looking.lock());
        while looking.join_next().await.is_some() {}
    }

    async fn look(&self, client: &Client, address: &str) {
        let told = match tokio::time::timeout(PATIENCE, memory(client)).await {
            Ok(told) => told,
            Err(_) => Err(Failure::new(Class::Timeout, "no answer in time")),
        };
        match told {
            Ok(memory) => {
                for concern in memory.concerns() {
                    self.tell(concern, address);
                }
            }
            Err(failure) => {
                tracing::debug!(server = address, %failure, "the server does not tell how it keeps its memory");
            }
        }
    }

    /// Tells a concern that is about no server alone.
    pub(crate) fn tell_of_all(&self, concern: Concern) {
        self.tell(concern, &self.first);
    }

    fn tell(&self, concern: Concern, address: &str) {
        let name = concern.name();
        tracing::warn!(concern = name, server = address, "{}", concern.advice());
        self.observer.observe(&Event::StoreConcern(concern));
    }

    fn is_new(&self, run: Option<&[u8]>) -> bool {
        let mut asked = self.asked.lock();
        if asked.iter().any(|known| known.as_deref() == run) {
            return false;
        }
        asked.push_back(run.map(<[u8]>::to_vec));
        if asked.len() > REMEMBERED {
            asked.pop_front();
        }
        true
    }
}

impl Memory {
    fn concerns(&self) -> Vec<Concern> {
        let used = u128::from(self.used.unwrap_or_default());
        let nearly = used * 100 > u128::from(self.limit) * NEARLY_FULL;
        let all = [
            (
                self.policy.starts_with("allkeys-"),
                Concern::EvictsEverything,
            ),
            (self.limit == 0, Concern::NoMemoryLimit),
            (
                self.policy == "noeviction" && self.limit > 0 && nearly,
                Concern::NearlyFull,
            ),
        ];
        let holding = all.into_iter().filter(|(holds, _)| *holds);
        holding.map(|(_, concern)| concern).collect()
    }
}

/// `INFO memory` says it all, and needs a right that the store has anyway. `CONFIG GET` is for servers
/// that leave it out there; many providers forbid that one.
async fn memory(client: &Client) -> Result<Memory, Failure> {
    let opened = client.get_multiplexed_async_connection().await;
    let connection = &mut opened.map_err(|error| Failure::of(&error))?;
    let info = match ask(connection, command("INFO", ["memory"])).await {
        Ok(info) => bytes(info)?.unwrap_or_default(),
        Err(failure) if matches!(failure.class(), Class::Permission | Class::Protocol) => {
            Vec::new()
        }
        Err(failure) => return Err(failure),
    };
    let info = String::from_utf8_lossy(&info);
    let line = |name: &str| {
        let mut lines = info.lines();
        lines.find_map(|line| {
            Some(
                line.strip_prefix(name)?
                    .strip_prefix(':')?
                    .trim()
                    .to_owned(),
            )
        })
    };
    let number = |text: String| text.parse::<u64>().ok();
    let used = line("used_memory").and_then(number);
    if let (Some(policy), Some(limit)) =
        (line("maxmemory_policy"), line("maxmemory").and_then(number))
    {
        return Ok(Memory {
            policy,
            limit,
            used,
        });
    }
    let policy = setting(connection, "maxmemory-policy").await?;
    let limit = number(setting(connection, "maxmemory").await?);
    Ok(Memory {
        policy,
        limit: limit.ok_or_else(|| Failure::protocol("maxmemory is no number"))?,
        used,
    })
}

async fn setting(connection: &mut MultiplexedConnection, name: &str) -> Result<String, Failure> {
    let mut question = command("CONFIG", ["GET"]);
    question.arg(name);
    let answer = array(ask(connection, question).await?)?;
    let value = answer.into_iter().nth(1).map(bytes).transpose()?.flatten();
    let value = value.ok_or_else(|| Failure::protocol("the server knows no such setting"))?;
    Ok(String::from_utf8_lossy(&value).into_owned())
}

#[cfg(test)]
mod tests {
    use cloakroom_core::observe::Unobserved;

    use super::*;

    #[test]
    fn each_way_to_keep_memory_has_its_concerns() {
        use Concern::{EvictsEverything, NearlyFull, NoMemoryLimit};
        let cases: [(&str, u64, Option<u64>, &[Concern]); 11] = [
            ("volatile-ttl", 100, Some(99), &[]),
            ("volatile-lru", 100, Some(10), &[]),
            ("noeviction", 100, Some(80), &[]),
            ("noeviction", 100, Some(81), &[NearlyFull]),
            ("noeviction", 100, None, &[]),
            ("noeviction", u64::MAX, Some(u64::MAX), &[NearlyFull]),
            ("noeviction", 0, Some(99), &[NoMemoryLimit]),
            ("volatile-ttl", 0, None, &[NoMemoryLimit]),
            ("allkeys-lru", 100, Some(10), &[EvictsEverything]),
            ("allkeys-lfu", 100, Some(99), &[EvictsEverything]),
            (
                "allkeys-random",
                0,
                None,
                &[EvictsEverything, NoMemoryLimit],
            ),
        ];
        for (policy, limit, used, concerns) in cases {
            let policy = policy.to_owned();
            let memory = Memory {
                policy,
                limit,
                used,
            };
            assert_eq!(memory.concerns(), concerns, "{memory:?}");
        }
    }

    #[test]
    fn the_servers_that_were_met_last_are_not_asked_again() {
        let concerns = Concerns::new(Arc::new(Unobserved), String::new());
        let servers: Vec<_> = (0..REMEMBERED).map(usize::to_le_bytes).collect();
        assert!(concerns.is_new(None));
        for server in &servers {
            assert!(!concerns.is_new(None), "so many others did not come");
            assert!(concerns.is_new(Some(server)));
            assert!(!concerns.is_new(Some(server)));
        }
        assert!(concerns.is_new(None), "so many others came since");
        assert!(!concerns.is_new(Some(&servers[1])));
    }
}

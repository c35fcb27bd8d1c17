//! Who is the primary, by Redis Sentinel: asked whenever a connection is opened, and listened to for
//! the announcement of a new one.

use std::collections::HashMap;
use std::time::Duration;

use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

use super::bytes;
use super::open::{connection_addr, transmit, without_errors};
use crate::failure::{Class, Failure};
use crate::settings::{Address, Settings};
use crate::wire;

/// The longest that one sentinel is waited for, so that a dead one does not use up the deadline.
const PATIENCE: Duration = Duration::from_millis(300);

/// The sentinels of one master.
#[derive(Clone, Debug)]
pub(crate) struct Sentinels {
    nodes: Vec<Address>,
    master: String,
    tls: bool,
    patience: Duration,
}

/// What one sentinel says.
struct Word {
    primary: Address,
    /// Counts failovers: the higher is the later word.
    epoch: u64,
    failing_over: bool,
}

impl Sentinels {
    pub(super) fn new(settings: &Settings, master: &str) -> Self {
        Self {
            nodes: settings.addresses.clone(),
            master: master.to_owned(),
            tls: matches!(settings.addresses[0], Address::Tcp { tls: true, .. }),
            patience: PATIENCE.min(settings.timeout / 2),
        }
    }

    /// Where the primary is, by the latest word of all sentinels that answer. While one of them runs
    /// a failover there is none: the old primary still takes writes then, and they will be lost.
    pub(super) async fn primary(&self) -> Result<Address, Failure> {
        let asked = self.nodes.iter().map(|node| async move {
            match tokio::time::timeout(self.patience, self.ask(node)).await {
                Ok(answer) => answer.map_err(|failure| failure.at(&node.to_string())),
                Err(_) => {
                    let late = Failure::new(Class::Unreachable, "the sentinel does not answer");
                    Err(late.at(&node.to_string()))
                }
            }
        });
        let mut latest: Option<Word> = None;
        let mut failed = Failure::new(Class::Unreachable, "no sentinel is configured");
        for answer in futures_util::future::join_all(asked).await {
            match answer {
                Ok(word) if word.failing_over => {
                    let words = format!("{:?} is being failed over", self.master);
                    return Err(Failure::new(Class::Down, words));
                }
                Ok(word) if latest.as_ref().is_none_or(|known| known.epoch < word.epoch) => {
                    latest = Some(word);
                }
                Ok(_) => {}
                Err(failure) => failed = failure,
            }
        }
        latest.map(|word| word.primary).ok_or(failed)
    }

    async fn ask(&self, node: &Address) -> Result<Word, Failure> {
        let opened = client(node)?
            .get_multiplexed_async_connection_with_config(&AsyncConnectionConfig::new())
            .await;
        let mut connection = opened.map_err(|error| Failure::of(&error))?;
        let mut question = wire::command("SENTINEL", ["MASTER"]);
        question.arg(&self.master);
        let answer = transmit(&mut connection, vec![question]).await;
        let answer = answer.map_err(|error| Failure::of(&error))?;
        if let [wire::Reply::ServerError(error)] = &*answer
            && error
                .details()
                .is_some_and(|text| text.contains("No such master"))
        {
            let words = format!("the sentinel knows no master {:?}", self.master);
            return Err(Failure::new(Class::UnknownMaster, words));
        }
        let answer = without_errors(answer)?;
        let [answer] = wire::exactly(answer)?;
        let mut told = HashMap::new();
        let mut items = wire::array(answer)?.into_iter();
        while let (Some(name), Some(value)) = (items.next(), items.next()) {
            told.insert(text(name)?, text(value)?);
        }
        let number = |name: &str| told.get(name).and_then(|text| text.parse().ok());
        let port = number("port").and_then(|port: u64| u16::try_from(port).ok());
        let (Some(host), Some(port)) = (told.get("ip"), port) else {
            return Err(Failure::protocol("a sentinel told no address"));
        };
        let flags = told.get("flags").map(String::as_str).unwrap_or_default();
        Ok(Word {
            primary: Address::Tcp {
                host: host.clone(),
                port,
                tls: self.tls,
            },
            epoch: number("config-epoch").unwrap_or_default(),
            failing_over: flags.contains("failover_in_progress"),
        })
    }

    /// Waits until a sentinel announces a new primary, asking them in turn to tell.
    pub(super) async fn announcement(&self, turn: usize) -> Result<(), Failure> {
        let node = &self.nodes[turn % self.nodes.len()];
        let error = |error: redis::RedisError| Failure::of(&error);
        let mut subscription = client(node)?.get_async_pubsub().await.map_err(error)?;
        subscription
            .subscribe("+switch-master")
            .await
            .map_err(error)?;
        let mut messages = subscription.on_message();
        loop {
            let next = std::future::poll_fn(|context| {
                futures_util::Stream::poll_next(std::pin::Pin::new(&mut messages), context)
            });
            let Some(message) = next.await else {
                return Err(Failure::new(Class::Unreachable, "the sentinel went away"));
            };
            let name = message
                .get_payload_bytes()
                .split(|byte| *byte == b' ')
                .next();
            if name == Some(self.master.as_bytes()) {
                return Ok(());
            }
        }
    }
}

fn client(node: &Address) -> Result<Client, Failure> {
    let addr: ConnectionAddr = connection_addr(node);
    let info: Result<ConnectionInfo, _> = addr.into_connection_info();
    let client = info.and_then(Client::open);
    client.map_err(|error| Failure::of(&error))
}

fn text(reply: wire::Reply) -> Result<String, Failure> {
    let bytes = bytes(reply)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

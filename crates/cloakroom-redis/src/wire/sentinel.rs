//! Who is the primary, by Redis Sentinel: asked whenever a connection is opened, and listened to for
//! the announcement of a new one.

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

impl Sentinels {
    pub(super) fn new(settings: &Settings, master: &str) -> Self {
        Self {
            nodes: settings.addresses.clone(),
            master: master.to_owned(),
            tls: matches!(settings.addresses[0], Address::Tcp { tls: true, .. }),
            patience: PATIENCE.min(settings.timeout / 2),
        }
    }

    /// Where the primary is, by the first sentinel that answers.
    pub(super) async fn primary(&self) -> Result<Address, Failure> {
        let mut last = Failure::new(Class::Unreachable, "no sentinel is configured");
        for node in &self.nodes {
            match tokio::time::timeout(self.patience, self.ask(node)).await {
                Ok(Ok(Some(address))) => return Ok(address),
                Ok(Ok(None)) => {
                    let words = format!("the sentinel knows no master {:?}", self.master);
                    last = Failure::new(Class::UnknownMaster, words).at(&node.to_string());
                }
                Ok(Err(failure)) => last = failure.at(&node.to_string()),
                Err(_) => {
                    let late = Failure::new(Class::Unreachable, "the sentinel does not answer");
                    last = late.at(&node.to_string());
                }
            }
        }
        Err(last)
    }

    async fn ask(&self, node: &Address) -> Result<Option<Address>, Failure> {
        let opened = client(node)?
            .get_multiplexed_async_connection_with_config(&AsyncConnectionConfig::new())
            .await;
        let mut connection = opened.map_err(|error| Failure::of(&error))?;
        let mut question = wire::command("SENTINEL", ["get-master-addr-by-name"]);
        question.arg(&self.master);
        let answer = transmit(&mut connection, vec![question]).await;
        let answer = without_errors(answer.map_err(|error| Failure::of(&error))?)?;
        let [answer] = wire::exactly(answer)?;
        if answer == redis::Value::Nil {
            return Ok(None);
        }
        let [host, port] = wire::exactly(wire::array(answer)?)?;
        let host = String::from_utf8_lossy(&bytes(host)?.unwrap_or_default()).into_owned();
        let port = wire::integer(&port)?;
        Ok(Some(Address::Tcp {
            host,
            port: u16::try_from(port).map_err(|_| Failure::protocol("a port is none"))?,
            tls: self.tls,
        }))
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

//! What the sentinels say of the primary: each is asked again and again, and listened to for the
//! announcement of a new one, upon which all are asked at once. What follows from it is
//! [`super::trust`]'s to say.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use tokio::sync::watch;

use super::client::Clients;
use super::open::{transmit, without_errors};
use super::trust::{LEASE, Trust, Word};
use super::{Reply, array, bytes, command, exactly};
use crate::failure::{Class, Failure};
use crate::settings::{Address, Settings};

/// The longest that one sentinel is waited for, so that a dead one does not use up the deadline.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often each is asked, and how often while it matters.
const CALM: Duration = Duration::from_millis(500);
const ALERT: Duration = Duration::from_millis(50);
/// How soon a sentinel that went away is listened to again.
const LISTEN_AGAIN: Duration = Duration::from_millis(200);
/// What is worth asking for at once: a replica will be made primary, is it, is known to be it.
const EVENTS: [&str; 3] = [
    "+failover-state-send-slaveof-noone",
    "+promoted-slave",
    "+switch-master",
];
/// A replica that has not answered a sentinel for this long is not promoted by it.
const SILENT_MS: u64 = 5_000;

/// The sentinels of one master.
#[derive(Clone)]
pub(super) struct Sentinels {
    clients: Clients,
    nodes: Vec<Address>,
    master: String,
    tls: bool,
    patience: Duration,
    warned: Arc<AtomicBool>,
}

impl Sentinels {
    pub(super) fn new(settings: &Settings, master: &str, clients: Clients) -> Self {
        Self {
            clients,
            nodes: settings.addresses.clone(),
            master: master.to_owned(),
            tls: matches!(settings.addresses[0], Address::Tcp { tls: true, .. }),
            patience: PATIENCE.min(settings.timeout / 2),
            warned: Arc::default(),
        }
    }

    /// Asks and listens for ever.
    pub(super) async fn follow(self, trust: Arc<Trust>) {
        let announced = watch::channel(()).0;
        let asking = (0..self.nodes.len()).map(|node| self.ask_on(node, &trust, &announced));
        let listening = (0..self.nodes.len()).map(|node| self.listen_on(node, &announced));
        futures_util::future::join(join_all(asking), join_all(listening)).await;
    }

    async fn ask_on(&self, node: usize, trust: &Trust, announced: &watch::Sender<()>) {
        let mut announced = announced.subscribe();
        let mut connection = None;
        loop {
            let asked = self.ask(&self.nodes[node], &mut connection);
            let said = match tokio::time::timeout(self.patience, asked).await {
                Ok(said) => said,
                Err(_) => Err(Failure::new(
                    Class::Unreachable,
                    "the sentinel does not answer",
                )),
            };
            if said.is_err() {
                connection = None;
            }
            let name = self.nodes[node].to_string();
            trust.hear(node, said.map_err(|failure| failure.at(&name)));
            let pause = if trust.is_unsettled() { ALERT } else { CALM };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = announced.changed() => {}
            }
        }
    }

    async fn ask(
        &self,
        node: &Address,
        connection: &mut Option<MultiplexedConnection>,
    ) -> Result<Word, Failure> {
        let open = match connection {
            Some(open) => open,
            None => connection.insert(self.connect(node).await?),
        };
        let asked = Instant::now();
        let questions = ["MASTER", "GET-MASTER-ADDR-BY-NAME", "REPLICAS"];
        let questions = questions.map(|word| command("SENTINEL", [word, &self.master]));
        let answers = transmit(open, questions.into()).await;
        let answers = answers.map_err(|error| Failure::of(&error))?;
        let unknown = |text: &str| text.contains("No such master");
        if let Some(Reply::ServerError(error)) = answers.first()
            && error.details().is_some_and(unknown)
        {
            let words = format!("the sentinel knows no master {:?}", self.master);
            return Err(Failure::new(Class::UnknownMaster, words));
        }
        if let Some(Reply::ServerError(error)) = answers.first()
            && error
                .details()
                .is_some_and(|text| text.contains("unknown command"))
        {
            return Err(Failure::new(Class::NoSentinel, "the server is no sentinel"));
        }
        let [master, address, replicas] = exactly(without_errors(answers)?)?;
        self.word(asked, &told(master)?, address, replicas)
    }

    fn word(
        &self,
        asked: Instant,
        master: &Told,
        address: Reply,
        replicas: Reply,
    ) -> Result<Word, Failure> {
        let mut address = array(address)?.into_iter().map(text);
        let (Some(host), Some(port)) = (address.next(), address.next()) else {
            return Err(Failure::protocol("a sentinel told no address"));
        };
        let (host, port) = (host?, port?);
        // Who runs the failover names the new primary here as soon as it is promoted, long before
        // the failover is over.
        let running = master.flags("failover_in_progress");
        let promoted = (master.get("ip"), master.get("port")) != (&*host, &*port);
        if promoted && !running {
            return Err(Failure::new(Class::Down, "the primary was just changed"));
        }
        let own = format!("{host}:{port}");
        let port = port.parse();
        let known_for = if promoted {
            0
        } else {
            master.number("role-reported-time")
        };
        let now = Instant::now();
        let since = now.checked_sub(Duration::from_millis(known_for));
        let replicas = array(replicas)?.into_iter().map(told);
        let mut replicas = replicas.collect::<Result<Vec<_>, Failure>>()?;
        replicas.retain(|replica| replica.address() != own);
        let [replicas, last_resort] = promotable(&replicas);
        let (known, named) = (
            master.number("num-other-sentinels").saturating_add(1),
            self.nodes.len(),
        );
        if known > named as u64 && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                known,
                named,
                "name all sentinels in the URL: a majority of those named decides who is primary"
            );
        }
        Ok(Word {
            asked,
            since: since.unwrap_or(now),
            primary: Address::Tcp {
                host,
                port: port.map_err(|_| Failure::protocol("a sentinel told no port"))?,
                tls: self.tls,
            },
            epoch: master.number("config-epoch"),
            failing_over: running && !promoted,
            replicas,
            last_resort,
        })
    }

    async fn connect(&self, node: &Address) -> Result<MultiplexedConnection, Failure> {
        let error = |error: redis::RedisError| Failure::of(&error);
        let client = self.clients.sentinel(node).map_err(error)?;
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let opening = client.get_multiplexed_async_connection_with_config(&config);
        opening.await.map_err(error)
    }

    async fn listen_on(&self, node: usize, announced: &watch::Sender<()>) {
        loop {
            if let Err(failure) = self.listen(&self.nodes[node], announced).await {
                tracing::debug!(%failure, "a sentinel cannot be listened to");
            }
            tokio::time::sleep(LISTEN_AGAIN).await;
        }
    }

    async fn listen(&self, node: &Address, announced: &watch::Sender<()>) -> Result<(), Failure> {
        let error = |error: redis::RedisError| Failure::of(&error);
        let client = self.clients.sentinel(node).map_err(error)?;
        let late = |_| Failure::new(Class::Unreachable, "the sentinel does not answer");
        let opening = tokio::time::timeout(LEASE, client.get_async_pubsub()).await;
        let mut subscription = opening.map_err(late)?.map_err(error)?;
        for event in EVENTS {
            subscription.subscribe(event).await.map_err(error)?;
        }
        let mut messages = subscription.on_message();
        while let Some(message) = messages.next().await {
            // Events of other masters cost a question and no more.
            tracing::debug!(event = message.get_channel_name(), "a sentinel announces");
            announced.send_replace(());
        }
        Err(Failure::new(Class::Unreachable, "the sentinel went away"))
    }
}

/// Whether the sentinel would make each of these the primary (`sentinelSelectSlave` in its source), and whether it
/// would if there is none better: one that is being filled, or has lost its primary, may have data that is old.
fn promotable(replicas: &[Told]) -> [Vec<(String, bool)>; 2] {
    let out = ["s_down", "o_down", "disconnected"];
    let is_eligible = |replica: &Told| {
        !out.iter().any(|flag| replica.flags(flag))
            && replica.number("last-ok-ping-reply") <= SILENT_MS
            && replica.get("slave-priority") != "0"
    };
    let follows = |replica: &Told| replica.get("master-link-status") == "ok";
    let priority = |replica: &Told| replica.number("slave-priority");
    let following = replicas
        .iter()
        .filter(|one| is_eligible(one) && follows(one));
    // The lower number is preferred, and of equal ones who knows more.
    let best = following.map(priority).min();
    let is_taken = |one: &Told| follows(one) || best.is_some_and(|best| priority(one) < best);
    let told = |is: &dyn Fn(&Told) -> bool| {
        let told = replicas
            .iter()
            .map(|one| (one.address(), is_eligible(one) && is(one)));
        told.collect()
    };
    [told(&is_taken), told(&|_| best.is_none())]
}

/// Names and values.
struct Told(HashMap<String, String>);

fn told(reply: Reply) -> Result<Told, Failure> {
    let mut items = array(reply)?.into_iter();
    let mut told = HashMap::new();
    while let (Some(name), Some(value)) = (items.next(), items.next()) {
        told.insert(text(name)?, text(value)?);
    }
    Ok(Told(told))
}

impl Told {
    fn get(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }

    fn address(&self) -> String {
        format!("{}:{}", self.get("ip"), self.get("port"))
    }

    fn number(&self, name: &str) -> u64 {
        self.get(name).parse().unwrap_or_default()
    }

    fn flags(&self, flag: &str) -> bool {
        self.get("flags").split(',').any(|word| word == flag)
    }
}

fn text(reply: Reply) -> Result<String, Failure> {
    let bytes = bytes(reply)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(name: &str, link: &str, priority: &str, flags: &str) -> Told {
        let said = [
            ("ip", name),
            ("port", "1"),
            ("flags", flags),
            ("last-ok-ping-reply", "20"),
            ("slave-priority", priority),
            ("master-link-status", link),
        ];
        Told(
            said.map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        )
    }

    #[test]
    fn whoever_would_be_taken_could_be_promoted() {
        let told = |replicas: &[Told]| {
            let [able, last_resort] = promotable(replicas);
            let both = able.into_iter().zip(last_resort);
            both.map(|((_, able), (_, last))| (able, last))
                .collect::<Vec<_>>()
        };
        let follows = || replica("a", "ok", "100", "slave");
        let filled = || replica("b", "err", "100", "slave");
        let no = (false, false);
        assert_eq!(
            told(&[follows(), filled()]),
            [(true, false), no],
            "it knows more"
        );
        assert_eq!(told(&[filled()]), [(false, true)], "there is none better");
        let gone = replica("a", "ok", "100", "slave,s_down");
        assert_eq!(told(&[gone, filled()]), [no, (false, true)]);
        let preferred = replica("b", "err", "10", "slave");
        assert_eq!(
            told(&[follows(), preferred]),
            [(true, false), (true, false)]
        );
        let never = replica("b", "err", "0", "slave");
        assert_eq!(told(&[never]), [no]);
    }
}

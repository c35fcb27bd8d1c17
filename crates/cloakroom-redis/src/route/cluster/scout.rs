//! Finding out who has which tag, again whenever there is trouble, from whatever nodes answer. A new
//! owner is told what was revoked before anybody is sent to it ([`mapping`]). And asking the owners all the
//! time, so that it is known whom to believe ([`super::trust`]).

mod mapping;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};

use super::map::Map;
use super::node::Node;
use super::run::budget;
use super::trust::{Belief, Trust};
use super::view::Slots;
use crate::failure::{Class, Failure};
use crate::settings::{Address, Settings};
use crate::wire::{self, LEASE, PROMPT, Shared};

/// The longest that one node is waited for, so that a dead one does not hold up the others' news.
const PATIENCE: Duration = Duration::from_millis(300);
/// How often owners are asked, and how often nodes while there is trouble, and for how long after the
/// last of it.
const CALM: Duration = Duration::from_millis(500);
const OFTEN: Duration = Duration::from_millis(50);
/// How often at first, when there was none before or somebody names another owner, and for how long: then news
/// is on its way from node to node.
const AT_ONCE: Duration = Duration::from_millis(10);
const FRESH: Duration = Duration::from_millis(200);
const WARY: Duration = Duration::from_secs(5);

/// What a node answered.
struct Answer {
    /// Whether it answered when it was asked before.
    expected: bool,
    /// Who has what as it says, and whether that is what the map says.
    view: Result<(Arc<Slots>, bool), Failure>,
}

/// What is known of a cluster.
#[derive(Debug)]
pub(super) struct Scout {
    settings: Settings,
    shared: Arc<Shared>,
    /// Whom to believe, and the map.
    pub(super) trust: Arc<Trust>,
    /// Everybody who may know about the cluster.
    nodes: Mutex<BTreeMap<Address, Arc<Node>>>,
    /// Held while the map is made another one.
    changing: Mutex<()>,
    trouble: Notify,
    /// Counts the times that nodes were asked, or tags got another owner.
    asked: watch::Sender<u64>,
}

impl Scout {
    pub(super) fn new(settings: &Settings, shared: &Arc<Shared>) -> Self {
        let scout = Self {
            settings: settings.clone(),
            shared: Arc::clone(shared),
            trust: Arc::new(Trust::new()),
            nodes: Mutex::default(),
            changing: Mutex::default(),
            trouble: Notify::new(),
            asked: watch::channel(0).0,
        };
        for seed in &settings.addresses {
            scout.node(seed);
        }
        scout
    }

    pub(super) fn map(&self) -> Arc<Map> {
        self.trust.map()
    }

    pub(super) const fn timeout(&self) -> Duration {
        self.settings.timeout
    }

    /// The node at an address.
    pub(super) fn node(&self, address: &Address) -> Arc<Node> {
        let mut nodes = self.nodes.lock();
        let node = nodes.entry(address.clone()).or_insert_with(|| {
            let node = Node::new(&self.settings, address.clone(), &self.shared);
            Arc::new(node)
        });
        Arc::clone(node)
    }

    /// Something did not go as the map says.
    pub(super) fn report(&self) {
        self.trouble.notify_one();
    }

    /// Waits until nodes were asked again or the map is another one, but not longer than `longest`.
    pub(super) async fn news(&self, longest: Duration) {
        let mut asked = self.asked.subscribe();
        self.report();
        drop(tokio::time::timeout(longest, asked.changed()).await);
    }

    /// Asks for ever: the owners now and then, everybody while there is trouble.
    pub(super) async fn watch(self: Arc<Self>) {
        let mut trouble: Option<Instant> = None;
        // Since when there is trouble, and since when somebody names another owner.
        let [mut troubled, mut contested]: [Option<Instant>; 2] = [None; 2];
        // When somebody last named another owner than before.
        let mut news: Option<Instant> = None;
        loop {
            match trouble {
                Some(_) => self.look_around().await,
                None => drop(self.ask(self.map().owners())),
            }
            self.asked.send_modify(|count| *count += 1);
            trouble = trouble.filter(|last| last.elapsed() < WARY);
            troubled = trouble.and(troubled.or(trouble));
            contested = self.contested(contested);
            let mut since = [troubled, contested, news].into_iter().flatten();
            let pause = if since.any(|since| since.elapsed() < FRESH) {
                AT_ONCE
            } else if trouble.is_some() || self.trust.is_unsettled() {
                OFTEN
            } else {
                CALM
            };
            let paused = tokio::time::sleep(pause);
            if trouble.is_some() {
                tokio::select! {
                    () = paused => {}
                    () = self.look_out() => news = Some(Instant::now()),
                }
                let more = tokio::time::timeout(Duration::ZERO, self.trouble.notified());
                if more.await.is_ok() {
                    trouble = Some(Instant::now());
                }
            } else {
                tokio::select! {
                    () = paused => {}
                    () = self.trouble.notified() => trouble = Some(Instant::now()),
                }
            }
            contested = self.contested(contested);
            if contested.is_some() {
                trouble = Some(Instant::now());
            }
        }
    }

    /// Asks one owner after another, so that one that names a new owner is heard soon, although everybody is
    /// asked less often; returns when somebody names others than before.
    async fn look_out(&self) {
        let before = self.trust.objections();
        let mut heard = self.trust.listen();
        let others_named =
            async { while self.trust.objections() == before && heard.changed().await.is_ok() {} };
        let silent = self.trust.silent();
        let mut owners = self.map().owners();
        owners.retain(|owner| !silent.contains(&owner.address));
        let asking = async {
            for owner in owners.iter().cycle() {
                tokio::time::sleep(AT_ONCE).await;
                drop(self.ask(vec![Arc::clone(owner)]));
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = others_named => {}
            () = asking => {}
        }
    }

    /// Since when somebody names another owner, if it was so `before`.
    fn contested(&self, before: Option<Instant>) -> Option<Instant> {
        let is = self.trust.is_contested();
        is.then(|| before.unwrap_or_else(Instant::now))
    }

    /// Asks these nodes who has what. Their words are heard also if nobody waits for the answers.
    fn ask(&self, nodes: Vec<Arc<Node>>) -> mpsc::UnboundedReceiver<Answer> {
        let (tell, answers) = mpsc::unbounded_channel();
        let patience = PATIENCE.min(self.settings.timeout / 2);
        for node in nodes {
            let (trust, tell) = (Arc::clone(&self.trust), tell.clone());
            let expected = !node.is_silent();
            tokio::spawn(async move {
                let asked = Instant::now();
                let view = node.ask(patience).await.map(|view| {
                    let slots = Arc::clone(&view.slots);
                    let agrees = trust.hear(&node.address, asked, view);
                    (slots, agrees)
                });
                let view = view.map_err(|failure| failure.at(&node.address.to_string()));
                // Nobody may wait for it any more.
                drop(tell.send(Answer { expected, view }));
            });
        }
        answers
    }

    /// Waits until a node may be believed, if that can be; `began`: when the caller did.
    pub(super) async fn vouched(
        &self,
        belief: impl Fn() -> Belief,
        began: Instant,
    ) -> Result<(), Failure> {
        if belief() == Belief::Yes {
            return Ok(());
        }
        let mut heard = self.trust.listen();
        let hearing = async {
            loop {
                match belief() {
                    Belief::Yes => return true,
                    Belief::Never => return false,
                    Belief::NotNow => {}
                }
                self.report();
                if heard.changed().await.is_err() {
                    return false;
                }
            }
        };
        let left = budget(self).saturating_sub(began.elapsed());
        match tokio::time::timeout(left, hearing).await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(unvouched()),
        }
    }

    /// Waits for a call to an owner until it owns nothing any more: then it may never be answered.
    pub(super) async fn while_it_owns<T>(
        &self,
        node: &Node,
        call: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        let mut call = pin!(call);
        if let Ok(done) = tokio::time::timeout(PROMPT, &mut call).await {
            return Ok(done);
        }
        let mut heard = self.trust.listen();
        let gone = async {
            while self.trust.belief_in(node) != Belief::Never {
                if heard.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            done = call => Ok(done),
            () = gone => Err(unvouched()),
        }
    }

    /// Why nothing is sent to a server.
    pub(super) fn nobody_vouches(&self) -> Failure {
        let words = "no majority of the cluster's primaries vouches for who has this slot";
        let silent: Vec<String> = self.trust.silent().iter().map(Address::to_string).collect();
        match silent.is_empty() {
            true => Failure::new(Class::NoMajority, words),
            false => {
                let words = format!("{words} (no answer from {})", silent.join(", "));
                Failure::naming(Class::NoMajority, words)
            }
        }
    }

    /// Finds out which owners were primaries for so long, by their own word, that nobody can believe who
    /// had their tags before: who was never promoted since it was started.
    pub(super) async fn look_back(&self) {
        let owners = self.map().owners();
        let looks = owners.iter().map(|node| async {
            let sections = ["replication", "server"];
            let questions = sections.map(|section| wire::command("INFO", [section]));
            let answers = node.wire.question(PATIENCE, questions.into()).await.ok()?;
            let mut text = String::new();
            for answer in answers {
                text += &String::from_utf8_lossy(&wire::bytes(answer).ok()??);
            }
            was_never_promoted(&text).then(|| node.address.clone())
        });
        let first = join_all(looks).await;
        self.trust.are_first(first.into_iter().flatten().collect());
    }
}

/// What an answer is worth that no majority stands behind. It may have been done, where it will be lost.
pub(super) fn unvouched() -> Failure {
    let words = "no majority of the cluster's primaries vouches for the server that answered";
    Failure::new(Class::Unreachable, words)
}

/// Whether INFO tells of a primary that was one since it was started, and that this is longer ago than
/// any word is held for true. Who is promoted keeps the name of the history before.
fn was_never_promoted(info: &str) -> bool {
    let line = |name: &str| info.lines().find_map(|line| line.strip_prefix(name));
    let up = line("uptime_in_seconds:").and_then(|seconds| seconds.trim().parse().ok());
    let before = line("master_replid2:").unwrap_or_default().trim();
    line("role:").is_some_and(|role| role.trim() == "master")
        && up.is_some_and(|up: u64| up > 2 * LEASE.as_secs())
        && !before.is_empty()
        && before.bytes().all(|digit| digit == b'0')
}

//! Visitors who sign in, write, read each other's sessions and sign out while servers fail, and write
//! down what they were told (`history.rs`). Each client is a store of its own, as each machine has one.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cloakroom_core::id::SlotTag;
use cloakroom_core::record::{Rotation, Subject};
use cloakroom_core::store::{Applied, Lookup, Rotated};
use cloakroom_core::{Error, OsEntropy, SessionId, Store, StoredKey};
use cloakroom_redis::RedisStore;
use tokio::task::JoinHandle;

use crate::history::{History, How, Report};
use crate::kit::{self, Ids};

/// Visitors of one client at the same time.
const VISITORS: usize = 3;
/// Between two visits of one visitor, so that tests leave each other some of the machine.
const PAUSE: Duration = Duration::from_millis(3);

/// Who only looks, at each client, at what was ended after a while; and the pause between two looks.
const ONLOOKERS: usize = 4;
const LOOKS: Duration = Duration::from_millis(20);

/// How often somebody comes, at each client, with an id of those that the fault is about: whoever was there before
/// may still be waiting.
const KNOCKS: Duration = Duration::from_millis(20);

/// How long the sessions of a visitor last who leaves later, and by how much longer those of the next one:
/// some are begun before a fault, and left as soon as somebody else is primary or a little later.
const LATER: Duration = Duration::from_millis(1_500);
/// How many of these a visitor has at most.
const MANY: usize = 60;

/// Visitors at all clients, until told to stop.
pub(crate) struct Load {
    history: Arc<History>,
    stores: Vec<Arc<RedisStore>>,
    stop: Arc<AtomicBool>,
    visitors: Vec<JoinHandle<()>>,
}

impl Load {
    /// Must be called on a runtime.
    pub(crate) fn start(history: &Arc<History>, stores: &[Arc<RedisStore>]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut visitors = Vec::new();
        for (client, store) in stores.iter().enumerate() {
            let visitor = |number: usize| Visitor {
                client,
                store: Arc::clone(store),
                history: Arc::clone(history),
                ids: Ids::new(),
                name: format!("{client}-{number}"),
                later: LATER * (number as u32 + 1) / 2,
            };
            for number in 0..VISITORS {
                visitors.push(tokio::spawn(visitor(number).visit(Arc::clone(&stop))));
            }
            visitors.push(tokio::spawn(visitor(0).knock(Arc::clone(&stop))));
            for number in 0..ONLOOKERS {
                let onlooker = visitor(VISITORS + number);
                visitors.push(tokio::spawn(onlooker.look_on(Arc::clone(&stop))));
            }
        }
        let goes_on = |stop: &Arc<AtomicBool>| {
            let stop = Arc::clone(stop);
            move || !stop.load(Ordering::SeqCst)
        };
        let (watching, until) = (Arc::clone(history), goes_on(&stop));
        std::thread::spawn(move || watching.thread.watch_thread(until));
        let (watching, until) = (Arc::clone(history), goes_on(&stop));
        tokio::spawn(async move { watching.timer.watch_timer(until).await });
        Self {
            history: Arc::clone(history),
            stores: stores.to_vec(),
            stop,
            visitors,
        }
    }

    /// Ends all sessions by a client of its own, in the middle of the rest. It has a last look with
    /// the others.
    pub(crate) async fn revoke_all(&mut self, operator: RedisStore) {
        self.history.ending_all();
        operator.revoke_all().await.expect("nothing is wrong yet");
        self.history.ended_all();
        self.stores.push(Arc::new(operator));
    }

    /// Stops the visitors, lets every client look at a part of the sessions, and judges.
    pub(crate) async fn finish(self) -> Report {
        self.stop.store(true, Ordering::SeqCst);
        for visitor in self.visitors {
            visitor.await.expect("no visitor panics");
        }
        let keys = self.history.keys();
        let parts = keys.chunks(keys.len() / 16 + 1).enumerate();
        let looks: Vec<_> = parts
            .map(|(number, keys)| {
                let store = Arc::clone(&self.stores[number % self.stores.len()]);
                let (keys, history) = (keys.to_vec(), Arc::clone(&self.history));
                tokio::spawn(async move {
                    let mut found = Vec::new();
                    for key in keys {
                        let began = Instant::now();
                        let number = patiently(&store, &key).await;
                        history.read(key, began, number);
                        found.push((key, number));
                    }
                    found
                })
            })
            .collect();
        let mut found = HashMap::new();
        for look in looks {
            found.extend(look.await.expect("the last look is not in vain"));
        }
        self.history.judge(&found)
    }
}

/// What is under a key, once the store answers.
async fn patiently(store: &RedisStore, key: &StoredKey) -> Option<u64> {
    let mut last = None;
    for _ in 0..400 {
        match store.load(key).await {
            Ok(lookup) => return number(lookup),
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the store does not answer after all is over: {last:?}");
}

/// How many writes a session has seen.
fn number(lookup: Lookup) -> Option<u64> {
    let Lookup::Found(loaded) = lookup else {
        return None;
    };
    let value = loaded.record.fields.get("n");
    let text = value.and_then(|value| str::from_utf8(value.bytes).ok());
    Some(text.and_then(|text| text.parse().ok()).unwrap_or_default())
}

struct Visitor {
    client: usize,
    store: Arc<RedisStore>,
    history: Arc<History>,
    ids: Ids,
    name: String,
    /// How long it has sessions that it leaves later.
    later: Duration,
}

impl Visitor {
    async fn visit(self, stop: Arc<AtomicBool>) {
        let mut later = VecDeque::new();
        for round in 0_usize.. {
            if stop.load(Ordering::SeqCst) {
                return;
            }
            let way = match round % 6 {
                0 | 1 => self.stay().await,
                2 => self.leave(round, &mut later).await,
                3 => self.sign_in(round).await,
                4 => self.change_id().await,
                _ => self.leave_everywhere(round).await,
            };
            let random = round.wrapping_mul(0x9e37_79b9) >> 5;
            for ended in [true, false, true] {
                if let Some(key) = self.history.some(ended, random) {
                    self.look(key).await;
                }
            }
            // Who was refused comes again a little later.
            let pause = if way.is_some() { PAUSE } else { 3 * PAUSE };
            tokio::time::sleep(pause).await;
        }
    }

    async fn knock(self, stop: Arc<AtomicBool>) {
        let visitor = Arc::new(self);
        for round in 0_usize.. {
            if stop.load(Ordering::SeqCst) {
                return;
            }
            let visitor = Arc::clone(&visitor);
            tokio::spawn(async move {
                let tag = visitor.history.concerned_tag(round.wrapping_mul(7919));
                let id = SessionId::generate(tag, &OsEntropy).expect("there is entropy");
                let key = id.key();
                visitor.call(&[tag], visitor.store.load(&key)).await
            });
            tokio::time::sleep(KNOCKS).await;
        }
    }

    async fn look_on(self, stop: Arc<AtomicBool>) {
        for round in self.client.. {
            if stop.load(Ordering::SeqCst) {
                return;
            }
            let random = round.wrapping_mul(0x9e37_79b9) >> 5;
            if let Some(key) = self.history.some_old(random) {
                let began = Instant::now();
                if let Ok(lookup) = self.store.load(&key).await {
                    self.history.read(key, began, number(lookup));
                }
            }
            tokio::time::sleep(LOOKS).await;
        }
    }

    /// `tags`: of what it is about.
    async fn call<T>(
        &self,
        tags: &[SlotTag],
        call: impl Future<Output = Result<T, Error>>,
    ) -> Option<T> {
        let began = Instant::now();
        let result = call.await;
        self.history
            .called(self.client, tags, began, result.is_ok());
        result.ok()
    }

    async fn create(&self, subject: Option<&Subject>) -> Option<StoredKey> {
        let (key, new) = (self.ids.key(subject), self.ids.new_session(subject));
        let began = Instant::now();
        self.call(&[key.tag()], self.store.create(&key, &new))
            .await?;
        self.history.creates(self.client, key.tag(), began);
        self.history.created(key);
        Some(key)
    }

    async fn write(&self, key: StoredKey, times: u64) -> Option<()> {
        for number in 1..=times {
            let changes = kit::sets("n", &number.to_string());
            let condition = Default::default();
            let applied = self.store.apply(&key, &changes, &condition);
            if let Applied::Done { .. } = self.call(&[key.tag()], applied).await? {
                self.history.wrote(key, number);
            }
        }
        Some(())
    }

    async fn look(&self, key: StoredKey) -> Option<()> {
        let began = Instant::now();
        let lookup = self.call(&[key.tag()], self.store.load(&key)).await?;
        self.history.read(key, began, number(lookup));
        Some(())
    }

    async fn stay(&self) -> Option<()> {
        let key = self.create(None).await?;
        self.write(key, 2).await
    }

    async fn leave(&self, round: usize, later: &mut VecDeque<(Instant, StoredKey)>) -> Option<()> {
        later.push_back((Instant::now(), self.create(None).await?));
        let is_over = |began: &Instant| began.elapsed() > self.later || later.len() > MANY;
        let (_, key) = match later.front() {
            Some((began, _)) if is_over(began) => later.pop_front()?,
            _ if round.is_multiple_of(4) => later.pop_back()?,
            _ => return Some(()),
        };
        self.history.ending(key);
        // `false` comes where a failover lost the session: nobody was told that it ended.
        if self.call(&[key.tag()], self.store.destroy(&key)).await? {
            self.history.ended(key, How::Revoked);
        }
        self.look(key).await
    }

    async fn sign_in(&self, round: usize) -> Option<()> {
        let user = kit::subject(&format!("{}-{round}", self.name));
        let old = self.create(None).await?;
        let new = self.ids.key(Some(&user));
        self.rotate(old, new, kit::login(&user, None)).await?;
        self.write(new, 1).await
    }

    async fn change_id(&self) -> Option<()> {
        let old = self.create(None).await?;
        let new = self.ids.key(None);
        self.rotate(old, new, kit::rotation(Duration::ZERO)).await
    }

    async fn rotate(&self, old: StoredKey, new: StoredKey, rotation: Rotation) -> Option<()> {
        self.history.ending(old);
        let rotated = self.store.rotate(&old, &new, &rotation);
        let rotated = self.call(&[old.tag(), new.tag()], rotated).await?;
        if let Rotated::Done(_) = rotated {
            self.history.created(new);
            self.history.ended(old, How::Superseded);
        }
        self.look(old).await
    }

    async fn leave_everywhere(&self, round: usize) -> Option<()> {
        let user = kit::subject(&format!("{}-{round}", self.name));
        let mut keys = Vec::new();
        for _ in 0..2 {
            keys.push(self.create(Some(&user)).await?);
        }
        for key in &keys {
            self.history.ending(*key);
        }
        let tag = SlotTag::of_subject(&user);
        self.call(&[tag], self.store.revoke_subject(&user, None))
            .await?;
        for key in &keys {
            self.history.ended(*key, How::Revoked);
        }
        self.look(keys[round % 2]).await
    }
}

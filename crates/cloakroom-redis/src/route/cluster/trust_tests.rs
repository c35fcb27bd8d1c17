//! Words and what they come to: majorities, leases, who is excused. Three owners, `0`, `1` and `2`; a fourth
//! node is promoted in place of the first.

use super::super::trial::{Trial, ago, keys};
use super::super::view::Slots;
use super::*;

#[test]
fn a_majority_is_needed_and_a_fresh_one() {
    let trial = Trial::new();
    trial.say(0, [0, 1, 2], Instant::now());
    assert_eq!(trial.belief(0), Belief::NotNow, "its own word");
    trial.say(1, [0, 1, 2], ago(LEASE));
    assert_eq!(trial.belief(0), Belief::NotNow, "a word that is over");
    trial.say(1, [0, 1, 2], Instant::now());
    assert_eq!(trial.belief(0), Belief::Yes);
    assert_eq!(trial.belief(3), Belief::Never, "it has nothing");
}

#[test]
fn an_older_word_does_not_replace_a_newer_one() {
    let trial = Trial::new();
    trial.say(0, [0, 1, 2], Instant::now());
    trial.say(1, [0, 1, 2], Instant::now());
    trial.say(1, [3, 1, 2], ago(LEASE / 4));
    assert_eq!(trial.belief(0), Belief::Yes);
}

#[test]
fn nobody_is_believed_when_words_contradict_each_other() {
    let trial = Trial::new();
    for node in 0..3 {
        trial.say(node, [0, 1, 2], Instant::now());
    }
    trial.say(1, [3, 1, 2], Instant::now());
    assert_eq!(trial.belief(0), Belief::Yes, "two are left");
    trial.say(2, [3, 1, 2], Instant::now());
    assert_eq!(trial.belief(0), Belief::NotNow, "two know another");
    assert!(trial.scout.trust.is_contested());
    let last = keys().last().expect("there are tags");
    assert!(
        trial.scout.trust.believes(last, &trial.nodes[2]),
        "not contested"
    );
    trial.adopt([3, 1, 2]);
    assert_eq!(trial.belief(3), Belief::Yes);
    assert_eq!(trial.belief(0), Belief::Never);
    assert_eq!(trial.scout.trust.belief_in(&trial.nodes[0]), Belief::Never);
}

/// A slot moved on from a primary that still is one: what it said before counts.
#[test]
fn who_gave_a_tag_away_is_believed_as_long_as_it_is_a_primary() {
    let trial = Trial::new();
    for node in 0..3 {
        trial.say(node, [0, 1, 2], Instant::now());
    }
    let last = keys().last().expect("there are tags");
    assert_eq!(
        trial.scout.trust.belief(last, &trial.nodes[0], false),
        Belief::Yes
    );
    trial.adopt([3, 1, 2]);
    assert_eq!(
        trial.scout.trust.belief(last, &trial.nodes[0], false),
        Belief::Never
    );
}

/// Where more primaries are known of, a majority is one of those.
#[test]
fn a_majority_is_one_of_all_that_anybody_knows() {
    let trial = Trial::new();
    trial.say(0, [0, 1, 2], Instant::now());
    trial.say(1, [0, 1, 2], Instant::now());
    assert_eq!(trial.belief(0), Belief::Yes);
    let addresses = trial.nodes.iter().map(|node| node.address.clone());
    let many = Slots {
        nodes: addresses.collect(),
        owners: (0..SlotTag::COUNT)
            .map(|tag| Some(tag * 3 / SlotTag::COUNT))
            .collect(),
        ids: (0..4).map(|owner| (owner, owner.to_string())).collect(),
        ..Slots::default()
    };
    let view = View {
        slots: Arc::new(many),
        replicas: Vec::new(),
        epochs: Vec::new(),
    };
    trial
        .scout
        .trust
        .hear(&trial.nodes[1].address, Instant::now(), view);
    assert_eq!(trial.belief(0), Belief::NotNow, "two of four");
}

/// Others may have been told of the old owner up to the moment in which enough knew the new one, and
/// believe it for a lease. The new owner's own word does not count: it knows first.
#[tokio::test]
async fn an_end_waits_for_who_believes_an_older_owner() {
    let trial = Trial::new();
    trial.adopt([3, 1, 2]);
    trial.say(3, [3, 1, 2], Instant::now());
    trial.say(1, [3, 1, 2], Instant::now());
    assert_eq!(trial.belief(3), Belief::Yes);
    let standing = |node: usize| trial.scout.trust.verdict.read().nodes[&trial.nodes[node].address];
    assert_eq!(standing(3).settled, None, "one of the others knows");
    trial.say(2, [3, 1, 2], Instant::now());
    let settled = standing(3).settled.expect("both know");
    assert!(settled > Instant::now() + LEASE / 2, "a lease from now");
    assert!(!trial.is_settled(3));
    trial
        .scout
        .trust
        .are_first(vec![trial.nodes[3].address.clone()]);
    assert!(trial.is_settled(3), "there was none before it");
    trial.adopt([0, 1, 2]);
    trial.adopt([3, 1, 2]);
    assert!(!trial.is_settled(3), "there was one meanwhile");
    assert!(!trial.is_settled(0), "nor of who has nothing");
}

#[test]
fn a_replica_is_excused_by_a_majority() {
    let trial = Trial::new();
    let wanted = || trial.nodes[0].wire.replicas();
    trial.say(0, [0, 1, 2], Instant::now());
    assert_eq!(wanted(), 1);
    trial.say_with(0, [0, 1, 2], Instant::now(), false);
    assert_eq!(wanted(), 1, "who was not heard may find it able");
    trial.say_with(1, [0, 1, 2], Instant::now(), false);
    assert_eq!(wanted(), 0);
    trial.say(1, [0, 1, 2], Instant::now());
    assert_eq!(wanted(), 1);
}

#[test]
fn who_names_another_owner_objects() {
    let trial = Trial::new();
    let now = Instant::now();
    for node in 0..3 {
        trial.say(node, [0, 1, 2], now);
    }
    assert_eq!(
        trial.scout.trust.objections(),
        0,
        "all say what the map says"
    );
    trial.say(1, [3, 1, 2], now);
    let one = trial.scout.trust.objections();
    assert_ne!(one, 0, "one says otherwise");
    trial.say(2, [3, 1, 2], now);
    assert_eq!(trial.scout.trust.objections(), 2 * one, "so do two");
    trial.adopt([3, 1, 2]);
    assert_eq!(trial.scout.trust.objections(), 0, "they were right");
}

//! What holds over all processes: counters, presence, and the end of a session.

use std::collections::BTreeSet;

use crate::player::{Player, Socket};
use crate::process::Redis;

const SESSION_ENDED: Option<u16> = Some(4401);
const GOING_AWAY: Option<u16> = Some(1001);

#[tokio::test(flavor = "multi_thread")]
async fn what_two_processes_count_adds_up() {
    const CLICKS: i64 = 150;
    let redis = Redis::start();
    let (one, two) = redis.two_games().await;
    let ada = Player::join(&one, "ada").await;
    let (first, second) = (ada.play(&one).await, ada.play(&two).await);
    let click = |mut socket: Socket| async move {
        let (mut tries, mut coins) = (Vec::new(), Vec::new());
        for _ in 0..CLICKS {
            let before = socket.coins();
            socket.click().await;
            tries.push(socket.you["tries"].as_i64().unwrap());
            if socket.coins() != before {
                coins.push(socket.coins());
            }
        }
        (tries, coins, socket)
    };
    let (first, second) = tokio::join!(tokio::spawn(click(first)), tokio::spawn(click(second)));
    let ((tries, coins, mut first), (more_tries, more_coins, _second)) =
        (first.unwrap(), second.unwrap());

    // Each increment answers with its own sum: none twice, none missing.
    let all: BTreeSet<_> = tries.iter().chain(&more_tries).copied().collect();
    assert_eq!(all, (1..=2 * CLICKS).collect());
    assert!(
        !coins.is_empty() && !more_coins.is_empty(),
        "both took coins"
    );
    let won = i64::try_from(coins.len() + more_coins.len()).unwrap();
    let all: BTreeSet<_> = coins.into_iter().chain(more_coins).collect();
    assert_eq!(all, (1..=won).collect());
    first.until_players_are(&[("ada", won)]).await;
    let again = ada.play(&two).await;
    assert_eq!(
        (again.coins(), &again.you["tries"]),
        (won, &(2 * CLICKS).into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cell_without_a_coin_gives_none() {
    const CLICKS: i64 = 60;
    let redis = Redis::start();
    let (one, two) = redis.two_games().await;
    let ada = Player::join(&one, "ada").await;
    let bob = Player::join(&two, "bob").await;
    let (mut first, mut second) = (ada.play(&one).await, bob.play(&two).await);
    for _ in 0..CLICKS {
        tokio::join!(first.click_at(7), second.click_at(7));
    }
    // Now and then one falls where they click; never as often as they do.
    assert!(first.coins() + second.coins() < CLICKS);
    assert_eq!(
        (&first.you["tries"], &second.you["tries"]),
        (&CLICKS.into(), &CLICKS.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn players_are_online_wherever_they_play_and_vanish_with_a_killed_process() {
    let redis = Redis::start();
    let (one, mut two) = redis.two_games().await;
    let (ada, bob) = (
        Player::join(&one, "ada").await,
        Player::join(&two, "bob").await,
    );
    let (mut ada_plays, mut bob_plays) = (ada.play(&one).await, bob.play(&two).await);
    bob_plays.win().await;
    for socket in [&mut ada_plays, &mut bob_plays] {
        socket.until_players_are(&[("ada", 0), ("bob", 1)]).await;
    }

    two.kill().await;
    assert_eq!(bob_plays.end().await, None, "no goodbye");
    ada_plays.until_players_are(&[("ada", 0)]).await;
    let mut bob_plays = bob.play(&one).await;
    assert_eq!(bob_plays.coins(), 1, "the session is not the process'");
    ada_plays.until_players_are(&[("ada", 0), ("bob", 1)]).await;

    let second_tab = bob.play(&one).await;
    drop(second_tab);
    bob_plays.win().await;
    ada_plays.until_players_are(&[("ada", 0), ("bob", 2)]).await;
    drop(bob_plays);
    ada_plays.until_players_are(&[("ada", 0)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_closes_its_sockets_on_all_processes() {
    let redis = Redis::start();
    let (one, two) = redis.two_games().await;
    let bob = Player::join(&two, "bob").await;
    let mut bob_plays = bob.play(&two).await;
    for end in ["logout", "everywhere", "by support", "signed in anew"] {
        let (desk, phone) = (
            Player::join(&one, "ada").await,
            Player::join(&two, "ada").await,
        );
        let mut sockets = [desk.play(&one).await, desk.play(&two).await];
        let mut elsewhere = phone.play(&two).await;
        match end {
            "logout" => desk.post(&two, "/leave").await,
            "everywhere" => phone.post(&one, "/leave-everywhere").await,
            "by support" => assert_eq!(redis.revoke("ada").await, 2),
            _ => drop(desk.join_again(&one, "eve").await),
        }
        for socket in &mut sockets {
            assert_eq!(socket.end().await, SESSION_ENDED, "{end}");
        }
        let refused = desk.open(&two, Some(&two.url(""))).await;
        assert_eq!(refused.err(), Some(401), "{end}: and no way back");
        if matches!(end, "logout" | "signed in anew") {
            elsewhere.click().await;
        } else {
            assert_eq!(elsewhere.end().await, SESSION_ENDED, "{end}");
        }
        bob_plays.click().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_nothing_is_sent_away_whatever_their_browser_answers() {
    let redis = Redis::start();
    let game = redis.game(&["--idle", "2"]).await;
    let ada = Player::join(&game, "ada").await;
    let mut socket = ada.play(&game).await;
    socket.click().await;
    assert_eq!(socket.ping_until_the_end().await, SESSION_ENDED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_told_to_end_sends_its_players_to_the_others() {
    let redis = Redis::start();
    let (one, mut two) = redis.two_games().await;
    let (ada, bob) = (
        Player::join(&one, "ada").await,
        Player::join(&two, "bob").await,
    );
    let (mut ada_plays, mut bob_plays) = (ada.play(&one).await, bob.play(&two).await);
    ada_plays.until_players_are(&[("ada", 0), ("bob", 0)]).await;
    let (ended_well, code) = tokio::join!(two.terminate(), bob_plays.end());
    assert_eq!((ended_well, code), (true, GOING_AWAY));
    ada_plays.until_players_are(&[("ada", 0)]).await;
    let bob_plays = bob.play(&one).await;
    assert_eq!(bob_plays.you["name"], "bob");
}

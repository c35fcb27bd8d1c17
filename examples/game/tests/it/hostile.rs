//! Who is not let in, and what is not listened to.

use reqwest::header::ORIGIN;
use tokio_tungstenite::tungstenite::protocol::Message;

use crate::player::{Player, client, upgrade};
use crate::process::Redis;

#[tokio::test(flavor = "multi_thread")]
async fn other_pages_open_no_socket_and_send_no_form() {
    let redis = Redis::start();
    let (one, two) = redis.two_games().await;
    let ada = Player::join(&one, "ada").await;
    let (evil, other_port) = ("http://evil.example", two.url(""));
    for origin in [None, Some(evil), Some("null"), Some(other_port.as_str())] {
        let refused = ada.open(&one, origin).await;
        assert_eq!(refused.err(), Some(403), "{origin:?}, with the cookie");
        let mut form = client().post(one.url("/join")).form(&[("name", "eve")]);
        if let Some(origin) = origin {
            form = form.header(ORIGIN, origin);
        }
        assert_eq!(form.send().await.unwrap().status(), 403, "{origin:?}");
    }
    let own = one.url("");
    let refused = upgrade(&one, Some(&own), None).await;
    assert_eq!(refused.err(), Some(401), "the own page, without a session");
    let forged = format!("dev-id={}", "A".repeat(45));
    let refused = upgrade(&one, Some(&own), Some(&forged)).await;
    assert_eq!(refused.err(), Some(401));
    ada.play(&one).await.click().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_move_ends_its_socket_and_no_other() {
    let redis = Redis::start();
    let game = redis.game(&[]).await;
    let ada = Player::join(&game, "ada").await;
    let mut other_tab = ada.play(&game).await;
    let no_moves = [
        (Message::text("96"), Some(1008)),
        (Message::text("-1"), Some(1008)),
        (Message::text("{\"cell\":1}"), Some(1008)),
        (Message::text(""), Some(1008)),
        (Message::binary(vec![1]), Some(1008)),
        // Not read at all, so there is nothing to answer.
        (Message::text("1".repeat(17)), None),
        (Message::binary(vec![0; 1 << 20]), None),
    ];
    for (message, code) in no_moves {
        let mut socket = ada.play(&game).await;
        let sent = socket.push(message.clone()).await;
        assert!(sent.is_ok() || code.is_none(), "{sent:?}");
        let ended_with = socket.end().await;
        assert_eq!(ended_with, code, "{} bytes", message.len());
    }
    other_tab.click().await;
    assert_eq!(other_tab.you["tries"], 1, "none of them counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_short_and_plain() {
    let redis = Redis::start();
    let game = redis.game(&[]).await;
    for name in [
        "",
        "a name",
        "<b>",
        "seventeen-letters",
        "12345678901234567",
    ] {
        let form = client().post(game.url("/join")).form(&[("name", name)]);
        let answer = form.header(ORIGIN, game.url("")).send().await.unwrap();
        assert_eq!(answer.status(), 422, "{name:?}");
    }
}

//! The game in a real browser, with company from another process.

use fantoccini::Locator;

use crate::browser::Driver;
use crate::player::Player;
use crate::process::Redis;

#[tokio::test(flavor = "multi_thread")]
async fn a_player_signs_in_takes_coins_and_is_sent_away_with_the_session() {
    let (redis, driver) = (Redis::start(), Driver::start().await);
    let (one, two) = redis.two_games().await;
    let browser = driver.browser().await;
    browser.open(&one.url("/")).await;
    browser.type_into("input[name=name]", "ada").await;
    browser.click("#join").await;
    browser.until("#state", "playing").await;
    browser.until("#name", "ada").await;

    let mut company = Vec::new();
    for (name, coins) in [("grace", 5), ("linus", 2)] {
        let mut socket = Player::join(&two, name).await.play(&two).await;
        for _ in 0..coins {
            socket.win().await;
        }
        company.push(socket);
    }
    browser.until("#online", "3").await;
    // What the page shows may be a moment old: somebody else may have been faster.
    let mut tries = 0;
    while browser.text("#coins").await != "3" {
        browser.click(".cell.coin").await;
        tries += 1;
        browser.until("#tries", &tries.to_string()).await;
    }
    company[0]
        .until_players_are(&[("ada", 3), ("grace", 5), ("linus", 2)])
        .await;
    browser.until("#players .me b", "3").await;
    assert_eq!(
        browser
            .0
            .execute("return document.cookie;", Vec::new())
            .await
            .unwrap(),
        ""
    );
    browser.keep_picture("game.png").await;

    assert_eq!(redis.revoke("ada").await, 1);
    let door = browser.0.wait().at_most(crate::process::PATIENCE);
    door.for_element(Locator::Css("#join")).await.unwrap();
    company[0]
        .until_players_are(&[("grace", 5), ("linus", 2)])
        .await;
}

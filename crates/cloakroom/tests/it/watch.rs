//! Sessions on connections that outlive their request: they end when their session does, whoever
//! ended it, and nobody's looking keeps one alive. Time is virtual: the store's clock is moved by
//! hand, tokio's moves when everybody waits.

use std::convert::Infallible;
use std::time::Duration;

use cloakroom::core::observe::Operation;
use cloakroom::core::record::Subject;
use cloakroom::core::testkit::block_on as now;
use cloakroom::{
    End, ErrorKind, Event, Session, SessionConfig, SessionLayer, Store as _, WatchedSession, limits,
};
use http::{Request, Response};
use parking_lot::Mutex;
use tokio::time::Instant;
use tower::{Layer as _, ServiceExt as _};

use crate::world::World;

const IDLE: Duration = Duration::from_secs(30 * 60);

/// How a session ends.
type Ending = (&'static str, fn(&World, &str));

const ENDINGS: [Ending; 8] = [
    ("logout", |world, id| {
        now(world.other_request(id).logout()).unwrap();
    }),
    ("logout everywhere", |world, id| {
        now(world.other_request(id).logout_everywhere()).unwrap();
    }),
    ("revoked by its subject", |world, _| {
        now(world.probe.revoke_subject(&ada(), None)).unwrap();
    }),
    ("revoked by its name", |world, id| {
        let handle = now(world.other_request(id).handle()).unwrap().unwrap();
        assert!(now(world.probe.revoke(&ada(), &handle)).unwrap());
    }),
    ("all revoked", |world, _| {
        now(world.probe.revoke_all()).unwrap();
    }),
    ("signed in anew", |world, id| {
        now(world.other_request(id).login("ada")).unwrap();
    }),
    ("idle limit", |world, _| world.clock.advance(IDLE)),
    ("absolute limit", |world, id| {
        for _ in 0..32 {
            // Active to the end, and then refused.
            let _: Result<i64, _> = now(world.other_request(id).increment("steps", 1));
            world.clock.advance(IDLE / 2);
        }
    }),
];

#[tokio::test(start_paused = true)]
async fn a_connection_ends_with_its_session_within_an_interval() {
    for (name, end) in ENDINGS {
        let world = World::new();
        let (id, watched) = signed_in(&world.config()).await;
        let (first, second) = (watched.clone(), watched);
        nothing_happens_for(limits::WATCH_INTERVAL * 3, &first).await;
        end(&world, &id);
        let began = Instant::now();
        assert_eq!(end_of(&first).await, End::Gone, "{name}");
        assert!(began.elapsed() <= limits::WATCH_INTERVAL, "{name}");
        assert_eq!(end_of(&second).await, End::Gone, "{name}: all connections");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rotation_is_followed_as_long_as_the_old_id_leads_to_the_new_one() {
    let world = World::new();
    let grace = Duration::from_secs(20);
    let (id, watched) = signed_in(&world.config().rotation_grace(grace)).await;
    let elsewhere = world.other_request(&id);
    elsewhere.rotate().unwrap();
    elsewhere.save().await.unwrap();
    nothing_happens_for(limits::WATCH_INTERVAL * 3, &watched).await;
    assert_eq!(watched.increment("coins", 1).await.unwrap(), 1);
    world.clock.advance(limits::ROTATION_GRACE);
    assert_eq!(
        end_of(&watched).await,
        End::Gone,
        "the browser has a newer id"
    );
}

#[tokio::test(start_paused = true)]
async fn a_round_asks_once_for_each_session_and_for_none_that_nobody_holds() {
    let world = World::new();
    let config = world.config();
    let (id, ada) = signed_in(&config).await;
    let (_, again) = request(&config, Some(&id), async |session| session.watch().await).await;
    let (_, other) = signed_in(&config).await;
    world.probe.take_calls();
    nothing_happens_for(limits::WATCH_INTERVAL * 3 / 2, &ada).await;
    assert_eq!(
        world.probe.take_calls(),
        "load 2",
        "three connections, two sessions"
    );
    drop(ada);
    nothing_happens_for(limits::WATCH_INTERVAL, &other).await;
    assert_eq!(
        world.probe.take_calls(),
        "load 2",
        "one of them is still held"
    );
    drop((again, other));
    tokio::time::sleep(limits::WATCH_INTERVAL * 3).await;
    assert_eq!(world.probe.take_calls(), "", "and the task is over");

    let (_, later) = signed_in(&config).await;
    world.probe.take_calls();
    nothing_happens_for(limits::WATCH_INTERVAL * 3 / 2, &later).await;
    assert_eq!(world.probe.take_calls(), "load 1", "another task began");
}

#[tokio::test(start_paused = true)]
async fn the_interval_is_a_setting() {
    let world = World::new();
    let interval = Duration::from_millis(200);
    let (_, watched) = signed_in(&world.config().watch_interval(interval)).await;
    world.probe.take_calls();
    nothing_happens_for(Duration::from_millis(900), &watched).await;
    assert_eq!(world.probe.take_calls(), "load 4");
    drop(watched);

    let (_, watched) = signed_in(&world.config().watch_interval(Duration::ZERO)).await;
    world.probe.take_calls();
    nothing_happens_for(limits::WATCH_INTERVAL_MIN * 5 / 2, &watched).await;
    let calls = world.probe.take_calls();
    assert_eq!(calls, "load 2", "never without a pause");
}

#[tokio::test(start_paused = true)]
async fn only_what_a_visitor_does_is_activity() {
    let world = World::new();
    let config = world.config();
    let (_, watched) = signed_in(&config).await;
    for _ in 0..5 {
        world.clock.advance(IDLE * 2 / 3);
        nothing_happens_for(limits::WATCH_INTERVAL * 2, &watched).await;
        world.probe.take_calls();
        watched.touch();
        watched.touch();
        config.flush().await;
        assert_eq!(world.probe.take_calls(), "touch 1");
    }
    watched.touch();
    config.flush().await;
    assert_eq!(world.probe.take_calls(), "", "not due");
    nothing_happens_for(limits::WATCH_INTERVAL * 100, &watched).await;
    world.clock.advance(IDLE);
    assert_eq!(
        end_of(&watched).await,
        End::Gone,
        "looking kept nothing alive"
    );
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_borne_for_a_while() {
    let world = World::new();
    let config = world.config();
    let (id, first) = signed_in(&config).await;
    let (_, second) = signed_in(&config).await;
    world
        .probe
        .break_down(Operation::Load, ErrorKind::StoreUnavailable);
    nothing_happens_for(limits::WATCH_BLIND - limits::WATCH_INTERVAL, &first).await;
    world.events.take();
    world.probe.take_calls();
    assert_eq!(end_of(&first).await, End::Unknown);
    assert_eq!(end_of(&second).await, End::Unknown, "asked for or not");
    let failed = Event::StoreFailed(Operation::Load, ErrorKind::StoreUnavailable);
    let events = world.events.take();
    assert!(events.iter().all(|event| *event == failed));
    let calls = format!("load {}", events.len());
    assert_eq!(
        world.probe.take_calls(),
        calls,
        "a round asks a dead store once"
    );

    world.probe.mend();
    let (_, again) = request(&config, Some(&id), async |session| session.watch().await).await;
    nothing_happens_for(limits::WATCH_BLIND * 2, &again.unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn operations_act_on_what_the_store_has_and_begin_nothing() {
    let world = World::new();
    let (id, watched) = signed_in(&world.config()).await;
    assert_eq!(watched.subject(), Some(&ada()));
    let elsewhere = world.other_request(&id);
    elsewhere.set("level", &7).unwrap();
    elsewhere.save().await.unwrap();
    assert_eq!(watched.get::<i64>("level").await.unwrap(), Some(7));
    watched.set("level", &8).await.unwrap();
    let level = watched.update("level", |level: Option<i64>| level.unwrap_or(0) * 2);
    assert_eq!(level.await.unwrap(), 16);
    let (one, two) = (watched.clone(), watched.clone());
    let both = tokio::join!(one.increment("level", 1), two.increment("level", 1));
    assert_eq!(
        (both.0.unwrap() - 17).abs() + (both.1.unwrap() - 17).abs(),
        1
    );

    world.other_request(&id).logout().await.unwrap();
    for result in [
        watched.increment("level", 1).await.map(drop),
        watched.set("level", &1).await,
        watched.get::<i64>("level").await.map(drop),
        watched
            .update("level", |_: Option<i64>| 1_i64)
            .await
            .map(drop),
    ] {
        assert_eq!(*result.unwrap_err().kind(), ErrorKind::SessionEnded);
    }
    assert_eq!(world.probe.stats().await.unwrap().sessions, 0);
    let began = Instant::now();
    assert_eq!(end_of(&watched).await, End::Gone);
    assert_eq!(began.elapsed(), Duration::ZERO, "told by what found out");
}

#[tokio::test(start_paused = true)]
async fn a_connection_can_log_out() {
    let world = World::new();
    let (_, watched) = signed_in(&world.config()).await;
    let other_tab = watched.clone();
    watched.logout().await.unwrap();
    assert_eq!(end_of(&other_tab).await, End::Gone);
    assert_eq!(world.probe.stats().await.unwrap().sessions, 0);
    world.probe.take_calls();
    tokio::time::sleep(limits::WATCH_INTERVAL * 3).await;
    assert_eq!(
        world.probe.take_calls(),
        "",
        "what has ended is not asked about"
    );
}

#[tokio::test(start_paused = true)]
async fn who_has_no_session_has_nothing_to_watch() {
    let world = World::new();
    let (_, refused) = request(&world.config(), None, async |session| session.watch().await).await;
    let refused = refused.unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::SessionEnded);
    assert_eq!(refused.status(), 401, "before anything is upgraded");

    let (id, watched) = request(&world.config(), None, async |session: Session| {
        session.set("colour", "green").unwrap();
        session.watch().await
    })
    .await;
    let watched = watched.unwrap();
    let colour: Option<String> = watched.get("colour").await.unwrap();
    assert_eq!(
        colour.as_deref(),
        Some("green"),
        "what was set is saved first"
    );
    assert!(id.is_some(), "and the response brings the cookie");
}

#[test]
fn a_runtime_that_ends_leaves_nobody_unwatched() {
    let world = World::new();
    let config = world.config();
    let runtime = || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().unwrap()
    };
    let first = runtime();
    let (id, watched) = first.block_on(signed_in(&config));
    drop(first);
    runtime().block_on(async {
        assert_eq!(end_of(&watched).await, End::Unknown);
        let (_, anew) = request(&config, Some(&id), async |session| session.watch().await).await;
        let anew = anew.unwrap();
        nothing_happens_for(limits::WATCH_INTERVAL * 2, &anew).await;
        world.other_request(&id).logout().await.unwrap();
        assert_eq!(end_of(&anew).await, End::Gone);
    });
}

/// A visitor who signs in, and their watched session; the cookie's value too.
async fn signed_in(config: &SessionConfig) -> (String, WatchedSession) {
    let (id, watched) = request(config, None, async |session: Session| {
        session.login("ada").await?;
        session.watch().await
    })
    .await;
    (id.unwrap(), watched.unwrap())
}

/// A request with this cookie: what `act` makes of its session, and the cookie's value after it.
async fn request<T>(
    config: &SessionConfig,
    id: Option<&str>,
    act: impl AsyncFnOnce(Session) -> T,
) -> (Option<String>, T) {
    let (mut act, told) = (Some(act), Mutex::new(None));
    let handler = tower::service_fn(|request: Request<()>| {
        let (act, told) = (act.take().expect("one request"), &told);
        async move {
            let answer = act(Session::of(request.extensions()).unwrap()).await;
            *told.lock() = Some(answer);
            Ok::<_, Infallible>(Response::new(""))
        }
    });
    let mut request = Request::get("/");
    if let Some(id) = id {
        request = request.header("cookie", format!("{COOKIE}{id}"));
    }
    let service = SessionLayer::from(config.clone()).layer(handler);
    let response = service.oneshot(request.body(()).unwrap()).await.unwrap();
    let cookie = response.headers().get("set-cookie").map(|cookie| {
        let cookie = cookie.to_str().unwrap().strip_prefix(COOKIE).unwrap();
        cookie.split(';').next().unwrap().to_owned()
    });
    (cookie, told.into_inner().unwrap())
}

const COOKIE: &str = "__Host-id=";

/// How the connection ends; it has a day for it, of tokio's time.
async fn end_of(watched: &WatchedSession) -> End {
    let day = Duration::from_secs(24 * 60 * 60);
    let end = tokio::time::timeout(day, watched.ended()).await;
    end.expect("the connection ends")
}

/// Lets tokio's clock go on so far, and the rounds with it.
async fn nothing_happens_for(time: Duration, watched: &WatchedSession) {
    let end = tokio::time::timeout(time, watched.ended()).await;
    assert!(end.is_err(), "it ended: {end:?}");
}

fn ada() -> Subject {
    Subject::new("ada").unwrap()
}

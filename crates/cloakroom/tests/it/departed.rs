//! Clients that go away, and handles that outlive their response.

use cloakroom::{ErrorKind, Session, SessionLayer};
use http::{Request, Response};
use tower::{Layer as _, Service as _};

use crate::carriers::{Carrier, send};
use crate::script::{Script, Step};
use crate::world::World;

/// A session with `n` = 1: its cookie.
async fn visitor(world: &std::sync::Arc<World>) -> String {
    let script = Script {
        world: world.clone(),
        id: None,
        steps: vec![Step::Set("n", 1)],
    };
    let received = send(Carrier::Tower, &world.config(), "h", &[], script).await;
    received.all("set-cookie")[0]
        .split(';')
        .next()
        .unwrap()
        .to_owned()
}

fn request(cookie: &str) -> Request<()> {
    Request::get("/").header("cookie", cookie).body(()).unwrap()
}

#[tokio::test]
async fn a_save_that_began_is_finished_without_its_client() {
    let world = World::new();
    let cookie = visitor(&world).await;
    let handler = tower::service_fn(|request: Request<()>| async move {
        Session::of(request.extensions())
            .unwrap()
            .set("n", &2)
            .unwrap();
        Ok::<_, std::convert::Infallible>(Response::new("done"))
    });
    let mut service = SessionLayer::from(world.config()).layer(handler);
    let held = world.probe.gate.try_acquire().unwrap();
    let mut response = Box::pin(service.call(request(&cookie)));
    tokio::select! {
        biased;
        _ = &mut response => panic!("the store is held up"),
        () = tokio::task::yield_now() => {}
    }
    drop(response);
    drop(held);
    let id = cookie.split_once('=').unwrap().1;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
        if world.other_request(id).get("n").await.unwrap() == Some(2) {
            return;
        }
    }
    panic!("the save was given up with its client");
}

#[tokio::test]
async fn a_handle_that_outlives_its_response_changes_nothing() {
    let world = World::new();
    let cookie = visitor(&world).await;
    for touched in [false, true] {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
        let handler = tower::service_fn(move |request: Request<()>| {
            let sender = sender.clone();
            async move {
                let session = Session::of(request.extensions()).unwrap();
                if touched {
                    session.set("n", &3).unwrap();
                }
                sender.send(session).await.unwrap();
                Ok::<_, std::convert::Infallible>(Response::new("head"))
            }
        });
        let mut service = SessionLayer::from(world.config()).layer(handler);
        service.call(request(&cookie)).await.unwrap();
        let streaming = receiver.recv().await.unwrap();
        let late = streaming.set("n", &4).unwrap_err();
        assert_eq!(*late.kind(), ErrorKind::Finished);
        let late = streaming.login("ada").await.unwrap_err();
        assert_eq!(*late.kind(), ErrorKind::Finished);
        let n = if touched { 3 } else { 1 };
        assert_eq!(streaming.get::<i64>("n").await.unwrap(), Some(n));
    }
}

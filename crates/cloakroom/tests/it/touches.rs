//! Activity is recorded off the request's path: due ones alone, together, and never without bound.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cloakroom::core::observe::Operation;
use cloakroom::{ErrorKind, Event, SessionConfig, limits};

use crate::carriers::{CARRIERS, Carrier, Received, send};
use crate::script::{Script, Step};
use crate::world::World;

/// Somebody who has a session.
struct Visitor {
    world: Arc<World>,
    config: SessionConfig,
    carrier: Carrier,
    cookies: Vec<String>,
}

impl Visitor {
    async fn new(carrier: Carrier) -> Self {
        let world = World::new();
        let mut visitor = Self {
            config: world.config(),
            world,
            carrier,
            cookies: Vec::new(),
        };
        let received = visitor.does(Step::Set("n", 1)).await;
        let cookie = received.all("set-cookie")[0].split(';').next().unwrap();
        visitor.cookies.push(cookie.to_owned());
        visitor.world.probe.take_calls();
        visitor
    }

    async fn does(&self, step: Step) -> Received {
        let script = Script {
            world: self.world.clone(),
            id: None,
            steps: vec![step],
        };
        send(self.carrier, &self.config, "h", &self.cookies, script).await
    }

    async fn reads(&self) -> Received {
        self.does(Step::Get("n")).await
    }
}

#[test]
fn a_due_read_keeps_the_session_alive_without_a_trip_of_its_own() {
    actix_web::rt::System::new().block_on(async {
        for carrier in CARRIERS {
            let visitor = Visitor::new(carrier).await;
            let Visitor { world, config, .. } = &visitor;
            visitor.reads().await;
            config.flush().await;
            assert_eq!(world.probe.take_calls(), "load 1", "not due yet");

            for round in 1..=5 {
                world.clock.advance(Duration::from_secs(20 * 60));
                for _ in 0..3 {
                    visitor.reads().await;
                }
                assert_eq!(
                    world.probe.take_calls(),
                    "load 3",
                    "the request waits for no touch"
                );
                config.flush().await;
                assert_eq!(world.probe.take_calls(), "touch 1");
                let touched = world.probe.touched.load(Ordering::Relaxed);
                assert_eq!(touched, round, "three reads are one touch");
            }
            assert_eq!(
                visitor.reads().await.body,
                "n=1 ",
                "100 minutes later, with 30 minutes of idle time"
            );
        }
    });
}

#[test]
fn touches_are_sent_without_anybody_flushing() {
    actix_web::rt::System::new().block_on(async {
        let visitor = Visitor::new(CARRIERS[0]).await;
        let world = &visitor.world;
        for _ in 0..2 {
            world.clock.advance(Duration::from_secs(20 * 60));
            visitor.reads().await;
            world.probe.take_calls();
            let mut calls = String::new();
            for _ in 0..300 {
                tokio::time::sleep(limits::TOUCH_DELAY / 10).await;
                calls += &world.probe.take_calls();
                if !calls.is_empty() {
                    break;
                }
            }
            assert_eq!(calls, "touch 1");
        }
    });
}

#[test]
fn touches_that_fail_are_counted() {
    actix_web::rt::System::new().block_on(async {
        let visitor = Visitor::new(CARRIERS[0]).await;
        let Visitor { world, config, .. } = &visitor;
        world.clock.advance(Duration::from_secs(20 * 60));
        visitor.reads().await;
        world.events.take();
        world
            .probe
            .break_down(Operation::Touch, ErrorKind::StoreUnavailable);
        config.flush().await;
        let failed = Event::StoreFailed(Operation::Touch, ErrorKind::StoreUnavailable);
        assert_eq!(world.events.take(), [failed, Event::TouchesDropped(1)]);
    });
}

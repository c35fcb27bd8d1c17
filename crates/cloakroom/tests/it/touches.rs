//! Activity is recorded off the request's path: due ones alone, together, and never without bound.

use std::sync::atomic::Ordering;
use std::time::Duration;

use cloakroom::core::observe::Operation;
use cloakroom::{ErrorKind, Event, limits};

use crate::carriers::{CARRIERS, send};
use crate::script::{Script, Step};
use crate::world::World;

#[test]
fn a_due_read_keeps_the_session_alive_without_a_trip_of_its_own() {
    actix_web::rt::System::new().block_on(async {
        for carrier in CARRIERS {
            let world = World::new();
            let config = world.config();
            let script = |steps| Script {
                world: world.clone(),
                id: None,
                steps,
            };
            let received = send(carrier, &config, "h", &[], script(vec![Step::Set("n", 1)])).await;
            let cookie = received.all("set-cookie")[0]
                .split(';')
                .next()
                .unwrap()
                .to_owned();
            let cookies = [cookie];
            world.probe.take_calls();

            send(
                carrier,
                &config,
                "h",
                &cookies,
                script(vec![Step::Get("n")]),
            )
            .await;
            config.flush().await;
            assert_eq!(world.probe.take_calls(), "load 1", "not due yet");

            for round in 1..=5 {
                world.clock.advance(Duration::from_secs(20 * 60));
                for _ in 0..3 {
                    send(
                        carrier,
                        &config,
                        "h",
                        &cookies,
                        script(vec![Step::Get("n")]),
                    )
                    .await;
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
            let read = send(
                carrier,
                &config,
                "h",
                &cookies,
                script(vec![Step::Get("n")]),
            )
            .await;
            assert_eq!(
                read.body, "n=1 ",
                "100 minutes later, with 30 minutes of idle time"
            );
        }
    });
}

#[test]
fn touches_are_sent_without_anybody_flushing() {
    actix_web::rt::System::new().block_on(async {
        let world = World::new();
        let config = world.config();
        let script = |steps| Script {
            world: world.clone(),
            id: None,
            steps,
        };
        let received = send(
            CARRIERS[0],
            &config,
            "h",
            &[],
            script(vec![Step::Set("n", 1)]),
        )
        .await;
        let cookies = [received.all("set-cookie")[0]
            .split(';')
            .next()
            .unwrap()
            .to_owned()];
        for _ in 0..2 {
            world.clock.advance(Duration::from_secs(20 * 60));
            send(
                CARRIERS[0],
                &config,
                "h",
                &cookies,
                script(vec![Step::Get("n")]),
            )
            .await;
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
        let world = World::new();
        let config = world.config();
        let script = |steps| Script {
            world: world.clone(),
            id: None,
            steps,
        };
        let received = send(
            CARRIERS[0],
            &config,
            "h",
            &[],
            script(vec![Step::Set("n", 1)]),
        )
        .await;
        let cookies = [received.all("set-cookie")[0]
            .split(';')
            .next()
            .unwrap()
            .to_owned()];
        world.clock.advance(Duration::from_secs(20 * 60));
        send(
            CARRIERS[0],
            &config,
            "h",
            &cookies,
            script(vec![Step::Get("n")]),
        )
        .await;
        world.events.take();
        world
            .probe
            .break_down(Operation::Touch, ErrorKind::StoreUnavailable);
        config.flush().await;
        let failed = Event::StoreFailed(Operation::Touch, ErrorKind::StoreUnavailable);
        assert_eq!(world.events.take(), [failed, Event::TouchesDropped(1)]);
    });
}

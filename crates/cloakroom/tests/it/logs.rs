//! What is logged by default: refusals and the life cycle, with public handles, and no id ever.

use std::fmt::Write as _;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use cloakroom::SessionConfig;
use cloakroom::core::testkit::ReferenceStore;

use crate::carriers::{CARRIERS, send};
use crate::script::{Script, Step};
use crate::world::World;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(Level, String)>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("cloakroom")
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().push((*event.metadata().level(), line.0));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

const EXPECTED: [(Level, &str); 7] = [
    (Level::DEBUG, "session_created"),
    (Level::WARN, "session_cookie_rejected"),
    (Level::INFO, "session_login"),
    (Level::DEBUG, "session_renewed"),
    (Level::INFO, "session_logout"),
    (Level::WARN, "session_use_after_end"),
    (Level::WARN, "session_limit_exceeded"),
];

#[test]
fn logs_name_sessions_by_handle_alone() {
    let log = Log::default();
    let _listening = tracing::subscriber::set_default(log.clone());
    let world = World::new();
    let (store, _) = ReferenceStore::manual();
    let config = SessionConfig::shared(store);
    let visit = |steps| Script {
        world: world.clone(),
        id: None,
        steps,
    };
    actix_web::rt::System::new().block_on(async {
        for carrier in CARRIERS {
            let first = send(carrier, &config, "h", &[], visit(vec![Step::Set("n", 1)])).await;
            let cookie = first.all("set-cookie")[0]
                .split(';')
                .next()
                .unwrap()
                .to_owned();
            let secret = cookie.split_once('=').unwrap().1.to_owned();
            let twice = [cookie.clone(), cookie.clone()];
            send(carrier, &config, "h", &twice, visit(vec![Step::Get("n")])).await;
            for steps in [vec![Step::Rotate], vec![Step::Login("ada"), Step::Logout]] {
                let cookie = std::slice::from_ref(&cookie);
                send(carrier, &config, "h", cookie, visit(steps)).await;
            }
            send(
                carrier,
                &config,
                "h",
                &[cookie],
                visit(vec![Step::Get("n")]),
            )
            .await;
            send(
                carrier,
                &config,
                "h",
                &[],
                visit(vec![Step::SetBytes("n", 70_000)]),
            )
            .await;

            let lines = std::mem::take(&mut *log.0.lock());
            let all = format!("{lines:?}");
            for (level, name) in EXPECTED {
                let found = lines
                    .iter()
                    .any(|(at, line)| *at == level && line.contains(name));
                assert!(found, "no {level} {name} in {all}");
            }
            assert!(
                !all.contains(&secret) && !all.contains(&secret[2..20]),
                "{all}"
            );
            assert!(!all.contains("ada"), "{all}");
        }
    });
}

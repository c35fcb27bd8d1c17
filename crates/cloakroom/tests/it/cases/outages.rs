//! A store that fails never logs anybody out, and no response claims what is not stored.

use cloakroom::ErrorKind;
use cloakroom::core::Policy;
use cloakroom::core::observe::Operation;
use cloakroom::core::policy::OnExcess;

use crate::expect::{Case, NEW, NO_STORE, VARY};
use crate::script::Step::{Break, Get, Login, Logout, Set, SetBytes};

const UNAVAILABLE: &str = r#"{"error":"session_store_unavailable","retryable":true}"#;
const GONE: ErrorKind = ErrorKind::StoreUnavailable;

const DOWN: Case = Case {
    status: 503,
    vary: VARY,
    cache: NO_STORE,
    refusals: &["session_store_failed"],
    body: UNAVAILABLE,
    ..Case::DEFAULT
};

/// A store that fails, and limits that are reached.
pub(crate) const OUTAGES: &[Case] = &[
    Case {
        name: "a store that is gone does not matter to who does not use it",
        steps: &[Break(Operation::Load, GONE)],
        ..Case::DEFAULT
    },
    Case {
        name: "a failed read is no empty session",
        steps: &[Break(Operation::Load, GONE), Get("n")],
        calls: "load 1",
        ..DOWN
    },
    Case {
        name: "a failed save is no success",
        steps: &[
            Break(Operation::Apply, ErrorKind::DeadlineExceeded),
            Set("n", 2),
        ],
        calls: "apply 1",
        then_old: Some("n=1"),
        ..DOWN
    },
    Case {
        name: "a failed creation sets no cookie",
        cookies: &[],
        steps: &[Break(Operation::Create, ErrorKind::StoreFull), Set("n", 2)],
        calls: "create 1",
        ..DOWN
    },
    Case {
        name: "a failed logout clears no cookie",
        steps: &[Break(Operation::Destroy, GONE), Logout],
        calls: "destroy 1",
        then_old: Some("n=1"),
        ..DOWN
    },
    Case {
        name: "an id that was written is told, even if a later save fails",
        steps: &[Login("ada"), Break(Operation::Apply, GONE), Set("n", 2)],
        told: NEW,
        calls: "apply 1, rotate 1",
        then_new: Some("n=1"),
        ..DOWN
    },
    Case {
        name: "a session over its limit is not saved, and not to be tried again",
        steps: &[
            SetBytes("a", 60_000),
            SetBytes("b", 60_000),
            SetBytes("c", 60_000),
            SetBytes("d", 60_000),
            SetBytes("e", 60_000),
        ],
        calls: "apply 1",
        refusals: &["session_limit_exceeded"],
        then_old: Some("n=1"),
        ..failed(500, r#"{"error":"session_not_saved","retryable":false}"#)
    },
    Case {
        name: "a field over its limit fails the handler that set it",
        steps: &[SetBytes("a", 70_000)],
        refusals: &["session_limit_exceeded"],
        ..failed(500, r#"{"error":"session_error","retryable":false}"#)
    },
    Case {
        name: "one session too many is refused",
        config: |config| config.policy(Policy::OWASP_LOW_VALUE.max_sessions(1, OnExcess::Refuse)),
        before: &[Login("ada")],
        cookies: &[],
        steps: &[Login("ada")],
        calls: "create 1",
        refusals: &["session_login_refused"],
        ..failed(409, r#"{"error":"too_many_sessions","retryable":false}"#)
    },
];

const fn failed(status: u16, body: &'static str) -> Case {
    Case {
        status,
        body,
        vary: VARY,
        cache: NO_STORE,
        ..Case::DEFAULT
    }
}

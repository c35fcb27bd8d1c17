//! Cookies that are not ours: no session, no call to the store, and an event if it has our name.

use crate::expect::{Case, DUPLICATE, FINE, MALFORMED, NEW, NO_STORE, TOO_LONG, VARY};
use crate::script::Step::{Get, Set, Who};

/// All rows of this page.
pub(crate) fn bad_cookies() -> impl Iterator<Item = Case> {
    let not_ours = NOT_OURS.iter().map(|(name, cookies, refusals)| Case {
        name,
        cookies,
        steps: &[Get("n"), Who],
        vary: VARY,
        refusals,
        body: "n=- nobody",
        then_old: Some("n=1"),
        ..Case::DEFAULT
    });
    let ours = OURS.iter().map(|(name, cookies)| Case {
        name,
        cookies,
        steps: &[Get("n")],
        vary: VARY,
        calls: "load 1",
        body: "n=1 ",
        ..Case::DEFAULT
    });
    not_ours.chain(ours).chain([AFTER_A_BAD_ONE])
}

/// Name of the row, `Cookie` lines, the event.
type NotOurs = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

const NOT_OURS: &[NotOurs] = &[
    ("empty", &["__Host-id="], MALFORMED),
    ("truncated", &["__Host-id={44}"], MALFORMED),
    ("over-long", &["{cookie}A"], MALFORMED),
    ("very long", &["__Host-id={8000}"], MALFORMED),
    ("another alphabet", &["__Host-id={44}+"], MALFORMED),
    (
        "a last character that no id has",
        &["__Host-id={44}B"],
        MALFORMED,
    ),
    ("quoted", &["__Host-id=\"{id}\""], MALFORMED),
    ("a handle", &["__Host-id=AAAAAAAAAAAAAAAA"], MALFORMED),
    ("signed, but no key is set", &["{cookie}.{22}"], MALFORMED),
    ("twice", &["{cookie}; {cookie}"], DUPLICATE),
    (
        "twice with other values",
        &["__Host-id=planted; a=b; {cookie}"],
        DUPLICATE,
    ),
    ("twice in two lines", &["{cookie}", "{cookie}"], DUPLICATE),
    ("header too long", &["{cookie}; a={16384}"], TOO_LONG),
    (
        "lines too long together",
        &["a={9000}", "a={9000}"],
        TOO_LONG,
    ),
    ("another case", &["__HOST-id={id}"], FINE),
    (
        "another prefix",
        &["__Secure-id={id}; id={id}; dev-id={id}"],
        FINE,
    ),
    (
        "percent-encoded",
        &["%5F_Host-id={id}; __Host%2Did={id}"],
        FINE,
    ),
    (
        "a space in the name",
        &["__Host-id ={id}; _ _Host-id={id}"],
        FINE,
    ),
    ("no name", &["={id}; {id}; ;;=;"], FINE),
    ("a longer name", &["__Host-idx={id}; x__Host-id={id}"], FINE),
];

const OURS: &[(&str, &[&str])] = &[
    ("in the middle", &["a=b; {cookie}; c=d"]),
    ("in a line of its own", &["a=b", "{cookie}", "c=\"d; e\""]),
    ("without spaces", &["a=b;{cookie};c=d"]),
    ("with more spaces", &["a=b; \t {cookie} \t; c=d"]),
    (
        "beside others that look like it",
        &["__HOST-id=x; {cookie}; __Host-id2=y"],
    ),
];

const AFTER_A_BAD_ONE: Case = Case {
    name: "a rejected cookie does not hinder a new session",
    cookies: &["__Host-id=x"],
    steps: &[Set("n", 7)],
    told: NEW,
    vary: VARY,
    cache: NO_STORE,
    calls: "create 1",
    refusals: MALFORMED,
    then_new: Some("n=7"),
    ..Case::DEFAULT
};

//! The presets say what their sources say, and the page for the auditor reads well.

use std::time::Duration;

use cloakroom_core::Policy;
use cloakroom_core::policy::OnExcess;

#[test]
fn presets_are_what_their_sources_say() {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 3600;
    const DAY: u64 = 24 * HOUR;
    let table = [
        (
            Policy::OWASP_LOW_VALUE,
            Some(30 * MINUTE),
            8 * HOUR,
            Some((14 * DAY, 30 * DAY)),
        ),
        (Policy::OWASP_HIGH_VALUE, Some(5 * MINUTE), 4 * HOUR, None),
        (Policy::NIST_AAL1, None, 30 * DAY, None),
        (Policy::NIST_AAL2, Some(HOUR), 24 * HOUR, None),
        (Policy::NIST_AAL3, Some(15 * MINUTE), 12 * HOUR, None),
    ];
    for (policy, idle, absolute, remember) in table {
        let lifetimes = policy.lifetimes();
        assert_eq!(
            lifetimes.idle(),
            idle.map(Duration::from_secs),
            "{}",
            policy.name()
        );
        assert_eq!(
            lifetimes.absolute(),
            Duration::from_secs(absolute),
            "{}",
            policy.name()
        );
        let granted = policy.remember_lifetimes();
        let granted = granted.map(|lifetimes| (lifetimes.idle(), lifetimes.absolute()));
        let expected = remember.map(|(idle, absolute)| {
            (
                Some(Duration::from_secs(idle)),
                Duration::from_secs(absolute),
            )
        });
        assert_eq!(granted, expected, "{}", policy.name());
    }
    assert_eq!(Policy::PRESETS.len(), table.len());
    assert_eq!(Policy::default(), Policy::OWASP_LOW_VALUE);
}

#[test]
fn a_limit_of_no_sessions_is_one() {
    let policy = Policy::default().max_sessions(0, OnExcess::Refuse);
    assert_eq!(policy.session_limit().map(|most| most.limit), Some(1));
}

#[test]
fn the_page_for_the_auditor() {
    let pages: Vec<String> = Policy::PRESETS.iter().map(Policy::to_markdown).collect();
    insta::assert_snapshot!(pages.join("\n---\n\n"));
}

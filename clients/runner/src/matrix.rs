//! The matrix, as the table says it must be (for the page) and as a run found it (for the terminal).

use std::fmt::Write as _;

use crate::apps::{App, Variant};
use crate::cell::{Cell, Outcome};
use crate::checks::{Check, Verdict};
use crate::server::Kind;

/// What every cell must come out as, as Markdown: a table for each server, and the reasons.
#[must_use]
pub fn expected() -> String {
    let mut page = String::new();
    let mut reasons: Vec<&str> = Vec::new();
    for server in Kind::ALL {
        let _ = write!(page, "{}:\n\n| Application | Sessions by |", server.title());
        let names = Check::ALL.map(Check::name).join(" | ");
        let dashes = " --- |".repeat(Check::ALL.len() + 2);
        let _ = writeln!(page, " {names} |\n|{dashes}");
        for (app, variant) in rows() {
            let _ = write!(page, "| {} | {} |", app.title, variant.title);
            for check in Check::ALL {
                if !check.concerns(app) {
                    page.push_str(" - |");
                    continue;
                }
                let verdict = app.expected(variant, check, server);
                let _ = write!(page, " {verdict}");
                if let Some(known) = app.difference(variant, check, server) {
                    let note = note(&mut reasons, known.why);
                    let _ = write!(page, " ({note})");
                }
                page.push_str(" |");
            }
            page.push('\n');
        }
        page.push('\n');
    }
    for (index, why) in reasons.iter().enumerate() {
        let _ = writeln!(page, "{}. {why}", index + 1);
    }
    page
}

/// What a run found, in columns.
#[must_use]
pub fn observed(outcomes: &[Outcome]) -> String {
    let names = outcomes.iter().map(|outcome| outcome.cell.name().len());
    let width = names.max().unwrap_or_default();
    let mut text = " ".repeat(width);
    for check in Check::ALL {
        let _ = write!(text, " {:<10}", check.name());
    }
    text.push('\n');
    for cell in Cell::all() {
        let name = cell.name();
        let mut mine = outcomes
            .iter()
            .filter(|outcome| outcome.cell.name() == name)
            .peekable();
        if mine.peek().is_none() {
            continue;
        }
        let mine: Vec<&Outcome> = mine.collect();
        let _ = write!(text, "{name:<width$}");
        for check in Check::ALL {
            let outcome = mine.iter().find(|outcome| outcome.check == check);
            let shown = outcome.map_or_else(String::new, |outcome| shown(outcome));
            let _ = write!(text, " {shown:<10}");
        }
        text.push('\n');
    }
    text
}

fn shown(outcome: &Outcome) -> String {
    let verdict = outcome.result.as_ref().map(Verdict::to_string);
    let verdict = verdict.unwrap_or_else(|_| "FAULT".to_owned());
    if outcome.is_expected() {
        verdict
    } else {
        format!("!{verdict}")
    }
}

fn rows() -> impl Iterator<Item = (&'static App, &'static Variant)> {
    let apps = crate::ALL.iter().copied().flatten();
    apps.flat_map(|app| app.variants.iter().map(move |variant| (app, variant)))
}

/// The number of a reason, from 1.
fn note<'a>(reasons: &mut Vec<&'a str>, why: &'a str) -> usize {
    let known = reasons.iter().position(|reason| *reason == why);
    known.map_or_else(
        || {
            reasons.push(why);
            reasons.len()
        },
        |index| index + 1,
    )
}

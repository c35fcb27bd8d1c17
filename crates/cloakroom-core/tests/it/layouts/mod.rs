//! Layouts of other frameworks: what their libraries really wrote, what nobody wrote, the page.

mod fixtures;
mod hidden;
mod hostile;
mod page;
mod settings;

use std::collections::BTreeMap;

/// A session as a library left it in Redis; `tests/fixtures/layouts/README.md` says how it was made.
#[derive(Debug)]
struct Fixture {
    layout: String,
    by: String,
    subject: Option<String>,
    cookie: Option<String>,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    fields: BTreeMap<Vec<u8>, Vec<u8>>,
}

fn fixtures() -> Vec<Fixture> {
    let text = include_str!("../../fixtures/layouts/fixtures.json");
    let rows: Vec<serde_json::Value> = serde_json::from_str(text).unwrap();
    rows.iter().map(fixture).collect()
}

fn fixture(row: &serde_json::Value) -> Fixture {
    let text = |name: &str| row[name].as_str().map(str::to_owned);
    let fields = row["fields"].as_object().into_iter().flatten();
    Fixture {
        layout: text("layout").unwrap(),
        by: text("by").unwrap(),
        subject: text("subject"),
        cookie: text("cookie"),
        key: bytes(&text("key").unwrap()),
        value: text("value").as_deref().map(bytes),
        fields: fields
            .map(|(name, value)| (bytes(name), bytes(value.as_str().unwrap())))
            .collect(),
    }
}

/// Each character of a fixture is a byte.
fn bytes(text: &str) -> Vec<u8> {
    text.chars()
        .map(|char| u8::try_from(u32::from(char)).unwrap())
        .collect()
}

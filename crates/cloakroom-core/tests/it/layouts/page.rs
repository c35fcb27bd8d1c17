//! `docs/layouts.md` is written from the table: `UPDATE_GOLDEN=1 cargo test -p cloakroom-core` writes
//! it anew.

use std::fmt::Write as _;
use std::path::Path;

use cloakroom_core::layout::{Layout, Layouts, Tombstones};

use super::fixtures;

const HEAD: &str = "\
# Sessions of other frameworks

Generated from the table in `crates/cloakroom-core/src/layout/table.rs`; a test keeps it true.

A key of these shapes is a session. It is read to find whom it belongs to, and it is held to what a session promises
(below). Every other key is a key of Redis and no more.

In a key, `{id:32:hex}` is the id: its length, and its characters (`url`: A-Z a-z 0-9 - _; `hex`: 0-9 a-f;
`uuid`: hexadecimal digits and -; `base32`: A-Z 2-7; `lower`: a-z 0-9; `php`: A-Z a-z 0-9 - ,; `mixed`: A-Z a-z 0-9, but
not hexadecimal digits alone). A `*` in front stands for anything.

A subject is a path into the value: `/` goes one level down, `*` stands for any part of a key, `!php` opens a text that is a
serialised value of its own; the first path that leads to a text or a whole number is taken. In a hash the first step is
the field.

A value is read, never executed: pickles and serialised objects are taken apart by readers that know no class and call
nothing. One that cannot be read, or is over 1 MiB, is kept as it is, and its subject stays who it was.
";

const FOOT: &str = "
## Tombstones

A session that ended may not be written back by a request that was on its way. For 120 s a write to its key is answered as
if it had happened, and dropped.

- *always*: whatever ended it.
- *adopted*: after a command ended it, always. After it expired, a write is dropped if it belongs to somebody. These
  frameworks go on with an id that they do not know, so a visitor whose session expired a moment ago comes back under the same
  id, as a guest.
- *never*: the framework ends a session and goes on under the same id on purpose. PHP does so unless
  `session.use_strict_mode=1`; where that is set, say `php tombstones=always`.

## Other prefixes, other layouts

An application with another prefix, another place for its user, or a framework that is not here, is a row of the setting
`layouts`; rows are divided by `;`. A row of a known name changes what it says and keeps the rest:

    connect-redis key=myapp:{id}; php tombstones=always; rails off;
    shop key=shop:{id:32:hex} encoding=json subject=customer/number cookie=shop

`key=`, `head=` (what stands for `*` when a key has to be made of a cookie), `type=string` or `hash`, `encoding=`, `subject=`,
`tombstones=`, `cookie=`, `carried=`; several values are divided by `,`.
";

#[test]
fn the_page_of_the_layouts_is_true() {
    let page = page();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/layouts.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(
        written == page,
        "docs/layouts.md is not what the table says: UPDATE_GOLDEN=1 cargo test -p cloakroom-core"
    );
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for layout in Layouts::standard().iter() {
        section(&mut page, layout);
    }
    page.push_str(FOOT);
    page
}

fn section(page: &mut String, layout: &Layout) {
    let quoted = |texts: Vec<String>| {
        let quoted: Vec<_> = texts.iter().map(|text| format!("`{text}`")).collect();
        if quoted.is_empty() {
            "none".to_owned()
        } else {
            quoted.join(", ")
        }
    };
    let texts = |texts: &mut dyn Iterator<Item = &str>| texts.map(str::to_owned).collect();
    let tombstones = match layout.tombstones() {
        Tombstones::Always => "always",
        Tombstones::Adopted => "adopted",
        Tombstones::Never => "never",
    };
    let mut seen: Vec<_> = fixtures()
        .into_iter()
        .filter(|it| it.layout == layout.name())
        .map(|it| it.by)
        .collect();
    seen.sort();
    seen.dedup();
    let seen = if seen.is_empty() {
        "nothing to read in it".to_owned()
    } else {
        seen.join("; ")
    };
    let rows = [
        (
            "keys",
            quoted(layout.keys().iter().map(ToString::to_string).collect()),
        ),
        ("type", format!("{:?}", layout.kind()).to_lowercase()),
        (
            "encodings",
            quoted(
                layout
                    .encodings()
                    .iter()
                    .map(|it| it.name().to_owned())
                    .collect(),
            ),
        ),
        ("subject", quoted(texts(&mut layout.subject_paths()))),
        ("cookies", quoted(texts(&mut layout.cookies()))),
        ("the id in a cookie", layout.carried_how().to_owned()),
        ("tombstones", tombstones.to_owned()),
        (
            "ended by a field",
            quoted(
                layout
                    .zeroed()
                    .map(|it| format!("{it} = 0"))
                    .into_iter()
                    .collect(),
            ),
        ),
        (
            "beside it, no sessions",
            quoted(texts(&mut layout.companions())),
        ),
        ("checked with", seen),
    ];
    writeln!(
        page,
        "\n## {}\n\n{}.\n\n| | |\n| --- | --- |",
        layout.name(),
        layout.of_whom()
    )
    .unwrap();
    for (what, text) in rows {
        writeln!(page, "| {what} | {text} |").unwrap();
    }
}

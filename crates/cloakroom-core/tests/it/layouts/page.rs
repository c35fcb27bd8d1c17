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
  `session.use_strict_mode=1`; where that is set, say `php tombstones=always`. What the HTTP API ends stays out all the same: who comes
  with that id has a session that keeps nothing for 120 s, until a sign-in gives them another id.

Whoever writes a key only if it is not there (`SET .. NX`, `SETNX`, `MSETNX`, `HSETNX`, `RENAMENX`) asks for a new session, and is told
that there is one already: then it takes another id, where a yes would leave a visitor with a session that keeps
nothing.

`FLUSHDB` and `FLUSHALL` end all sessions as if all expired at that moment, and take no time however many there are: the keyspace begins anew,
and a late write looks up what it was until the sweep has left the tombstones.

## Ids and contents at rest

Both are off unless they are asked for; both hold for memory, journal and snapshots, and for sessions of layouts only.

**`layout-hash-ids yes`**: names hold a hash (`~`, two characters for the id's length, and SHA-256, in base64url) in place of the id, so whoever has a copy
of the data directory has no id that a cookie could carry. The rest of the name stays, so layouts, prefixes and `SCAN .. MATCH sess:*` go on
as they are. Clients go on with their ids; what they see of the names:

- `SCAN`, `KEYS`, `RANDOMKEY`, keyspace events and the slow log show names with hashes.
- Such a name may be removed (`DEL`, `UNLINK`) and looked at from outside (`TYPE`, `TTL`, `PTTL`, `OBJECT`, `MEMORY USAGE`), so clearing by `SCAN`
  and `DEL` works. To every other command it is an id like any, and leads nowhere: a list of names would be a list of ids else. So
  what reads all sessions by `SCAN` and `GET` (`all()` of connect-redis, `All` of scs) finds none.
- Whoever subscribes to the events of one key by its id hears nothing, and `MATCH` with an id finds nothing.
- `CLIENT TRACKING` is refused: it could only tell names that clients do not know.
- A script's `KEYS` are the names with hashes.
- Rows of which the key has a hash anyway (rack, rails) stay as they are. The locks of phpredis and oauth2-proxy are hashed like their
  sessions. Spring's indexed and reactive repositories keep ids in keys and sets of their own, which are no sessions and stay as they
  are: with these two, hashing hides nothing.

The HTTP API lists, verifies and revokes as ever; handles are others, once.

**`layout-seal-key-file FILE`**: values are sealed with XChaCha20-Poly1305 under a key that is not in the data directory, hashes field by
field; names of fields are not. Whom a session belongs to stays readable beside it, because the server finds a subject's sessions by it: a copy of the data
directory shows who has sessions, and neither their ids (if those are hashed) nor what is in them. Every command works as before: what reads opens, what
changes (`APPEND`, `INCR`, `HINCRBY`) opens and seals again. A value takes 48 bytes more ([byte by byte](formats/layout-seal.md)). A session that is copied or renamed
to a key that is none is opened for it.

The file holds a key a line, 64 hexadecimal digits, at most 16; lines that begin with `#` are for people. The first seals, all of them
open. To rotate, put a new key in front and restart; what the old one sealed is sealed anew at that start, so it may be
taken out at the next. A start that finds a session sealed with a key that is not in the file refuses, and names the key.

    openssl rand -hex 32 > seal.keys && chmod 600 seal.keys
    cloakroom serve --layout-hash-ids yes --layout-seal-key-file seal.keys

Switched on, both are applied to what is there at the next start. The journal keeps what was written before until it is written anew (`BGREWRITEAOF`, or by
itself when it has grown), and backups keep it for ever. Switched off, values are opened at the next start as long as the file still has
their key, and sessions with hashed names are over: nobody can present them. Their tombstones lead nowhere either, so a write that was late by
then makes a new session. For one layout: `ids=plain`, `ids=hashed`, `values=plain`, `values=sealed`.

## Other prefixes, other layouts

An application with another prefix, another place for its user, or a framework that is not here, is a row of the setting
`layouts`; rows are divided by `;`. A row of a known name changes what it says and keeps the rest:

    connect-redis key=myapp:{id}; php tombstones=always; rails off;
    shop key=shop:{id:32:hex} encoding=json subject=customer/number cookie=shop

Another `subject=` holds for a session from when its value changes next; for one that was nobody's, from its next save on.

`key=`, `head=` (what stands for `*` when a key has to be made of a cookie), `type=string` or `hash`, `encoding=`, `subject=`,
`tombstones=`, `cookie=`, `carried=`, `ids=`, `values=`; several values are divided by `,`.
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

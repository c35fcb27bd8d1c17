//! Keyspace events: which are wanted (`notify-keyspace-events`), and what they are called.

/// What kind of event it is; a bit of the setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Class {
    Generic = 1 << 2,
    String = 1 << 3,
    Set = 1 << 5,
    Hash = 1 << 6,
    Sorted = 1 << 7,
    Expired = 1 << 8,
    Evicted = 1 << 9,
    Miss = 1 << 11,
    New = 1 << 14,
}

/// Events are told under `__keyspace@0__:key`.
pub(crate) const KEYSPACE: u32 = 1;
/// Events are told under `__keyevent@0__:event`.
pub(crate) const KEYEVENT: u32 = 1 << 1;

const LETTERS: [(char, u32); 14] = [
    ('g', 1 << 2),
    ('$', 1 << 3),
    ('l', 1 << 4),
    ('s', 1 << 5),
    ('h', 1 << 6),
    ('z', 1 << 7),
    ('x', 1 << 8),
    ('e', 1 << 9),
    ('t', 1 << 10),
    ('d', 1 << 13),
    ('n', 1 << 14),
    ('K', KEYSPACE),
    ('E', KEYEVENT),
    ('m', 1 << 11),
];

/// What `A` stands for: all but misses and new keys.
const ALL: u32 = 0b0010_0111_1111_1100;

/// What the setting's letters ask for; nothing if one means nothing.
pub(crate) fn parse(text: &str) -> Option<u32> {
    text.chars().try_fold(0, |flags, letter| {
        if letter == 'A' {
            return Some(flags | ALL);
        }
        let found = LETTERS.iter().find(|(known, _)| *known == letter);
        found.map(|(_, bit)| flags | bit)
    })
}

/// The letters for what is asked for, as Redis orders them.
pub(crate) fn letters(flags: u32) -> String {
    let mut text = String::new();
    let all = flags & ALL == ALL;
    if all {
        text.push('A');
    }
    for (letter, bit) in LETTERS {
        let in_all = bit & ALL != 0 || bit == Class::New as u32;
        if flags & bit != 0 && !(all && in_all) {
            text.push(letter);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{letters, parse};

    #[test]
    fn letters_come_back_in_redis_order() {
        for (given, kept) in [
            ("", ""),
            ("Egx", "gxE"),
            ("KEA", "AKE"),
            ("g$lshzxetdK", "AK"),
            ("Em", "Em"),
        ] {
            assert_eq!(parse(given).map(letters).as_deref(), Some(kept), "{given}");
        }
        assert_eq!(parse("Q"), None);
    }
}

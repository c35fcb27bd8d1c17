//! The table of mixes: what share of the work is which operation.

/// What is asked of the server about one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Op {
    /// `GET`: a request reads its session.
    Read,
    /// `GETEX .. EX`: it reads it and moves its deadline.
    SlidingRead,
    /// `EXPIRE`: activity is recorded.
    Touch,
    /// `SET .. EX` of what is there: the framework saves with every request.
    Rewrite,
    /// `SET .. EX` of something new.
    Update,
    /// `SET .. EX` under a new id: a login, or a bot.
    Create,
    /// `DEL`: a logout.
    Revoke,
    /// `GET` of an id that nobody has.
    Unknown,
    /// `HGETALL`: the session is a hash of 8 fields.
    ReadFields,
    /// `HSET` of one field of it.
    UpdateField,
    /// `HSET` of all fields; only to load them.
    CreateFields,
}

/// All of them, in the order of reports.
pub(super) const OPS: [(Op, &str); 11] = [
    (Op::Read, "read"),
    (Op::SlidingRead, "sliding read"),
    (Op::Touch, "touch"),
    (Op::Rewrite, "rewrite"),
    (Op::Update, "update"),
    (Op::Create, "create"),
    (Op::Revoke, "revoke"),
    (Op::Unknown, "unknown id"),
    (Op::ReadFields, "read of a hash"),
    (Op::UpdateField, "update of a field"),
    (Op::CreateFields, "create of a hash"),
];

/// How large sessions are, in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sizes {
    Fixed(usize),
    /// The logarithm is distributed normally around that of `median`.
    LogNormal {
        median: f64,
        sigma: f64,
    },
}

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Mix {
    pub(super) name: &'static str,
    pub(super) doc: &'static str,
    /// Each operation with its parts of the whole.
    pub(super) shares: &'static [(Op, u32)],
    pub(super) sizes: Sizes,
    /// Whether people come, look at some pages and go, and some of them much more often than others;
    /// otherwise each operation is about any session.
    pub(super) visits: bool,
}

impl Mix {
    /// Whether its sessions are hashes.
    pub(super) fn has_fields(&self) -> bool {
        let of_fields = |op: &Op| matches!(op, Op::ReadFields | Op::UpdateField);
        self.shares.iter().any(|(op, _)| of_fields(op))
    }

    pub(super) fn named(name: &str) -> Option<&'static Self> {
        MIXES.iter().find(|mix| mix.name == name)
    }
}

/// Half of them at 400 bytes, a tenth over 2 KiB, one in a hundred over 8 KiB.
const USUAL: Sizes = Sizes::LogNormal {
    median: 400.0,
    sigma: 1.29,
};

/// Half of them at 4 KiB, one in a hundred over 35 KiB.
const FAT: Sizes = Sizes::LogNormal {
    median: 4_096.0,
    sigma: 0.93,
};

/// All mixes.
pub(super) const MIXES: [Mix; 11] = [
    Mix {
        name: "m1",
        doc: "mostly reads",
        shares: &[
            (Op::Read, 84),
            (Op::Touch, 3),
            (Op::Update, 7),
            (Op::Create, 3),
            (Op::Revoke, 1),
            (Op::Unknown, 2),
        ],
        sizes: USUAL,
        visits: true,
    },
    Mix {
        name: "m2",
        doc: "rolling: the deadline or the record is written with every read",
        shares: &[
            (Op::Read, 45),
            (Op::Touch, 23),
            (Op::Rewrite, 22),
            (Op::Update, 5),
            (Op::Create, 3),
            (Op::Revoke, 1),
            (Op::Unknown, 1),
        ],
        sizes: USUAL,
        visits: true,
    },
    Mix {
        name: "m3",
        doc: "a storm of logins and bots",
        shares: &[
            (Op::Read, 25),
            (Op::Update, 5),
            (Op::Create, 50),
            (Op::Revoke, 10),
            (Op::Unknown, 10),
        ],
        sizes: USUAL,
        visits: true,
    },
    Mix {
        name: "m4",
        doc: "fat carts",
        shares: &[
            (Op::Read, 65),
            (Op::Touch, 5),
            (Op::Update, 25),
            (Op::Create, 3),
            (Op::Revoke, 1),
            (Op::Unknown, 1),
        ],
        sizes: FAT,
        visits: true,
    },
    single("get", "GET", &[(Op::Read, 1)]),
    single("getex", "GETEX .. EX", &[(Op::SlidingRead, 1)]),
    single("expire", "EXPIRE", &[(Op::Touch, 1)]),
    single("set", "SET .. EX of what is there", &[(Op::Rewrite, 1)]),
    single("change", "SET .. EX of something new", &[(Op::Update, 1)]),
    single(
        "hgetall",
        "HGETALL of 8 fields, one over 64 bytes",
        &[(Op::ReadFields, 1)],
    ),
    single("hset", "HSET of one of 8 fields", &[(Op::UpdateField, 1)]),
];

/// One command alone, about sessions of 400 bytes.
const fn single(name: &'static str, doc: &'static str, shares: &'static [(Op, u32)]) -> Mix {
    Mix {
        name,
        doc,
        shares,
        sizes: Sizes::Fixed(400),
        visits: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixes_of_sessions_are_in_parts_of_a_hundred() {
        for mix in &MIXES[..4] {
            let whole: u32 = mix.shares.iter().map(|(_, part)| part).sum();
            assert_eq!(whole, 100, "{}", mix.name);
        }
    }

    #[test]
    fn every_operation_has_a_row_in_reports() {
        for (_, op) in MIXES
            .iter()
            .flat_map(|mix| mix.shares)
            .map(|it| (it.1, it.0))
        {
            assert!(OPS.iter().any(|(known, _)| *known == op), "{op:?}");
        }
    }
}

//! Promise 1: writers of different fields both win; on one field the last whole value wins, or an
//! increment or a condition decides, in one step.

use std::collections::BTreeSet;

use crate::ErrorKind;
use crate::record::{Changes, Condition, FieldName, NewSession};
use crate::store::Applied;
use crate::testkit::kit::{
    Broken, Checked, Kit, adds, ensure, ensure_eq, refused, sets, text, text_value,
};

const WRITERS: usize = 16;

/// Writers of different fields, interleaved and in parallel: every field is there afterwards.
pub(super) async fn different_fields_all_stay(kit: &Kit) -> Checked {
    let names: Vec<String> = (0..WRITERS)
        .map(|number| format!("field{number}"))
        .collect();
    for parallel in [false, true] {
        let (key, _) = kit.begin(&kit.anonymous()?).await?;
        let writers = names.iter().map(|name| {
            let (kit, name) = (kit.clone(), name.clone());
            async move { kit.write(&key, &sets([(&*name, &*name)])?).await }
        });
        let versions = if parallel {
            kit.in_parallel(writers).await?
        } else {
            kit.in_turn(writers).await?
        };
        let record = kit.alive(&key, "after the writes").await?.record;
        for name in &names {
            ensure_eq!(text(&record, name).as_ref(), Some(name), "field {name}");
        }
        let distinct: BTreeSet<u64> = versions.into_iter().collect();
        ensure_eq!(distinct.len(), WRITERS, "different versions, one a write");
        ensure_eq!(record.version, 1 + WRITERS as u64, "the version");
    }
    Ok(())
}

/// Writers of one field: what is there is one of the written values, whole.
pub(super) async fn one_field_has_a_whole_value(kit: &Kit) -> Checked {
    let (key, _) = kit.begin(&kit.anonymous()?).await?;
    let values: Vec<String> = (0..WRITERS).map(|n| n.to_string().repeat(n + 1)).collect();
    let writers = values.iter().map(|value| {
        let (kit, value) = (kit.clone(), value.clone());
        async move {
            let changes = sets([("left", &*value), ("right", &*value)])?;
            kit.write(&key, &changes).await
        }
    });
    kit.in_parallel(writers).await?;
    let record = kit.alive(&key, "after the writes").await?.record;
    let left = text(&record, "left");
    ensure_eq!(left, text(&record, "right"), "two fields of one write");
    let known = left.is_some_and(|left| values.contains(&left));
    ensure!(known, "the field has a value that nobody wrote");
    Ok(())
}

/// A thousand increments count a thousand, and each is told another sum.
pub(super) async fn increments_all_count(kit: &Kit) -> Checked {
    let (key, _) = kit.begin(&kit.anonymous()?).await?;
    let writers = (0..10).map(|number| {
        let kit = kit.clone();
        async move {
            let mut sums = Vec::new();
            for step in 0..100 {
                let mut changes = adds("count", 1)?;
                if step % 10 == 0 {
                    changes.set(&format!("other{number}"), text_value("x"))?;
                }
                let applied = kit.store.apply(&key, &changes, &Condition::Always).await?;
                let Applied::Done { increments, .. } = applied else {
                    return Err(Broken(format!("an increment gave {applied:?}")));
                };
                sums.extend(increments);
            }
            Ok(sums)
        }
    });
    let mut sums: Vec<i64> = kit.in_parallel(writers).await?.concat();
    sums.sort_unstable();
    ensure!(
        sums == (1..=1000).collect::<Vec<_>>(),
        "sums repeat or are missing"
    );
    let record = kit.alive(&key, "after the increments").await?.record;
    ensure_eq!(
        text(&record, "count").as_deref(),
        Some("1000"),
        "the counter"
    );
    Ok(())
}

/// The same with the increments of each round begun together: they meet in the middle.
pub(super) async fn interleaved_increments_all_count(kit: &Kit) -> Checked {
    let (key, _) = kit.begin(&kit.anonymous()?).await?;
    for _ in 0..10 {
        let changes = adds("count", 1)?;
        kit.in_turn((0..8).map(|_| kit.write(&key, &changes)))
            .await?;
    }
    let record = kit.alive(&key, "after the increments").await?.record;
    ensure_eq!(text(&record, "count").as_deref(), Some("80"), "the counter");
    Ok(())
}

/// Of writers that all expect the same version, or the same value, one wins.
pub(super) async fn one_of_many_conditions_holds(kit: &Kit) -> Checked {
    let name = FieldName::new("seat")?;
    let empty = Condition::Field {
        name,
        expected: None,
    };
    for condition in [Condition::Version(1), empty] {
        for parallel in [false, true] {
            let (key, _) = kit.begin(&kit.anonymous()?).await?;
            let writers = (0..WRITERS).map(|number| {
                let (kit, condition) = (kit.clone(), condition.clone());
                async move {
                    let changes = sets([("seat", &*number.to_string())])?;
                    Ok(match kit.store.apply(&key, &changes, &condition).await? {
                        Applied::Done { .. } => Some(number.to_string()),
                        Applied::Conflict { .. } => None,
                        Applied::Absent(_) => return Err(Broken("the session is gone".into())),
                    })
                }
            });
            let told = if parallel {
                kit.in_parallel(writers).await?
            } else {
                kit.in_turn(writers).await?
            };
            let winners: Vec<String> = told.into_iter().flatten().collect();
            ensure_eq!(winners.len(), 1, "writers that were told they won");
            let record = kit.alive(&key, "after the race").await?.record;
            ensure_eq!(
                text(&record, "seat").as_ref(),
                winners.first(),
                "the winner"
            );
        }
    }
    Ok(())
}

/// A condition on one field looks at that field alone; a conflict changes nothing.
pub(super) async fn a_condition_decides(kit: &Kit) -> Checked {
    let (key, _) = kit.begin(&kit.anonymous()?).await?;
    kit.write(&key, &sets([("a", "1"), ("b", "1")])?).await?;
    let version = kit.write(&key, &sets([("b", "2")])?).await?;
    let on_a = |expected: Option<&str>| -> Checked<Condition> {
        Ok(Condition::Field {
            name: FieldName::new("a")?,
            expected: expected.map(text_value),
        })
    };
    let changes = sets([("c", "1")])?;
    let wrong = [
        on_a(None)?,
        on_a(Some("2"))?,
        Condition::Version(version - 1),
    ];
    for condition in wrong {
        let applied = kit.store.apply(&key, &changes, &condition).await?;
        ensure_eq!(applied, Applied::Conflict { version }, "with {condition:?}");
    }
    let before = kit.alive(&key, "after conflicts").await?.record;
    ensure_eq!(text(&before, "c"), None, "the field of the refused writes");
    ensure_eq!(before.version, version, "the version after conflicts");
    for (step, condition) in [on_a(Some("1"))?, Condition::Version(version + 1)]
        .iter()
        .enumerate()
    {
        let applied = kit.store.apply(&key, &changes, condition).await?;
        let done = Applied::Done {
            version: version + 1 + step as u64,
            increments: vec![],
        };
        ensure_eq!(applied, done, "with {condition:?}");
    }
    Ok(())
}

/// A write with one impossible change does none of the others.
pub(super) async fn a_failed_write_changes_nothing(kit: &Kit) -> Checked {
    let new = NewSession {
        fields: crate::record::Fields::default()
            .changed(&sets([("word", "no number")])?)?
            .0,
        ..kit.anonymous()?
    };
    let (key, before) = kit.begin(&new).await?;
    let mut changes = Changes::new();
    changes.set("first", text_value("1"))?;
    changes.increment("word", 1)?;
    changes.set("last", text_value("1"))?;
    let applied = kit.store.apply(&key, &changes, &Condition::Always).await;
    let kind = ErrorKind::NotAnInteger {
        field: "word".to_owned(),
    };
    refused(applied, &kind, "an increment of a word")?;
    let after = kit.alive(&key, "after a failed write").await?.record;
    ensure_eq!(after, before, "the record after a failed write");
    Ok(())
}

/// Set, remove and increment in one write do what they say, and the record reads back the same.
pub(super) async fn a_write_does_what_it_says(kit: &Kit) -> Checked {
    let (key, _) = kit.begin(&kit.anonymous()?).await?;
    kit.write(&key, &sets([("gone", "1"), ("kept", "1"), ("new", "old")])?)
        .await?;
    let mut changes = sets([("new", "new")])?;
    changes.remove("gone")?;
    changes.increment("down", -3)?;
    changes.increment("up", 4)?;
    let applied = kit.store.apply(&key, &changes, &Condition::Always).await?;
    let done = Applied::Done {
        version: 3,
        increments: vec![-3, 4],
    };
    ensure_eq!(applied, done, "what the write told");
    let record = kit.alive(&key, "after the write").await?.record;
    let fields = ["gone", "kept", "new", "down", "up"].map(|name| text(&record, name));
    let should = [None, Some("1"), Some("new"), Some("-3"), Some("4")];
    ensure_eq!(
        fields,
        should.map(|text| text.map(str::to_owned)),
        "the fields"
    );
    Ok(())
}

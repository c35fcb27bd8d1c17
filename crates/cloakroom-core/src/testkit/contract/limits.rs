//! Limits hold wherever a write comes from; the error names the limit and the size, and nothing has
//! changed.

use crate::limits;
use crate::record::{Change, Changes, Condition, FieldName};
use crate::testkit::kit::{
    Checked, Kit, adds, ensure, ensure_eq, refused, sets, subject, text_value,
};
use crate::{Error, ErrorKind, Record, StoredKey};

/// A value, a number of fields and a sum of bytes over their limits, by a write and by a rotation.
pub(super) async fn what_is_too_large_is_refused(kit: &Kit) -> Checked {
    for (name, changes) in too_large()? {
        let (key, _) = kit.begin(&kit.anonymous()?).await?;
        kit.write(&key, &sets([("before", "1")])?).await?;
        let before = kit.alive(&key, "before").await?.record;
        let applied = kit.store.apply(&key, &changes, &Condition::Always).await;
        names_its_limit(&applied, name)?;
        unchanged(kit, &key, &before).await?;
        let user = subject("alice")?;
        let mut login = kit.login(&user)?;
        login.changes = changes;
        let new = kit.key_of(&user)?;
        names_its_limit(&kit.store.rotate(&key, &new, &login).await, name)?;
        unchanged(kit, &key, &before).await?;
        kit.gone(&new, "the id of a refused rotation").await?;
    }
    Ok(())
}

/// What just fits is stored and read back, byte for byte.
pub(super) async fn what_just_fits_is_stored(kit: &Kit) -> Checked {
    let (key, _) = kit.begin(&kit.anonymous()?).await?;
    let long_name = "n".repeat(limits::FIELD_NAME_BYTES);
    let mut changes = Changes::new();
    let largest: Vec<u8> = (0..limits::FIELD_VALUE_BYTES)
        .map(|byte| byte as u8)
        .collect();
    changes.set(
        &long_name,
        crate::record::Value::new(crate::Codec::MessagePack, largest),
    )?;
    changes.set("empty", text_value(""))?;
    for number in 2..limits::FIELDS {
        changes.set(&format!("field {number} \u{e4}"), text_value("x"))?;
    }
    kit.write(&key, &changes).await?;
    let record = kit.alive(&key, "after a large write").await?.record;
    ensure_eq!(record.fields.len(), limits::FIELDS, "fields");
    for (name, change) in changes.iter() {
        let stored = record.fields.get(name.as_str());
        let Change::Set(value) = change else { continue };
        ensure!(
            stored == Some(value.as_ref()),
            "field {name:?} reads back differently"
        );
    }
    Ok(())
}

/// A counter does not wrap around, and is none if it is no integer.
pub(super) async fn a_counter_does_not_overflow(kit: &Kit) -> Checked {
    let (key, _) = kit.begin(&kit.anonymous()?).await?;
    kit.write(&key, &adds("count", i64::MAX)?).await?;
    let before = kit.alive(&key, "at the largest number").await?.record;
    let kind = ErrorKind::NotAnInteger {
        field: "count".to_owned(),
    };
    let over = kit
        .store
        .apply(&key, &adds("count", 1)?, &Condition::Always)
        .await;
    refused(over, &kind, "one more than the largest number")?;
    unchanged(kit, &key, &before).await?;
    kit.write(&key, &adds("count", -1)?).await?;
    Ok(())
}

fn too_large() -> Checked<Vec<(&'static str, Changes)>> {
    let mut value = Changes::new();
    let bytes = vec![0; limits::FIELD_VALUE_BYTES + 1];
    let bytes = crate::record::Value::new(crate::Codec::Raw, bytes);
    value.push(FieldName::new("a")?, Change::Set(bytes));
    let mut fields = Changes::new();
    for number in 0..limits::FIELDS {
        fields.set(&format!("field{number}"), text_value("x"))?;
    }
    let mut sum = Changes::new();
    for number in 0..5 {
        let bytes = vec![0; limits::FIELD_VALUE_BYTES - 1];
        sum.set(
            &format!("field{number}"),
            crate::record::Value::new(crate::Codec::Raw, bytes),
        )?;
    }
    Ok(vec![
        ("field value", value),
        ("fields", fields),
        ("session", sum),
    ])
}

fn names_its_limit<T: std::fmt::Debug>(result: &Result<T, Error>, name: &str) -> Checked {
    let named = result.as_ref().is_err_and(|error| match error.kind() {
        ErrorKind::Limit { what, limit, size } => *what == name && size > limit,
        _ => false,
    });
    ensure!(named, "a {name} over its limit gave {result:?}");
    Ok(())
}

async fn unchanged(kit: &Kit, key: &StoredKey, before: &Record) -> Checked {
    let after = kit.alive(key, "after a refused write").await?.record;
    ensure_eq!(&after, before, "the record after a refused write");
    Ok(())
}

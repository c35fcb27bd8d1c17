//! `scan` for tools: pages of a bounded size, and nobody is missed who was there all the time.

use std::collections::BTreeSet;

use crate::Handle;
use crate::limits;
use crate::store::Cursor;
use crate::testkit::kit::{Checked, Kit, ensure, ensure_eq, grace, subject};

/// All sessions are seen, in pages no larger than asked for.
pub(super) async fn a_scan_sees_everybody(kit: &Kit) -> Checked {
    let mut handles = BTreeSet::new();
    for number in 0..57 {
        let owner = subject(&format!("user{}", number % 7))?;
        let (_, record) = kit.begin(&kit.of(&owner)?).await?;
        handles.insert(record.handle);
    }
    for size in [1, 10, 57, limits::SCAN_PAGE + 1] {
        let mut scan = Scan::new(size);
        while scan.page(kit).await? {}
        ensure_eq!(scan.seen, handles, "sessions seen in pages of {size}");
    }
    Ok(())
}

/// Sessions come, go and rotate during a scan; those that stay are seen.
pub(super) async fn a_scan_misses_nobody_who_stays(kit: &Kit) -> Checked {
    let mut staying = BTreeSet::new();
    let mut rotating = Vec::new();
    let mut going = Vec::new();
    for number in 0..60 {
        let (key, record) = kit.begin(&kit.anonymous()?).await?;
        match number % 3 {
            0 => going.push(key),
            1 => rotating.push(key),
            _ => drop(staying.insert(record.handle)),
        }
    }
    let mut scan = Scan::new(4);
    while scan.page(kit).await? {
        if let Some(key) = going.pop() {
            kit.store.destroy(&key).await?;
        }
        if let Some(key) = rotating.pop() {
            kit.turn(&key, &grace(kit.unit())).await?;
        }
        if scan.pages < 10 {
            kit.begin(&kit.anonymous()?).await?;
        }
    }
    let missed = staying.difference(&scan.seen).count();
    ensure_eq!(missed, 0, "sessions that stayed and were not seen");
    Ok(())
}

/// Numbers follow what happens.
pub(super) async fn stats_count_sessions(kit: &Kit) -> Checked {
    let before = kit.store.stats().await?.sessions;
    let (key, _) = kit.begin(&kit.anonymous()?).await?;
    kit.begin(&kit.anonymous()?).await?;
    ensure_eq!(kit.store.stats().await?.sessions, before + 2, "sessions");
    kit.store.destroy(&key).await?;
    ensure_eq!(
        kit.store.stats().await?.sessions,
        before + 1,
        "sessions after a logout"
    );
    Ok(())
}

/// A scan on its way.
struct Scan {
    size: usize,
    seen: BTreeSet<Handle>,
    cursor: Cursor,
    pages: usize,
}

impl Scan {
    fn new(size: usize) -> Self {
        Self {
            size,
            seen: BTreeSet::new(),
            cursor: Cursor::default(),
            pages: 0,
        }
    }

    /// Reads one page; whether there are more.
    async fn page(&mut self, kit: &Kit) -> Checked<bool> {
        let found = kit.store.scan(self.cursor, self.size).await?;
        let most = self.size.min(limits::SCAN_PAGE);
        ensure!(
            found.sessions.len() <= most,
            "a page of {}",
            found.sessions.len()
        );
        self.seen
            .extend(found.sessions.iter().map(|info| info.handle));
        self.pages += 1;
        ensure!(self.pages < 100_000, "a scan that does not end");
        self.cursor = found.next.unwrap_or_default();
        Ok(found.next.is_some())
    }
}

//! A disk that fails, fills up or is slow: who is told what, and that nothing is lost or reordered.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use cloakroom_core::{Error, ErrorKind};
use cloakroom_embedded::journal::{Durability, Journal, JournalError, JournalState};

use super::disk::FakeDisk;
use super::{block_on, open, read, record};

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..5_000 {
        if holds() {
            return;
        }
        thread::sleep(Duration::from_millis(2));
    }
    panic!("{what} never happens");
}

fn write(journal: &Journal, number: usize) -> Result<(), JournalError> {
    block_on(journal.wait(journal.append(&record(number))))
}

#[test]
fn a_failed_sync_or_write_ends_all_writing_and_not_what_is_there() {
    for writes in [true, false] {
        let disk = FakeDisk::default();
        let (journal, ..) = open(&disk, Durability::Always).unwrap();
        write(&journal, 0).unwrap();
        match writes {
            true => disk.fail_writes(true),
            false => disk.fail_syncs(true),
        }
        let error = write(&journal, 1).unwrap_err();
        assert!(
            matches!(&error, JournalError::Broken(what) if what.contains("fire")),
            "{error}"
        );
        assert_eq!(journal.state(), JournalState::Broken);
        // It stays so, even if the disk is well again: what it has nobody knows.
        disk.fail_writes(false);
        disk.fail_syncs(false);
        assert_eq!(journal.admits(), Poll::Ready(Err(error.clone())));
        assert_eq!(block_on(journal.admission()), Err(error.clone()));
        assert_eq!(write(&journal, 2), Err(error.clone()));
        assert_eq!(journal.turn(), Err(error.clone()));
        assert_eq!(*Error::from(error).kind(), ErrorKind::StoreUnavailable);
        assert_eq!(journal.durable_up_to(), 1);
        drop(journal);
        let (found, _) = read(&disk).unwrap();
        assert_eq!(found[0], record(0));
        assert!(found.len() <= 2, "what was refused later is not there");
    }
}

#[test]
fn a_full_disk_refuses_writes_and_recovers_in_order() {
    for durability in [Durability::Always, Durability::Everysec] {
        let disk = FakeDisk::default();
        let (journal, ..) = open(&disk, durability).unwrap();
        write(&journal, 0).unwrap();
        disk.leave_room(Some(30));
        let error = write(&journal, 1).unwrap_err();
        assert!(matches!(error, JournalError::DiskFull(_)), "{error}");
        assert_eq!(*Error::from(error.clone()).kind(), ErrorKind::StoreFull);
        assert_eq!(journal.state(), JournalState::Full);
        assert_eq!(journal.admits(), Poll::Ready(Err(error)));
        // What comes all the same (the end of a session) keeps its place.
        assert!(write(&journal, 2).is_err());
        disk.leave_room(None);
        wait_for("room", || journal.state() == JournalState::Open);
        for number in 3..20 {
            write(&journal, number).unwrap();
        }
        drop(journal);
        let (found, recovered) = read(&disk).unwrap();
        assert_eq!(found, (0..20).map(record).collect::<Vec<_>>());
        assert_eq!(recovered.cut, None);
    }
}

#[test]
fn a_disk_that_fills_up_where_a_segment_begins_recovers_too() {
    let disk = FakeDisk::default();
    let (journal, ..) = open(&disk, Durability::Always).unwrap();
    let mut number = 0;
    while disk.names().len() < 3 {
        let room = [0, 10, 64, 100, 300][number % 5];
        disk.leave_room(Some(room));
        let first = journal.append(&record(number));
        let told = block_on(journal.wait(first));
        disk.leave_room(None);
        wait_for("room", || journal.state() == JournalState::Open);
        block_on(journal.wait(first)).unwrap();
        assert!(told.is_ok() || matches!(told, Err(JournalError::DiskFull(_))));
        number += 1;
    }
    drop(journal);
    let (found, _) = read(&disk).unwrap();
    assert_eq!(found, (0..number).map(record).collect::<Vec<_>>());
}

#[test]
fn those_who_come_while_a_sync_runs_share_the_next() {
    let disk = FakeDisk::default();
    let (journal, ..) = open(&disk, Durability::Always).unwrap();
    let before = disk.syncs();
    disk.hold_syncs(true);
    let first = journal.append(b"first");
    wait_for("the first write", || disk.trace().len() > 4);
    let others: Vec<_> = (0..5).map(|_| journal.append(b"other")).collect();
    thread::scope(|scope| {
        let waits = others.iter().chain([&first]);
        let waits: Vec<_> = waits
            .map(|number| scope.spawn(|| block_on(journal.wait(*number))))
            .collect();
        assert_eq!(journal.durable_up_to(), 0);
        disk.hold_syncs(false);
        for wait in waits {
            wait.join().unwrap().unwrap();
        }
    });
    assert_eq!(disk.syncs() - before, 2);
    assert_eq!(journal.durable_up_to(), 6);
}

/// One of them is to wake the others; its executor is busy with something else.
#[test]
fn nobody_waits_for_one_that_was_woken_and_does_not_look() {
    struct Flag(AtomicBool);
    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let disk = FakeDisk::default();
    let (journal, ..) = open(&disk, Durability::Always).unwrap();
    disk.hold_syncs(true);
    let flags = [0; 5].map(|_| Arc::new(Flag(AtomicBool::new(false))));
    let waits = flags.each_ref().map(|flag| {
        let waker = Waker::from(Arc::clone(flag));
        let mut wait = journal.wait(journal.append(b"record"));
        let looked = Pin::new(&mut wait).poll(&mut Context::from_waker(&waker));
        assert!(looked.is_pending());
        wait
    });
    disk.hold_syncs(false);
    wait_for("that all are woken", || {
        flags.iter().all(|flag| flag.0.load(Ordering::SeqCst))
    });
    drop(waits);
}

#[test]
fn under_everysec_writers_are_held_up_when_the_disk_is_a_second_behind() {
    let disk = FakeDisk::default();
    let (journal, ..) = open(&disk, Durability::Everysec).unwrap();
    disk.hold_syncs(true);
    let mut number = 0;
    wait_for("being behind", || {
        journal.append(&record(number));
        number += 1;
        journal.admits().is_pending()
    });
    assert_eq!(journal.state(), JournalState::Behind);
    thread::scope(|scope| {
        let admission = scope.spawn(|| block_on(journal.admission()));
        disk.hold_syncs(false);
        admission.join().unwrap().unwrap();
    });
    drop(journal);
    let (found, _) = read(&disk).unwrap();
    assert_eq!(found, (0..number).map(record).collect::<Vec<_>>());
}

/// A disk that hangs: nobody waits longer than they are told, in any mode, and nothing is lost when it goes on.
#[test]
fn whoever_waits_for_a_disk_that_stands_still_is_told_and_writes_go_on_with_it() {
    for durability in [Durability::Always, Durability::Everysec] {
        let disk = FakeDisk::default();
        let (journal, ..) = open(&disk, durability).unwrap();
        write(&journal, 0).unwrap();
        disk.hold_syncs(true);
        let before = journal.stats().written;
        let later = |seconds| Instant::now() + Duration::from_secs(seconds);
        thread::scope(|scope| {
            let end = scope.spawn(|| write(&journal, 1));
            wait_for("the write before the sync", || {
                journal.stats().written > before
            });
            // As long as a slow disk takes, it is waited for.
            journal.watch(later(4));
            assert_eq!(journal.state(), JournalState::Open);
            wait_for("that it hangs", || {
                journal.watch(later(30));
                journal.state() == JournalState::Stalled
            });
            assert_eq!(end.join().unwrap(), Err(JournalError::Stalled));
        });
        assert_eq!(journal.admits(), Poll::Ready(Err(JournalError::Stalled)));
        let error = Error::from(block_on(journal.admission()).unwrap_err());
        assert_eq!(*error.kind(), ErrorKind::StoreUnavailable);
        assert!(error.is_retryable());
        assert_eq!(write(&journal, 2), Err(JournalError::Stalled));
        disk.hold_syncs(false);
        wait_for("the disk", || journal.state() == JournalState::Open);
        write(&journal, 3).unwrap();
        drop(journal);
        let (found, _) = read(&disk).unwrap();
        assert_eq!(found, (0..4).map(record).collect::<Vec<_>>());
    }
}

/// More than waits to be written at a time, in every mode: writers wait, and go on.
#[test]
fn more_than_memory_is_kept_for_holds_writers_up_until_it_is_written() {
    for durability in [Durability::Always, Durability::Everysec, Durability::No] {
        let disk = FakeDisk::default();
        let (journal, ..) = open(&disk, durability).unwrap();
        for _ in 0..3 {
            journal.append(&vec![7; 33 << 20]);
            block_on(journal.admission()).unwrap();
        }
        assert_eq!(journal.state(), JournalState::Open);
        drop(journal);
        assert_eq!(read(&disk).unwrap().0.len(), 3);
    }
}

#[test]
fn a_journal_says_that_it_is_closed() {
    let disk = FakeDisk::default();
    let (journal, ..) = open(&disk, Durability::No).unwrap();
    journal.append(&record(0));
    journal.close();
    assert_eq!(write(&journal, 1), Err(JournalError::Closed));
    let stats = journal.stats();
    assert_eq!((stats.state, stats.durable), (JournalState::Broken, 1));
    drop(journal);
    assert_eq!(read(&disk).unwrap().0, [record(0)]);
}

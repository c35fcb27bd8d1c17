//! The thread that writes: takes what was appended, writes it, syncs when somebody waits or the mode
//! says so, begins new segments. While one group is being synced the next one gathers, so groups are
//! as large as the disk is slow, without a timer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use cloakroom_core::Clock;

use super::JournalError;
use super::format::FRAME;
use super::queue::{Shared, Task};
use super::writer::{Trouble, Writer};

/// Between two tries to write to a full disk.
const FULL_PAUSE: Duration = Duration::from_millis(100);
/// Bytes of a batch's memory that are kept for the next; the rest was a burst.
const KEPT: usize = 512 << 10;

pub(crate) fn start(
    shared: Arc<Shared>,
    writer: Writer,
    clock: Arc<dyn Clock>,
    segment_bytes: u64,
) -> std::io::Result<JoinHandle<()>> {
    let mut run = Run {
        shared,
        writer,
        clock,
        segment_bytes,
        batch: Vec::new(),
    };
    run.note();
    let journal = thread::Builder::new().name("cloakroom-journal".into());
    journal.spawn(move || run.run())
}

struct Run {
    shared: Arc<Shared>,
    writer: Writer,
    clock: Arc<dyn Clock>,
    segment_bytes: u64,
    batch: Vec<u8>,
}

impl Run {
    fn run(&mut self) {
        loop {
            let task = self.shared.next(&mut self.batch, self.writer.claims_all());
            match self.fulfil(task) {
                Ok(true) => return self.shared.break_down(JournalError::Closed),
                Ok(false) => {}
                Err(fault) => return self.shared.break_down(fault),
            }
        }
    }

    /// Does what is to be done. Returns whether that was the last.
    fn fulfil(&mut self, task: Task) -> Result<bool, JournalError> {
        let wrote = self.batch.len() > FRAME;
        if wrote {
            let mut batch = std::mem::take(&mut self.batch);
            self.persist(|run| run.writer.write(&mut batch))?;
            batch.clear();
            batch.shrink_to(KEPT);
            self.batch = batch;
            self.note();
        }
        let turn = task.turn || self.writer.len() >= self.segment_bytes;
        if task.sync && !turn && !task.close {
            self.writer.make_way(self.segment_bytes);
        }
        if task.sync || turn {
            self.sync()?;
        }
        if turn {
            self.persist(|run| run.writer.rotate(run.clock.now().as_millis()))?;
            self.note();
            if task.turn {
                let writer = &self.writer;
                self.shared.turned(writer.number(), writer.next_seq());
            }
        } else if task.claim {
            self.persist(|run| run.writer.claim())?;
        }
        if task.close {
            self.sync()?;
        }
        Ok(task.close)
    }

    fn sync(&mut self) -> Result<(), JournalError> {
        let writer = &mut self.writer;
        match self.shared.while_busy(|| writer.sync()) {
            Ok(()) => {
                self.shared.synced(self.writer.next_seq());
                Ok(())
            }
            Err(Trouble::Full(error) | Trouble::Broken(error)) => Err(broken(&error)),
        }
    }

    /// Does a step, again and again as long as the disk is full.
    fn persist(
        &mut self,
        mut step: impl FnMut(&mut Self) -> Result<(), Trouble>,
    ) -> Result<(), JournalError> {
        let mut was_full = false;
        loop {
            let shared = Arc::clone(&self.shared);
            match shared.while_busy(|| step(self)) {
                Ok(()) => break,
                Err(Trouble::Broken(error)) => return Err(broken(&error)),
                Err(Trouble::Full(_)) if self.writer.give_room() => {}
                Err(Trouble::Full(error)) => {
                    was_full = true;
                    let fault = JournalError::DiskFull(error.to_string());
                    if self.shared.is_closing() {
                        return Err(fault);
                    }
                    self.shared.fill_up(fault);
                    self.shared.rest(FULL_PAUSE);
                }
            }
        }
        if was_full {
            self.shared.open_again();
        }
        Ok(())
    }

    fn note(&self) {
        let shared = &self.shared;
        shared
            .written
            .store(self.writer.written(), Ordering::Relaxed);
    }
}

fn broken(error: &std::io::Error) -> JournalError {
    JournalError::Broken(error.to_string())
}

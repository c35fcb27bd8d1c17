//! Lines of the log on their way to standard error. A thread of its own writes them, many at a time: a session
//! that comes or goes is told under the lock of its shard, where nobody may wait for whoever reads the log, and a
//! call of the kernel for each line cost more than the login that it tells of.
//!
//! A warning or an error is on its way out when the call that told it returns, with all that came before: it is what
//! somebody looks for after a crash. Whoever tells one waits for the thread, which may be held up by a reader, and so
//! for a moment at most.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Bytes that wait at most; then whoever logs waits, because a line that is dropped is one that somebody looks for.
const MOST: usize = 4 << 20;
/// How long lines gather after some were written. The first one after a pause is written at once.
const GATHER: Duration = Duration::from_millis(10);

/// How long a warning waits to be written; after that none does until the reader goes on.
const MOMENT: Duration = Duration::from_millis(200);

/// How long the end waits for somebody who holds the log open and reads nothing.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where lines go.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    moment: Duration,
    state: Mutex<State>,
    more: Condvar,
    fewer: Condvar,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    /// The thread waits to be woken.
    asleep: bool,
    /// It has taken lines that are not written yet.
    writing: bool,
    /// There is a thread.
    served: bool,
    /// Nothing gathers any more.
    ending: bool,
    /// Somebody waits for the lines that are here: nothing gathers until they are written.
    urgent: bool,
    /// Bytes that came, and those of them that were written.
    came: u64,
    written: u64,
    /// The reader let somebody wait for too long, and took nothing since.
    stuck: bool,
}

/// A line of the log, and whether it is written before whoever tells it goes on.
#[derive(Clone, Debug)]
pub(super) struct Line {
    lines: Lines,
    urgent: bool,
}

/// Has all lines written when it is dropped: at the end of the process.
#[must_use = "the last lines are lost without it"]
#[derive(Debug)]
pub(crate) struct Written(Lines);

impl Lines {
    /// Lines that are written to `out`.
    pub(super) fn start(out: impl Write + Send + 'static) -> (Self, Written) {
        Self::start_with(out, MOMENT)
    }

    fn start_with(out: impl Write + Send + 'static, moment: Duration) -> (Self, Written) {
        let lines = Self(Arc::new(Shared {
            moment,
            ..Shared::default()
        }));
        lines.0.state.lock().served = true;
        let (shared, mut out) = (Arc::clone(&lines.0), out);
        let thread = thread::Builder::new().name("cloakroom-log".into());
        if thread.spawn(move || shared.serve(&mut out)).is_err() {
            // Each line is then written by whoever logs it.
            lines.0.state.lock().served = false;
        }
        (lines.clone(), Written(lines))
    }
}

impl Shared {
    fn serve(&self, out: &mut dyn Write) {
        let mut batch = Vec::new();
        loop {
            let mut state = self.state.lock();
            state.writing = false;
            self.fewer.notify_all();
            while state.bytes.is_empty() {
                state.asleep = true;
                self.more.wait(&mut state);
            }
            std::mem::swap(&mut state.bytes, &mut batch);
            state.writing = true;
            state.urgent = false;
            self.fewer.notify_all();
            drop(state);
            // Where nobody reads the log there is nobody to be told so.
            let _ = out.write_all(&batch);
            let written = batch.len() as u64;
            batch.clear();
            batch.shrink_to(MOST / 16);
            let mut state = self.state.lock();
            state.writing = false;
            state.written += written;
            state.stuck = false;
            self.fewer.notify_all();
            if !state.ending && !state.urgent && state.bytes.len() < MOST / 2 {
                self.more.wait_for(&mut state, GATHER);
            }
        }
    }

    fn push(&self, line: &[u8], urgent: bool) -> io::Result<()> {
        let mut state = self.state.lock();
        if !state.served {
            return io::stderr().write_all(line);
        }
        while state.bytes.len() > MOST {
            self.fewer.wait(&mut state);
        }
        state.bytes.extend_from_slice(line);
        state.came += line.len() as u64;
        state.urgent |= urgent;
        if std::mem::take(&mut state.asleep) || urgent {
            self.more.notify_one();
        }
        let (mine, until) = (state.came, Instant::now() + self.moment);
        while urgent && state.written < mine && !state.stuck {
            state.stuck = self.fewer.wait_until(&mut state, until).timed_out();
        }
        Ok(())
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        let shared = &*self.0.0;
        let mut state = shared.state.lock();
        state.ending = true;
        shared.more.notify_one();
        while state.served && (state.writing || !state.bytes.is_empty()) {
            if shared.fewer.wait_for(&mut state, PATIENCE).timed_out() {
                return;
            }
        }
    }
}

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines.0.push(line, self.urgent)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line {
            lines: self.clone(),
            urgent: false,
        }
    }

    fn make_writer_for(&'a self, told: &Metadata<'_>) -> Line {
        Line {
            urgent: *told.level() <= Level::WARN,
            ..self.make_writer()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tracing_subscriber::prelude::*;

    use super::*;

    /// Takes each write when it is let.
    struct Slow(mpsc::Sender<Vec<u8>>, mpsc::Receiver<()>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // At the end nobody holds it up.
            let _ = self.1.recv();
            let _ = self.0.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_and_all_is_written_in_order_at_the_end() {
        let (written, writes) = mpsc::channel();
        let (let_go, held) = mpsc::channel();
        let (lines, end) = Lines::start(Slow(written, held));
        let mut lines = lines.make_writer();
        let mut all = Vec::new();
        for number in 0..10_000 {
            // The writer takes nothing meanwhile.
            let line = format!("line {number}\n").into_bytes();
            lines.write_all(&line).unwrap();
            all.extend(line);
        }
        drop(let_go);
        drop(end);
        let writes: Vec<Vec<u8>> = writes.try_iter().collect();
        assert!(writes.len() < 100, "{} writes", writes.len());
        assert_eq!(writes.concat(), all);
    }

    /// Told as the server tells them, so that their level decides.
    fn tell(lines: &Lines, work: impl FnOnce()) {
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(lines.clone())
            .with_ansi(false)
            .without_time()
            .with_target(false);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), work);
    }

    #[test]
    fn a_warning_and_all_before_it_are_written_when_it_was_told() {
        let (written, writes) = mpsc::channel();
        let (let_go, held) = mpsc::channel();
        drop(let_go);
        let (lines, _end) = Lines::start_with(Slow(written, held), PATIENCE * 60);
        tell(&lines, || {
            for round in 0..20 {
                // The first is written at once, so that the second gathers.
                tracing::info!("first {round}");
                tracing::info!("second {round}");
                match round % 2 {
                    0 => tracing::warn!("third {round}"),
                    _ => tracing::error!("third {round}"),
                }
                let writes: Vec<Vec<u8>> = writes.try_iter().collect();
                let text = String::from_utf8(writes.concat()).unwrap();
                let level = ["WARN", "ERROR"][round % 2];
                let all: Vec<&str> = text.lines().map(str::trim_start).collect();
                assert_eq!(
                    all,
                    [
                        format!("INFO first {round}"),
                        format!("INFO second {round}"),
                        format!("{level} third {round}"),
                    ]
                );
            }
        });
    }

    #[test]
    fn a_warning_waits_for_no_reader_that_reads_nothing() {
        let (written, writes) = mpsc::channel();
        let (let_go, held) = mpsc::channel();
        let (lines, end) = Lines::start_with(Slow(written, held), Duration::from_millis(1));
        tell(&lines, || {
            for round in 0..3 {
                tracing::warn!("line {round}");
                assert!(lines.0.state.lock().stuck, "nobody was held up twice");
            }
        });
        drop(let_go);
        drop(end);
        let writes: Vec<Vec<u8>> = writes.try_iter().collect();
        let text = String::from_utf8(writes.concat()).unwrap();
        assert_eq!(text, " WARN line 0\n WARN line 1\n WARN line 2\n");
        assert!(!lines.0.state.lock().stuck);
    }
}

//! Lines of the log on their way to standard error. A thread of its own writes them, many at a time: a session
//! that comes or goes is told under the lock of its shard, where nobody may wait for whoever reads the log, and a
//! call of the kernel for each line cost more than the login that it tells of.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

/// Bytes that wait at most; then whoever logs waits, because a line that is dropped is one that somebody looks for.
const MOST: usize = 4 << 20;
/// How long lines gather after some were written. The first one after a pause is written at once.
const GATHER: Duration = Duration::from_millis(10);

/// How long the end waits for somebody who holds the log open and reads nothing.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where lines go.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
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
}

/// Has all lines written when it is dropped: at the end of the process.
#[must_use = "the last lines are lost without it"]
#[derive(Debug)]
pub(crate) struct Written(Lines);

impl Lines {
    /// Lines that are written to `out`.
    pub(super) fn start(out: impl Write + Send + 'static) -> (Self, Written) {
        let lines = Self::default();
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
            self.fewer.notify_all();
            drop(state);
            // Where nobody reads the log there is nobody to be told so.
            let _ = out.write_all(&batch);
            batch.clear();
            batch.shrink_to(MOST / 16);
            let mut state = self.state.lock();
            state.writing = false;
            self.fewer.notify_all();
            if !state.ending && state.bytes.len() < MOST / 2 {
                self.more.wait_for(&mut state, GATHER);
            }
        }
    }

    fn push(&self, line: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        if !state.served {
            return io::stderr().write_all(line);
        }
        while state.bytes.len() > MOST {
            self.fewer.wait(&mut state);
        }
        state.bytes.extend_from_slice(line);
        let wake = std::mem::take(&mut state.asleep);
        drop(state);
        if wake {
            self.more.notify_one();
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

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

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
        let (mut lines, end) = Lines::start(Slow(written, held));
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
}

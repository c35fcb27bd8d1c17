//! A proxy in front of Redis that notes what goes over the wire: the commands, and how often
//! something was sent after an answer, which is what a request waits for.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};

/// A proxy on a free loopback port. Its threads end with the connections.
pub struct Capture {
    port: u16,
    seen: Arc<Mutex<Seen>>,
}

/// What was seen since it was last asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// How often something was sent after an answer.
    pub trips: usize,
    /// The commands by name, in their order.
    pub commands: Vec<String>,
    /// The same, word by word.
    pub words: Vec<Vec<Vec<u8>>>,
    asked: bool,
}

impl Capture {
    /// Listens, and passes everything on to the Redis on `port`.
    ///
    /// # Panics
    /// If no port is free, or later if Redis does not take a connection.
    #[must_use]
    pub fn start(redis: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let seen = Arc::<Mutex<Seen>>::default();
        let noted = Arc::clone(&seen);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(("127.0.0.1", redis)).expect("Redis listens");
                let both = [&client, &server].map(|socket| {
                    socket.set_nodelay(true).expect("a socket");
                    socket.try_clone().expect("a socket can be shared")
                });
                let [client_too, server_too] = both;
                let (asks, answers) = (Arc::clone(&noted), Arc::clone(&noted));
                let mut parser = Parser::default();
                std::thread::spawn(move || {
                    copy(client, server, |bytes| {
                        let commands = parser.commands(bytes);
                        note(&asks, |seen| seen.ask(commands));
                    });
                });
                std::thread::spawn(move || {
                    copy(server_too, client_too, |_| {
                        note(&answers, |seen| seen.asked = false);
                    });
                });
            }
        });
        Self { port, seen }
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What was seen since this was called last.
    #[must_use]
    pub fn take(&self) -> Seen {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Seen {
    fn ask(&mut self, commands: Vec<Vec<Vec<u8>>>) {
        if !self.asked {
            self.trips += 1;
            self.asked = true;
        }
        for words in commands {
            self.commands.push(name(&words));
            self.words.push(words);
        }
    }
}

fn note(seen: &Mutex<Seen>, change: impl FnOnce(&mut Seen)) {
    change(&mut seen.lock().unwrap_or_else(PoisonError::into_inner));
}

fn copy(mut from: TcpStream, mut to: TcpStream, mut notice: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read) = from.read(&mut buffer)
        && read > 0
    {
        notice(&buffer[..read]);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // The other side may be gone already.
    let _gone = to.shutdown(Shutdown::Write);
}

/// Reads commands as clients send them: arrays of bulk strings.
#[derive(Default)]
struct Parser(Vec<u8>);

impl Parser {
    /// The commands that are complete now.
    fn commands(&mut self, bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
        self.0.extend_from_slice(bytes);
        let mut all = Vec::new();
        while let Some((words, used)) = first_command(&self.0) {
            all.push(words);
            self.0.drain(..used);
        }
        all
    }
}

fn name(words: &[Vec<u8>]) -> String {
    let name = words.first().map_or(&[][..], Vec::as_slice);
    String::from_utf8_lossy(name).to_uppercase()
}

fn first_command(bytes: &[u8]) -> Option<(Vec<Vec<u8>>, usize)> {
    let (count, mut at) = number(bytes, 0)?;
    let mut words = Vec::new();
    for _ in 0..count {
        let (length, begin) = number(bytes, at)?;
        words.push(bytes.get(begin..begin + length)?.to_vec());
        at = begin + length + 2;
    }
    (at <= bytes.len()).then_some((words, at))
}

/// The number in the line at `at`, after its first byte, and where the next line begins.
fn number(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let rest = bytes.get(at..)?;
    let end = rest.windows(2).position(|two| two == b"\r\n")?;
    let number = str::from_utf8(rest.get(1..end)?).ok()?.parse().ok()?;
    Some((number, at + end + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_apart_however_they_arrive() {
        let sent = b"*2\r\n$3\r\nget\r\n$1\r\na\r\n*1\r\n$4\r\nPING\r\n";
        let mut parser = Parser::default();
        let mut names = Vec::new();
        for byte in sent.chunks(3) {
            names.extend(parser.commands(byte).iter().map(|words| name(words)));
        }
        assert_eq!(names, ["GET", "PING"]);
    }
}

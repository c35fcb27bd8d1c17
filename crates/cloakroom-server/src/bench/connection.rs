//! One connection: what goes out, what is under way, and what came in and is no whole answer yet.

use std::collections::VecDeque;
use std::error::Error;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream as Blocking;
use std::time::Duration;

use mio::net::TcpStream;

use super::mix::Op;
use super::options::{Options, Server};
use super::replies::{self, Reply};

/// How long a server may not answer until it counts as one that does not.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes that one read takes at most; more than the largest answer.
pub(super) const READ_BYTES: usize = 256 << 10;

const NOT_SPOKEN: &str = "the server does not speak the Redis protocol";

/// See the module.
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    /// Commands that are written; the first `written` bytes are with the kernel.
    pub(super) out: Vec<u8>,
    written: usize,
    /// The beginning of an answer.
    rest: Vec<u8>,
    /// What is asked, and when that was to be sent, in nanoseconds of the run.
    pub(super) flying: VecDeque<(Op, u64)>,
    /// When what could not be sent yet was to be sent.
    pub(super) waiting: VecDeque<u64>,
}

/// As many connections as are asked for, signed in.
///
/// # Errors
/// If the server cannot be reached, or refuses what was said to sign in.
pub(super) fn open(options: &Options) -> Result<Vec<Connection>, Box<dyn Error>> {
    let server = &options.server;
    let one = || -> Result<Connection, Box<dyn Error>> {
        let place = (server.host.as_str(), server.port);
        let stream = Blocking::connect(place).map_err(|error| {
            format!("{}:{} cannot be reached: {error}", server.host, server.port)
        })?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        greet(&stream, server)?;
        stream.set_nonblocking(true)?;
        Ok(Connection {
            stream: TcpStream::from_std(stream),
            out: Vec::new(),
            written: 0,
            rest: Vec::new(),
            flying: VecDeque::new(),
            waiting: VecDeque::new(),
        })
    };
    (0..options.connections).map(|_| one()).collect()
}

/// Signs in and chooses the database.
fn greet(mut stream: &Blocking, server: &Server) -> Result<(), Box<dyn Error>> {
    let database = server.database.to_string();
    let mut commands = Vec::new();
    match (&server.user, &server.password) {
        (_, None) => {}
        (None, Some(password)) => commands.push(vec!["AUTH", password]),
        (Some(user), Some(password)) => commands.push(vec!["AUTH", user, password]),
    }
    if server.database > 0 {
        commands.push(vec!["SELECT", &database]);
    }
    for words in &commands {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            write!(bytes, "${}\r\n{word}\r\n", word.len())?;
        }
        stream.write_all(&bytes)?;
        let mut answer = Vec::new();
        loop {
            let mut some = [0; 1024];
            let read = stream.read(&mut some)?;
            if read == 0 {
                return Err("the server closed the connection".into());
            }
            answer.extend_from_slice(&some[..read]);
            match replies::first(&answer) {
                Ok(None) => {}
                Ok(Some((Reply::Error(text), _))) => {
                    let text = String::from_utf8_lossy(text);
                    return Err(format!("{} is refused: {text}", words[0]).into());
                }
                Ok(Some(_)) => break,
                Err(_) => return Err(NOT_SPOKEN.into()),
            }
        }
    }
    Ok(())
}

impl Connection {
    /// Hands the kernel what it takes of what is to be sent.
    ///
    /// # Errors
    /// If the connection is over.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(bytes) => self.written += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }

    /// Reads what is there once, by way of `buffer`, and tells `each` of every answer with its question. Whether
    /// there may be more.
    ///
    /// # Errors
    /// If the connection is over, or what came is no answer.
    pub(super) fn receive(
        &mut self,
        buffer: &mut [u8],
        mut each: impl FnMut(Op, u64, Reply<'_>),
    ) -> io::Result<bool> {
        let kept = self.rest.len();
        buffer[..kept].copy_from_slice(&self.rest);
        let read = match self.stream.read(&mut buffer[kept..]) {
            Ok(0) => return Err(io::Error::other("the server closed a connection")),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(true),
            Err(error) => return Err(error),
        };
        let all = kept + read;
        let mut at = 0;
        while let Some((reply, length)) =
            replies::first(&buffer[at..all]).map_err(|_| io::Error::other(NOT_SPOKEN))?
        {
            let asked = self.flying.pop_front();
            let (op, sent) =
                asked.ok_or_else(|| io::Error::other("an answer that nobody asked for"))?;
            each(op, sent, reply);
            at += length;
        }
        self.rest.clear();
        self.rest.extend_from_slice(&buffer[at..all]);
        if self.rest.len() == buffer.len() {
            return Err(io::Error::other("an answer larger than any session"));
        }
        Ok(all == buffer.len())
    }
}

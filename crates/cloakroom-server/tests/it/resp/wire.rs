//! A connection that says exactly what it is told to, and reads answers as they are.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::process::Server;

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Wire(BufReader<TcpStream>);

/// What came as one answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reply {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    /// `$-1`, `*-1` or `_`.
    Nil,
    Array(Vec<Self>),
    /// Keys and values, one after another.
    Map(Vec<Self>),
    Set(Vec<Self>),
    Push(Vec<Self>),
    Double(String),
    Verbatim(String),
}

impl Reply {
    pub(crate) fn bulk(text: &str) -> Self {
        Self::Bulk(text.as_bytes().to_vec())
    }

    pub(crate) fn ok() -> Self {
        Self::Simple("OK".to_owned())
    }

    /// The text of a bulk string, a line or an error.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Bulk(bytes) => String::from_utf8(bytes.clone()).unwrap(),
            Self::Simple(text) | Self::Error(text) | Self::Verbatim(text) | Self::Double(text) => {
                text.clone()
            }
            other => panic!("no text: {other:?}"),
        }
    }

    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::Array(items) | Self::Map(items) | Self::Set(items) | Self::Push(items) => items,
            other => panic!("no items: {other:?}"),
        }
    }

    pub(crate) fn integer(&self) -> i64 {
        match self {
            Self::Integer(value) => *value,
            other => panic!("no integer: {other:?}"),
        }
    }
}

impl Wire {
    /// A connection to a server of ours.
    pub(crate) fn to(server: &Server) -> Self {
        Self::at(&server.resp("redis://"))
    }

    /// A connection to this address. A server that does not answer fails the test, and does not hang it.
    pub(crate) fn at(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        self.0.get_ref()
    }

    /// Sends bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// Sends words as a command.
    pub(crate) fn send(&mut self, words: &[&[u8]]) {
        let mut bytes = Vec::new();
        encode(words, &mut bytes);
        self.raw(&bytes);
    }

    /// Sends a command, given as words between blanks, and reads its answer.
    pub(crate) fn ask(&mut self, line: &str) -> Reply {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        self.send(&words);
        self.reply()
    }

    /// The next answer.
    pub(crate) fn reply(&mut self) -> Reply {
        let line = self.line();
        let (sign, rest) = line.split_at(1);
        let count = || rest.parse::<i64>().unwrap();
        let some = |count: i64| usize::try_from(count).ok();
        match sign {
            "+" => Reply::Simple(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Integer(count()),
            "," => Reply::Double(rest.to_owned()),
            "_" => Reply::Nil,
            "$" => some(count()).map_or(Reply::Nil, |count| Reply::Bulk(self.exactly(count))),
            "=" => {
                let bytes = self.exactly(some(count()).unwrap());
                Reply::Verbatim(String::from_utf8(bytes[4..].to_vec()).unwrap())
            }
            "*" => some(count()).map_or(Reply::Nil, |count| Reply::Array(self.several(count))),
            "%" => Reply::Map(self.several(2 * some(count()).unwrap())),
            "~" => Reply::Set(self.several(some(count()).unwrap())),
            ">" => Reply::Push(self.several(some(count()).unwrap())),
            other => panic!("no answer begins with {other:?}"),
        }
    }

    /// Exactly these bytes come next.
    pub(crate) fn hears(&mut self, expected: &[u8]) {
        let mut heard = vec![0; expected.len()];
        self.0.read_exact(&mut heard).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(text(&heard), text(expected));
    }

    /// The next line, or nothing if the connection is over.
    pub(crate) fn rest_of_line(&mut self) -> String {
        let mut line = String::new();
        let _ = self.0.read_line(&mut line);
        line.trim_end().to_owned()
    }

    /// Everything until the other end closes the connection.
    pub(crate) fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        // A reset is an end, too; that nothing more comes is none.
        if let Err(error) = self.0.read_to_end(&mut rest) {
            assert_ne!(error.kind(), ErrorKind::WouldBlock, "it was not closed");
        }
        String::from_utf8(rest).unwrap()
    }

    fn several(&mut self, count: usize) -> Vec<Reply> {
        (0..count).map(|_| self.reply()).collect()
    }

    fn exactly(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count + 2];
        self.0.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes.split_off(count), b"\r\n");
        bytes
    }

    fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.0.read_until(b'\n', &mut line).unwrap();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.strip_suffix("\r\n")
            .unwrap_or_else(|| panic!("no line: {line:?}"))
            .to_owned()
    }
}

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Puts a command behind others.
pub(crate) fn encode(words: &[&[u8]], into: &mut Vec<u8>) {
    write!(into, "*{}\r\n", words.len()).unwrap();
    for word in words {
        write!(into, "${}\r\n", word.len()).unwrap();
        into.extend_from_slice(word);
        into.extend_from_slice(b"\r\n");
    }
}

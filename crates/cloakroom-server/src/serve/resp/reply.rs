//! What is answered, as bytes of RESP2 or RESP3, straight into the buffer that goes out. What RESP2 has no
//! form for takes the form that Redis gives it there.

use super::number::{write_double, write_integer};

/// The replies of a connection that are not written yet.
#[derive(Debug, Default)]
pub(crate) struct Out {
    pub(crate) bytes: Vec<u8>,
    /// Which protocol: RESP3, or else RESP2.
    pub(crate) resp3: bool,
}

impl Out {
    pub(crate) fn ok(&mut self) {
        self.bytes.extend_from_slice(b"+OK\r\n");
    }

    pub(crate) fn simple(&mut self, text: &str) {
        self.bytes.push(b'+');
        self.line(text.as_bytes());
    }

    /// An error with its code: `ERR ...`. What would break the line is a blank.
    pub(crate) fn error(&mut self, text: &str) {
        self.bytes.push(b'-');
        let clean = |byte: u8| {
            if matches!(byte, b'\r' | b'\n') {
                b' '
            } else {
                byte
            }
        };
        self.bytes.extend(text.bytes().map(clean));
        self.bytes.extend_from_slice(b"\r\n");
    }

    pub(crate) fn integer(&mut self, value: i64) {
        self.headed(b':', value);
    }

    pub(crate) fn count(&mut self, value: usize) {
        self.integer(i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// What RESP2 says as 0 or 1, and so does RESP3 where Redis never changed it.
    pub(crate) fn truth(&mut self, value: bool) {
        self.bytes
            .extend_from_slice(if value { b":1\r\n" } else { b":0\r\n" });
    }

    pub(crate) fn bulk(&mut self, value: &[u8]) {
        self.bytes.reserve(value.len() + 24);
        self.head(b'$', value.len());
        self.line(value);
    }

    /// A bulk string, or nothing.
    pub(crate) fn maybe(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => self.bulk(value),
            None => self.nil(),
        }
    }

    pub(crate) fn nil(&mut self) {
        self.bytes
            .extend_from_slice(if self.resp3 { b"_\r\n" } else { b"$-1\r\n" });
    }

    pub(crate) fn nil_array(&mut self) {
        self.bytes
            .extend_from_slice(if self.resp3 { b"_\r\n" } else { b"*-1\r\n" });
    }

    pub(crate) fn array(&mut self, count: usize) {
        self.head(b'*', count);
    }

    /// So many pairs.
    pub(crate) fn map(&mut self, pairs: usize) {
        match self.resp3 {
            true => self.head(b'%', pairs),
            false => self.head(b'*', 2 * pairs),
        }
    }

    pub(crate) fn set(&mut self, count: usize) {
        self.head(if self.resp3 { b'~' } else { b'*' }, count);
    }

    /// What nobody asked for.
    pub(crate) fn push(&mut self, count: usize) {
        self.head(if self.resp3 { b'>' } else { b'*' }, count);
    }

    pub(crate) fn double(&mut self, value: f64) {
        if self.resp3 {
            self.bytes.push(b',');
            write_double(value, &mut self.bytes);
            self.bytes.extend_from_slice(b"\r\n");
        } else {
            let mut text = Vec::with_capacity(24);
            write_double(value, &mut text);
            self.bulk(&text);
        }
    }

    /// Text for people: RESP3 says so.
    pub(crate) fn verbatim(&mut self, text: &str) {
        if self.resp3 {
            self.head(b'=', text.len() + 4);
            self.bytes.extend_from_slice(b"txt:");
            self.line(text.as_bytes());
        } else {
            self.bulk(text.as_bytes());
        }
    }

    fn head(&mut self, sign: u8, count: usize) {
        self.headed(sign, i64::try_from(count).unwrap_or(i64::MAX));
    }

    fn headed(&mut self, sign: u8, value: i64) {
        self.bytes.push(sign);
        write_integer(value, &mut self.bytes);
        self.bytes.extend_from_slice(b"\r\n");
    }

    fn line(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.bytes.extend_from_slice(b"\r\n");
    }
}

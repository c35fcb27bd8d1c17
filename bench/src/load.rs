//! Visitors of an application: clients that wait for each answer, as browsers do, and note how long
//! it took. Over HTTP on loopback or as calls in this process, the load is the same.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::mix;
use crate::peers::{Answer, Call, pair};

/// What the clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// 90 % reads, 9 % writes of one field, 1 % logins.
    Daily,
    /// Each request reads a field and writes it.
    ReadWrite,
}

impl Work {
    /// What the command line calls it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::ReadWrite => "read-write",
        }
    }

    /// What the command line calls `word`.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        [Self::Daily, Self::ReadWrite]
            .into_iter()
            .find(|work| work.word() == word)
    }

    fn path(self, random: u64, user: usize) -> String {
        match (self, random % 100) {
            (Self::ReadWrite, _) => "/read-write".to_owned(),
            (Self::Daily, 0..90) => "/read".to_owned(),
            (Self::Daily, 90..99) => "/write".to_owned(),
            (Self::Daily, _) => format!("/login/user{user}"),
        }
    }
}

/// The way to an application.
pub enum Way {
    InProcess(Call),
    Http(Connection),
}

impl Way {
    /// One request.
    ///
    /// # Panics
    /// If the connection breaks.
    pub async fn call(&mut self, path: &str, cookie: &str) -> Answer {
        match self {
            Self::InProcess(call) => call(path, cookie).await,
            Self::Http(connection) => connection.call(path, cookie).await,
        }
    }
}

/// The cookies of one browser.
#[derive(Clone, Debug, Default)]
pub struct Visitor {
    pairs: Vec<String>,
    header: String,
}

impl Visitor {
    /// A browser that has this cookie.
    #[must_use]
    pub fn with(pair: &str) -> Self {
        Self {
            pairs: vec![pair.to_owned()],
            header: pair.to_owned(),
        }
    }

    /// Its `Cookie` header.
    #[must_use]
    pub fn header(&self) -> &str {
        &self.header
    }

    /// Keeps what a response set.
    pub fn keep(&mut self, answer: &Answer) {
        for new in &answer.cookies {
            let name = new.split('=').next();
            self.pairs.retain(|old| old.split('=').next() != name);
            self.pairs.push(new.clone());
        }
        if !answer.cookies.is_empty() {
            self.header = self.pairs.join("; ");
        }
    }
}

/// One client: a way to the application, and the visitors it acts for by turns.
pub struct Client {
    way: Way,
    visitors: Vec<Visitor>,
    step: u64,
}

impl Client {
    /// The client with this number.
    #[must_use]
    pub fn new(number: u64, way: Way) -> Self {
        Self {
            way,
            visitors: Vec::new(),
            step: number << 32,
        }
    }

    /// Makes the sessions of its visitors.
    ///
    /// # Panics
    /// If the application refuses.
    pub async fn fill(mut self, visitors: usize) -> Self {
        for _ in 0..visitors {
            let mut visitor = Visitor::default();
            let answer = self.way.call("/fill", "").await;
            assert_eq!(answer.status, 200, "/fill");
            visitor.keep(&answer);
            self.visitors.push(visitor);
        }
        self
    }

    /// Works until then; gives how long each request took, in nanoseconds.
    async fn work(mut self, work: Work, until: Instant) -> (Self, Histogram<u64>) {
        let mut times = histogram();
        let mut now = Instant::now();
        while now < until {
            self.step += 1;
            let random = mix(self.step);
            let at = random as usize / 128 % self.visitors.len();
            // The same user each time: what another one left in the session must not stay.
            let path = work.path(random, (self.step >> 32) as usize * 100_000 + at);
            let visitor = &mut self.visitors[at];
            let answer = self.way.call(&path, visitor.header()).await;
            assert_eq!(answer.status, 200, "{path}");
            visitor.keep(&answer);
            let answered = Instant::now();
            times.saturating_record(u64::try_from((answered - now).as_nanos()).unwrap_or(u64::MAX));
            now = answered;
        }
        (self, times)
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(100, 60_000_000_000, 3).expect("bounds that fit")
}

/// What came of a run.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    pub requests: u64,
    pub took: Duration,
    pub p50: Duration,
    pub p99: Duration,
}

impl Outcome {
    /// Requests in a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.took.as_secs_f64()
    }
}

/// Makes sessions with all clients at the same time. In a [`tokio::task::LocalSet`].
///
/// # Panics
/// If the application refuses.
pub async fn fill(clients: Vec<Client>, each: usize) -> Vec<Client> {
    let running: Vec<_> = clients
        .into_iter()
        .map(|client| tokio::task::spawn_local(client.fill(each)))
        .collect();
    let mut clients = Vec::new();
    for client in running {
        clients.push(client.await.expect("the client did its work"));
    }
    clients
}

/// Lets all clients work for a time. In a [`tokio::task::LocalSet`].
///
/// # Panics
/// If the application refuses.
pub async fn run(clients: Vec<Client>, work: Work, time: Duration) -> (Vec<Client>, Outcome) {
    let began = Instant::now();
    let running: Vec<_> = clients
        .into_iter()
        .map(|client| tokio::task::spawn_local(client.work(work, began + time)))
        .collect();
    let (mut clients, mut all) = (Vec::new(), histogram());
    for client in running {
        let (client, times) = client.await.expect("the client did its work");
        clients.push(client);
        all.add(times).expect("the same bounds");
    }
    let at = |quantile| Duration::from_nanos(all.value_at_quantile(quantile));
    let outcome = Outcome {
        requests: all.len(),
        took: began.elapsed(),
        p50: at(0.5),
        p99: at(0.99),
    };
    (clients, outcome)
}

/// A kept HTTP/1.1 connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects to a loopback port.
    ///
    /// # Panics
    /// If nobody listens.
    pub async fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await;
        let stream = stream.expect("the application listens");
        stream.set_nodelay(true).expect("a socket");
        Self {
            stream,
            buffer: Vec::with_capacity(4096),
        }
    }

    async fn call(&mut self, path: &str, cookie: &str) -> Answer {
        let cookie = match cookie {
            "" => String::new(),
            cookie => format!("cookie: {cookie}\r\n"),
        };
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: shop.example\r\naccept: text/html,*/*;q=0.8\r\n{cookie}\r\n"
        );
        let sent = self.stream.write_all(request.as_bytes()).await;
        sent.expect("the application reads");
        self.buffer.clear();
        loop {
            if let Some(answer) = parse(&self.buffer) {
                return answer;
            }
            let read = self.stream.read_buf(&mut self.buffer).await;
            let read = read.expect("the application answers");
            assert!(read > 0, "the application closed the connection");
        }
    }
}

/// A whole response with a `Content-Length`, or nothing yet.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let mut lines = bytes[..end].split(|byte| *byte == b'\n');
    let status = str::from_utf8(lines.next()?.get(9..12)?).ok()?;
    let mut answer = Answer {
        status: status.parse().ok()?,
        cookies: Vec::new(),
    };
    let mut length = 0;
    for line in lines {
        let line = line.trim_ascii();
        let colon = line.iter().position(|byte| *byte == b':')?;
        let value = line[colon + 1..].trim_ascii();
        if line[..colon].eq_ignore_ascii_case(b"content-length") {
            length = str::from_utf8(value).ok()?.parse().ok()?;
        } else if line[..colon].eq_ignore_ascii_case(b"set-cookie") {
            answer.cookies.extend(pair(value));
        }
    }
    (bytes.len() >= end + 4 + length).then_some(answer)
}

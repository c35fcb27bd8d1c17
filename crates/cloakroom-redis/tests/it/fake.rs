//! A server that greets like Redis and then answers everything with one line: for answers that a real
//! server gives only in trouble.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

/// Commands that are answered well, so that a store opens.
const GREETING: [&str; 7] = [
    "CLIENT", "SELECT", "HELLO", "AUTH", "UNWATCH", "MULTI", "EXEC",
];

/// Starts one; it ends with the test process. Gives its port.
pub(crate) fn answering(line: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream, line));
        }
    });
    port
}

fn serve(stream: TcpStream, line: &str) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    let mut greeted = false;
    loop {
        let mut words = Vec::new();
        for _ in 0..number(&mut reader, '*')? {
            let mut word = vec![0; number(&mut reader, '$')? + 2];
            reader.read_exact(&mut word).ok()?;
            words.push(String::from_utf8_lossy(&word).trim().to_owned());
        }
        let probing = words.first().is_some_and(|word| word == "EVAL")
            && words.get(1).is_some_and(|text| text == "return 1");
        let greeting = words
            .first()
            .is_some_and(|word| GREETING.contains(&&**word));
        let epoch = words.first().is_some_and(|word| word == "GET") && !greeted;
        let asking = words.first().is_some_and(|word| word == "INFO") && words.len() == 2;
        let asking = asking && (words[1] == "server" || words[1] == "replication");
        // What may be written is asked of keys that are never there.
        let writes = words.iter().any(|word| word.ends_with("probe"));
        let writes = writes && !words.iter().any(|word| word == "IFEQ");
        let answer = if asking {
            "$12\r\nrun_id:fake\n"
        } else if probing || writes {
            ":1"
        } else if epoch {
            greeted = true;
            "$-1"
        } else if greeting {
            "+OK"
        } else {
            line
        };
        writer.write_all(format!("{answer}\r\n").as_bytes()).ok()?;
    }
}

fn number(reader: &mut impl BufRead, sign: char) -> Option<usize> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    line.trim().strip_prefix(sign)?.parse().ok()
}

//! Scripts that nobody knows, in a server that was built with an interpreter: they do what they do in Redis, and
//! nothing that harms anybody.

use super::wire::{Reply, Wire};
use crate::process::Server;
use crate::stores::{PASSWORD, Redis};

/// Scripts with their keys and words, which Redis answers the same way. They build on each other.
const SAME: &[(&str, &[&str], &[&str])] = &[
    ("return 1", &[], &[]),
    ("return 3.99", &[], &[]),
    ("return -3.99", &[], &[]),
    ("return 'text'", &[], &[]),
    ("return nil", &[], &[]),
    ("return true", &[], &[]),
    ("return false", &[], &[]),
    ("return {1, 2.5, 'three', {4, {5}}, true, false}", &[], &[]),
    ("return {1, 2, nil, 4}", &[], &[]),
    ("return {}", &[], &[]),
    ("return {ok='FINE'}", &[], &[]),
    ("return {err='MYCODE went wrong'}", &[], &[]),
    (
        "return {KEYS[1], KEYS[2], ARGV[1], #ARGV, #KEYS}",
        &["a", "b"],
        &["x", "y"],
    ),
    (
        "return redis.call('SET', KEYS[1], ARGV[1])",
        &["a"],
        &["10"],
    ),
    ("return redis.call('GET', KEYS[1])", &["a"], &[]),
    ("return redis.call('GET', KEYS[1])", &["missing"], &[]),
    (
        "return redis.call('GET', KEYS[1]) == false",
        &["missing"],
        &[],
    ),
    ("return redis.call('incrby', KEYS[1], 5)", &["a"], &[]),
    (
        "return redis.call('INCRBY', KEYS[1], ARGV[1]) * 2",
        &["a"],
        &["1"],
    ),
    (
        "return redis.call('INCRBYFLOAT', KEYS[1], 0.5)",
        &["a"],
        &[],
    ),
    ("return redis.call('SET', KEYS[1], 0.1)", &["float"], &[]),
    ("return redis.call('GET', KEYS[1])", &["float"], &[]),
    (
        "redis.call('SET', KEYS[1], 'v', 'EX', 100) return redis.call('TTL', KEYS[1])",
        &["t"],
        &[],
    ),
    (
        "redis.call('HSET', KEYS[1], 'f', 1, 'g', 2) return redis.call('HGETALL', KEYS[1])",
        &["h"],
        &[],
    ),
    (
        "return redis.call('HMGET', KEYS[1], 'f', 'none', 'g')",
        &["h"],
        &[],
    ),
    (
        "redis.call('ZADD', KEYS[1], 1, 'x', 2.5, 'y') return redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')",
        &["z"],
        &[],
    ),
    ("return redis.call('ZSCORE', KEYS[1], 'y')", &["z"], &[]),
    (
        "redis.call('SADD', KEYS[1], 'one') return redis.call('SMEMBERS', KEYS[1])",
        &["s"],
        &[],
    ),
    ("return redis.call('TYPE', KEYS[1])", &["h"], &[]),
    ("return redis.call('TYPE', KEYS[1]).ok", &["h"], &[]),
    ("return redis.call('GET', KEYS[1])", &["h"], &[]),
    ("return redis.pcall('GET', KEYS[1])", &["h"], &[]),
    (
        "local r = redis.pcall('GET', KEYS[1]) return r.err",
        &["h"],
        &[],
    ),
    (
        "local fine, why = pcall(redis.call, 'GET', KEYS[1]) return {tostring(fine), type(why), why.err}",
        &["h"],
        &[],
    ),
    ("return redis.call('NOSUCH')", &[], &[]),
    ("return redis.call('GET')", &[], &[]),
    ("return redis.call('EVAL', 'return 1', 0)", &[], &[]),
    ("return redis.call('SUBSCRIBE', 'x')", &[], &[]),
    ("return redis.call()", &[], &[]),
    ("return redis.call('SET', KEYS[1], {})", &["a"], &[]),
    ("return redis.error_reply('My trouble')", &[], &[]),
    ("return redis.error_reply('oops')", &[], &[]),
    ("return redis.status_reply('TOUT BIEN')", &[], &[]),
    ("return redis.sha1hex('abc')", &[], &[]),
    ("error('by hand')", &[], &[]),
    ("error({err='CODE by table'})", &[], &[]),
    ("return nothing.here", &[], &[]),
    ("return undefined", &[], &[]),
    ("mine = 1 return mine", &[], &[]),
    ("this is no lua", &[], &[]),
    (
        "local n = 0 for word in string.gmatch(ARGV[1], '%a+') do n = n + #word end \
         local t = {3, 1, 2} table.sort(t) return {n, table.concat(t, ','), math.floor(7.9), tonumber('12') + 1, \
         string.format('%05.1f|%s', 3.14159, 'x'), select('#', unpack(t)), string.rep('ab', 3), ('x'):upper()}",
        &[],
        &["one two"],
    ),
    (
        "if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return 1 end \
         return 0",
        &["lock"],
        &["me", "60000"],
    ),
];

fn eval(wire: &mut Wire, text: &str, keys: &[&str], argv: &[&str]) -> Reply {
    let count = keys.len().to_string();
    let mut words: Vec<&[u8]> = vec![b"EVAL", text.as_bytes(), count.as_bytes()];
    words.extend(keys.iter().chain(argv).map(|word| word.as_bytes()));
    wire.send(&words);
    wire.reply()
}

/// Behind this Redis says in which script it was, and in which line.
fn without_place(reply: Reply) -> Reply {
    match reply {
        Reply::Error(text) => {
            let cut = text.split(" script: ").next().unwrap();
            Reply::Error(cut.to_owned())
        }
        other => other,
    }
}

#[test]
fn scripts_are_answered_as_by_redis() {
    let redis = Redis::start();
    let server = Server::start(&[]);
    let mut there = Wire::at(&format!("127.0.0.1:{}", redis.port));
    assert_eq!(there.ask(&format!("AUTH {PASSWORD}")), Reply::ok());
    let mut here = Wire::to(&server);
    for version in ["2", "3"] {
        there.ask(&format!("HELLO {version}"));
        here.ask(&format!("HELLO {version}"));
        there.ask("FLUSHALL");
        here.ask("FLUSHALL");
        for (text, keys, argv) in SAME {
            let theirs = without_place(eval(&mut there, text, keys, argv));
            let ours = without_place(eval(&mut here, text, keys, argv));
            assert_eq!(ours, theirs, "RESP{version}: {text}");
        }
    }
}

#[test]
fn a_script_is_known_by_its_hash_once_it_was_shown() {
    let server = Server::start(&[]);
    let mut wire = Wire::to(&server);
    let sha = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"; // of "return 1"
    let run = format!("EVALSHA {sha} 0");
    assert!(wire.ask(&run).text().starts_with("NOSCRIPT"));
    wire.send(&[b"SCRIPT", b"LOAD", b"return 1"]);
    assert_eq!(wire.reply(), Reply::bulk(sha));
    assert_eq!(wire.ask(&run), Reply::Integer(1));
    let there = format!("SCRIPT EXISTS {sha} {}", sha.replace('e', "f"));
    assert_eq!(
        wire.ask(&there),
        Reply::Array(vec![Reply::Integer(1), Reply::Integer(0)])
    );
    assert_eq!(wire.ask("SCRIPT FLUSH"), Reply::ok());
    assert!(wire.ask(&run).text().starts_with("NOSCRIPT"));
    assert_eq!(eval(&mut wire, "return 1", &[], &[]), Reply::Integer(1));
    assert_eq!(wire.ask(&run), Reply::Integer(1), "EVAL shows it as well");
    wire.send(&[b"SCRIPT", b"LOAD", b"return ("]);
    assert!(
        wire.reply()
            .text()
            .starts_with("ERR Error compiling script")
    );
    // In a transaction it is a command like any.
    for said in ["MULTI", &run, &run] {
        wire.ask(said);
    }
    assert_eq!(wire.ask("EXEC"), Reply::Array(vec![Reply::Integer(1); 2]));
}

#[test]
fn there_is_no_way_out_of_the_machine() {
    let server = Server::start(&[]);
    let mut wire = Wire::to(&server);
    for name in [
        "os",
        "io",
        "debug",
        "package",
        "coroutine",
        "require",
        "load",
        "loadstring",
        "loadfile",
        "dofile",
        "print",
        "getfenv",
        "setfenv",
        "newproxy",
        "collectgarbage",
        "module",
        "gcinfo",
    ] {
        let text = format!("return type(_G['{name}'])");
        let said = eval(&mut wire, &text, &[], &[]).text();
        assert!(
            said.contains("nonexistent global variable"),
            "{name}: {said}"
        );
    }
    for (text, told) in [
        ("return tostring(string.dump)", "nil"),
        ("return tostring(getmetatable(_G))", "false"),
        ("return tostring(getmetatable('').__index.dump)", "nil"),
        // What one leaves behind, the next does not find.
        ("string.left = 1 return tostring(string.left)", "1"),
        ("return tostring(string.left)", "nil"),
    ] {
        assert_eq!(eval(&mut wire, text, &[], &[]).text(), told, "{text}");
    }
    let code = "\u{1b}Lua is no text";
    assert!(eval(&mut wire, code, &[], &[]).text().starts_with("ERR"));
    // A key that was not named may be in a shard that is not locked.
    let said = eval(
        &mut wire,
        "return redis.call('SET', 'other', 1)",
        &["a"],
        &[],
    )
    .text();
    assert!(said.contains("did not declare"), "{said}");
    for text in [
        "return redis.call('FLUSHALL')",
        "return redis.call('CONFIG', 'GET', '*')",
    ] {
        let said = eval(&mut wire, text, &[], &[]).text();
        assert!(said.contains("not allowed from script"), "{said}");
    }
    assert_eq!(wire.ask("DBSIZE"), Reply::Integer(0));
}

#[test]
fn what_takes_too_much_is_ended_and_the_connection_lives() {
    let server = Server::start(&["--lua-time-limit", "50ms"]);
    let mut wire = Wire::to(&server);
    for text in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "while true do xpcall(function() while true do end end, function() end) end",
        "local function f() return f() end return f()",
        "redis.call('SET', KEYS[1], 'kept') while true do redis.call('GET', KEYS[1]) end",
        // A few instructions or calls, of which each takes long.
        "local s = string.rep('x', 4000000) for i = 1, 1000 do local longer = s .. 'y' end return 1",
        "local s = string.rep('x', 2000000) for i = 1, 20 do redis.sha1hex(s) end return 1",
    ] {
        let said = eval(&mut wire, text, &["k"], &[]).text();
        assert!(
            said.starts_with("ERR the script took longer than lua-time-limit"),
            "{text}: {said}"
        );
        assert_eq!(wire.ask("PING").text(), "PONG");
    }
    assert_eq!(
        wire.ask("GET k"),
        Reply::bulk("kept"),
        "what it wrote stays"
    );
    let server = Server::start(&["--lua-time-limit", "60s"]);
    let mut wire = Wire::to(&server);
    for (text, told) in [
        (
            "local t = {} while true do t[#t + 1] = string.rep('x', 1000) end",
            "more memory",
        ),
        ("return string.rep('x', 1000000000)", "more memory"),
        ("local t = {} t[1] = t return t", "stack limit"),
        (
            "local t = {} for i = 1, 200 do t[i] = string.rep('x', 300000) end return t",
            "answer is too large",
        ),
        (
            "local function f() return 1 + f() end return f()",
            "stack overflow",
        ),
        (
            "local s, t = string.rep('x', 1000000), {} for i = 1, 200 do t[i] = s end return redis.call('DEL', unpack(t))",
            "more than 128 MiB",
        ),
        (
            "return string.find(string.rep('a', 100000), '.-.-.-.-b')",
            "too long",
        ),
        (
            "return string.rep('a', 100000):find(string.rep('a?', 40))",
            "too long",
        ),
    ] {
        let said = eval(&mut wire, text, &[], &[]).text();
        assert!(
            said.starts_with("ERR") && said.contains(told),
            "{text}: {said}"
        );
        assert_eq!(wire.ask("PING").text(), "PONG");
    }
    assert_eq!(
        eval(&mut wire, "return string.rep('', 2000000000)", &[], &[]),
        Reply::bulk("")
    );
}

/// Nobody gets at the keys in between, so it is one time for all.
#[test]
fn scripts_of_a_transaction_have_no_more_time_than_one() {
    let server = Server::start(&["--lua-time-limit", "50ms"]);
    let mut wire = Wire::to(&server);
    assert_eq!(wire.ask("MULTI"), Reply::ok());
    for text in [
        "return 1",
        "while true do end",
        "while true do end",
        "return 1",
    ] {
        assert_eq!(eval(&mut wire, text, &["k"], &[]).text(), "QUEUED");
    }
    let said = wire.ask("EXEC");
    let [first, second, others @ ..] = said.items() else {
        panic!("{said:?}");
    };
    assert_eq!(*first, Reply::Integer(1));
    let too_long = "ERR the script took longer than lua-time-limit";
    assert!(second.text().starts_with(too_long), "{second:?}");
    let none_left = "ERR the scripts of this transaction took longer than lua-time-limit";
    assert!(others.iter().all(|it| it.text() == none_left), "{others:?}");
    assert_eq!(eval(&mut wire, "return 1", &["k"], &[]), Reply::Integer(1));
}

#[tokio::test]
async fn what_scripts_log_is_short_and_no_line_of_the_servers() {
    let server = Server::start(&[]);
    let mut wire = Wire::to(&server);
    let text = "for i = 1, 100 do redis.log(redis.LOG_WARNING, 'first\\n2026 WARN forged' .. string.rep('x', 2000)) end";
    assert_eq!(eval(&mut wire, text, &[], &[]), Reply::Nil);
    server.logged("script=first 2026 WARN forgedxxx").await;
    let log = server.log();
    let lines = log.lines().filter(|line| line.contains("forged"));
    assert!(
        lines
            .clone()
            .all(|line| line.len() < 1_200 && line.contains("script=first")),
        "{log}"
    );
    assert_eq!(lines.count(), 5);
}

#[test]
fn sessions_are_held_in_scripts_too_and_a_restart_finds_what_they_did() {
    let flags = ["--durability", "always", "--layout-hash-ids", "yes"];
    let server = Server::start(&flags);
    let mut wire = Wire::to(&server);
    let (ended, alive) = (
        "sess:mNLwOE8QV2aJcL1Xa-bxx97ijtvSjBZK",
        "sess:PLz4gpC5rDXpQmcqw0SHh6hwCBUxYXo-",
    );
    let text = "redis.call('SET', KEYS[1], ARGV[1]) redis.call('SET', KEYS[2], ARGV[1]) redis.call('DEL', KEYS[1]) \
                redis.call('SET', KEYS[1], ARGV[1], 'EX', 60) return {redis.call('EXISTS', KEYS[1]), redis.call('TTL', KEYS[2])}";
    let told = eval(&mut wire, text, &[ended, alive], &["{}"]);
    assert_eq!(
        told,
        Reply::Array(vec![Reply::Integer(0), Reply::Integer(86_400)])
    );
    let server = server.killed_and_started(&flags);
    let mut wire = Wire::to(&server);
    assert_eq!(wire.ask(&format!("GET {alive}")), Reply::bulk("{}"));
    wire.ask(&format!("SET {ended} late"));
    assert_eq!(wire.ask(&format!("GET {ended}")), Reply::Nil);
}

#[test]
fn two_scripts_on_one_key_do_not_mix() {
    let server = Server::start(&["--lua-time-limit", "60s"]);
    let text = "for i = 1, 50 do redis.call('SET', KEYS[1], tonumber(redis.call('GET', KEYS[1]) or 0) + 1) end";
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let mut wire = Wire::to(&server);
            std::thread::spawn(move || {
                for _ in 0..20 {
                    eval(&mut wire, text, &["n"], &[]);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(Wire::to(&server).ask("GET n"), Reply::bulk("4000"));
}

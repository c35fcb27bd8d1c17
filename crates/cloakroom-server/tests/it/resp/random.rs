//! Random commands: for each command a form, whose words are drawn from pools so small that commands meet
//! on the same keys.

/// A generator that a seed decides (SplitMix64).
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 16).unwrap() % end
    }

    fn of<'a>(&mut self, pool: &[&'a str]) -> &'a str {
        pool[self.below(pool.len())]
    }
}

/// The forms. `k` is a key, `v` a value, `f` a field or member, `n` a whole number, `i` an index, `L` a sorted set of one score, `d` a
/// number, `t` a time, `T` and `U` a moment in seconds and milliseconds, `M` and `N` one to come, `s` and `S` ends of scores, `l` ends of members, `p` a pattern, `x` a word
/// that means nothing there; `a|b` is one of them, `?` in front says perhaps, `..` behind says once or more.
pub(crate) const FORMS: &[&str] = &[
    "get k",
    "get k",
    "set k v",
    "set k v",
    "set k v ex|px t ?nx|xx|get",
    "set k v ?nx|xx|get|keepttl ?get|x",
    "set k v exat M",
    "set k v pxat N",
    "setex k t v",
    "psetex k t v",
    "setnx k v",
    "getset k v",
    "getdel k",
    "getex k",
    "getex k ex|px|persist|x ?t",
    "mget k..",
    "mset k v k v",
    "mset k v k",
    "msetnx k v k v",
    "strlen k",
    "getrange k i i",
    "substr k i i",
    "append k v",
    "setrange k i v",
    "incr k",
    "decr k",
    "incrby k n",
    "decrby k n",
    "incrbyfloat k d",
    "del k..",
    "unlink k..",
    "exists k..",
    "touch k..",
    "type k",
    "rename k k",
    "renamenx k k",
    "copy k k ?replace|x",
    "copy k k db i",
    "move k i",
    "expire k t ?nx|xx|gt|lt|x ?gt|lt|nx",
    "pexpire k t ?nx|xx|gt|lt",
    "expireat k T ?nx|xx|gt|lt",
    "pexpireat k U",
    "persist k",
    "ttl k",
    "pttl k",
    "expiretime k",
    "pexpiretime k",
    "keys p",
    "scan 0 count 100000 ?x",
    "scan 0 match p count 100000",
    "scan 0 count 100000 type string|hash|set|zset|x",
    "dbsize",
    "wait 0 0",
    "hset k f v",
    "hset k f v f v",
    "hset k f v f",
    "hmset k f v f v",
    "hsetnx k f v",
    "hget k f",
    "hmget k f..",
    "hgetall k",
    "hkeys k",
    "hvals k",
    "hlen k",
    "hstrlen k f",
    "hexists k f",
    "hdel k f..",
    "hincrby k f n",
    "hincrbyfloat k f d",
    "hrandfield k 100 ?withvalues|x",
    "hscan k 0 count 100000",
    "hscan k 0 match p count 100000 ?x",
    "sadd k f..",
    "sadd k n..",
    "srem k f..",
    "smembers k",
    "sismember k f",
    "smismember k f..",
    "scard k",
    "smove k k f",
    "spop k 100",
    "spop k 0|x|-1|100 ?x",
    "srandmember k 100",
    "sinter k..",
    "sunion k..",
    "sdiff k..",
    "sinterstore k k..",
    "sunionstore k k..",
    "sdiffstore k k..",
    "sintercard 2 k k ?limit ?i",
    "sintercard i k k",
    "sscan k 0 count 100000",
    "zadd k d f",
    "zadd k d f d f",
    "zadd k nx|xx|gt|lt|ch|incr d f",
    "zadd k nx|xx|ch gt|lt|ch|xx d f d f",
    "zadd k ?xx|x incr d f",
    "zincrby k d f",
    "zrem k f..",
    "zscore k f",
    "zmscore k f..",
    "zcard k",
    "zrank k f",
    "zrevrank k f",
    "zpopmin k ?i",
    "zpopmax k ?i ?x",
    "zrandmember k 100 ?withscores|x",
    "zrange k i i ?withscores|rev|x",
    "zrange k s s byscore ?withscores|rev ?limit ?i ?i",
    "zrange k s s byscore limit i i",
    "zadd L 0 f",
    "zadd L 0 f 0 f",
    "zrange L l l bylex ?rev",
    "zrange L l l bylex limit i i",
    "zrevrange k i i ?withscores",
    "zrangebyscore k s s ?withscores",
    "zrangebyscore k s s limit i i",
    "zrevrangebyscore k s s ?withscores",
    "zrevrangebyscore k s s limit i i",
    "zrangebylex L l l",
    "zrevrangebylex L l l limit i i",
    "zrevrangebylex L l l",
    "zrangestore k k i i",
    "zrangestore k k s s byscore ?rev|x",
    "zcount k s s",
    "zlexcount L l l",
    "zremrangebyrank k i i",
    "zremrangebyscore k s s",
    "zremrangebylex L l l",
    "zunion 2 k k ?withscores",
    "zunion 2 k k weights d d ?aggregate ?min|max|sum",
    "zinter 2 k k ?withscores|x",
    "zdiff 2 k k ?withscores",
    "zunionstore k 2 k k",
    "zunionstore k 2 k k weights d d aggregate min|max|sum|x",
    "zinterstore k 2 k k",
    "zdiffstore k 2 k k",
    "zdiffstore k i k k",
    "zintercard 2 k k ?limit ?i",
    "zintercard i k k",
    "zscan k 0 count 100000",
    "multi",
    "exec",
    "discard",
    "watch k",
    "unwatch",
    "select D",
    "select i",
    "swapdb D D",
    "flushdb ?async|x",
    "ping ?v",
    "echo v",
    "publish k v",
    "pubsub numpat",
    "pubsub channels",
    "pubsub numsub k k",
    "script flush ?x",
    "evalsha f i k",
    "script",
    "script x",
    "client getname",
    "client setname f",
    "client x",
    "client no-evict on|x",
    "object",
    "object x k",
    "object encoding",
    "nosuchcommand ?v ?v",
    "get",
    "get k k",
    "hset k f",
    "config set x v",
    "command count x",
    "command getkeys get k",
    "command getkeys mset k v k v",
    "command getkeys ping",
    "command getkeys zunionstore k 2 k k",
    "readonly x",
    "lastsave x",
    "bgsave x",
    "slowlog len x",
    "memory usage",
    "acl whoami",
];

const KEYS: &[&str] = &[
    "k0", "k1", "k2", "k3", "k4", "k5", "h0", "h1", "s0", "s1", "s2", "z0", "z1", "z2", "none",
];
const VALUES: &[&str] = &[
    "",
    "v",
    "value",
    "42",
    "-7",
    "0",
    "3.5",
    "1e3",
    "9223372036854775807",
    " 1",
    "01",
    "a b c",
    "\u{fffd}\u{1}",
];
const FIELDS: &[&str] = &["a", "b", "c", "d", "e", "f", "1", "2", "33", "", "aa"];
const NUMBERS: &[&str] = &[
    "1",
    "2",
    "-1",
    "0",
    "17",
    "9223372036854775807",
    "-9223372036854775808",
    "x",
    "1.5",
    "",
];
const INDICES: &[&str] = &["0", "1", "2", "-1", "-2", "5", "100", "-100", "x"];
const DOUBLES: &[&str] = &[
    "1",
    "2",
    "-1.5",
    "0.1",
    "0.2",
    "1e3",
    "0",
    "inf",
    "-inf",
    "3.25",
    "x",
    "1.795304519046E12",
    "nan",
];
/// None is so short that it ends while the test runs, at length as well, also not in milliseconds.
const TIMES: &[&str] = &[
    "7000000",
    "3000000",
    "5000000",
    "0",
    "-1",
    "-1000",
    "x",
    "9223372036854775807",
    "-9223372036854775808",
    "",
];
const SECONDS: &[&str] = &["4000000000", "5000000000", "1", "-1", "0", "x"];
const MILLIS: &[&str] = &["4000000000000", "5000000000000", "1", "-1", "0", "x"];
const LATER_SECONDS: &[&str] = &["4000000000", "5000000000", "0", "-1", "x"];
const LATER_MILLIS: &[&str] = &["4000000000000", "5000000000000", "0", "-1", "x"];
const SCORES: &[&str] = &[
    "-inf", "+inf", "0", "1", "2", "(1", "(2", "-1.5", "1000", "x", "(x", "(",
];
const LEX: &[&str] = &["-", "+", "[a", "[c", "(b", "(d", "[", "x", "[aa"];
const PATTERNS: &[&str] = &[
    "*", "k*", "?0", "[hz]*", "k[^1-3]", "none", "", "*0", "\\k1",
];
/// All members of these have one score.
const EVEN: &[&str] = &["l0", "l1"];
const DATABASES: &[&str] = &["0", "0", "0", "1", "2"];

/// A command of this form.
pub(crate) fn command(form: &str, random: &mut Random) -> Vec<String> {
    let mut words = Vec::new();
    for part in form.split(' ') {
        let part = match part.strip_prefix('?') {
            Some(_) if random.below(2) == 0 => break,
            Some(part) => part,
            None => part,
        };
        let (part, more) = match part.strip_suffix("..") {
            Some(part) => (part, random.below(3)),
            None => (part, 0),
        };
        for _ in 0..=more {
            words.push(word(part, words.is_empty(), random));
        }
    }
    words
}

fn word(part: &str, first: bool, random: &mut Random) -> String {
    let choices: Vec<&str> = part.split('|').collect();
    let part = random.of(&choices);
    let pool = match part {
        _ if first => &[part],
        "k" => KEYS,
        "v" => VALUES,
        "f" => FIELDS,
        "n" => NUMBERS,
        "i" => INDICES,
        "d" => DOUBLES,
        "t" => TIMES,
        "T" => SECONDS,
        "U" => MILLIS,
        "M" => LATER_SECONDS,
        "N" => LATER_MILLIS,
        "L" => EVEN,
        "s" => SCORES,
        "l" => LEX,
        "p" => PATTERNS,
        "D" => DATABASES,
        "x" => &["nonsense"],
        word => &[word],
    };
    random.of(pool).to_owned()
}

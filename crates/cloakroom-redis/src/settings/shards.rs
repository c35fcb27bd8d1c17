//! What a `redis+shards://` URL says: the nodes, each standalone or behind Sentinel, and while
//! sessions move, which nodes there were before and for how long to look there.

use std::time::SystemTime;

use cloakroom_core::{Error, UnixMillis};

use super::{LayoutName, Settings, decoded, invalid};
use crate::route::Ring;

/// A cursor of a scan counts 256, and while sessions move there are those of before as well.
const NODES_MOST: usize = 128;
const HOW: &str =
    "write redis+shards://host:6379|host:6379, with name= or sentinels/master where needed";

/// Independent nodes that share the sessions.
#[derive(Clone, Debug)]
pub(crate) struct Shards {
    /// All nodes, those that only were there before too.
    pub(crate) nodes: Vec<Shard>,
    pub(crate) ring: Ring,
    pub(crate) moving: Option<Moving>,
}

/// One node.
#[derive(Clone, Debug)]
pub(crate) struct Shard {
    pub(crate) settings: Settings,
}

/// Sessions are on their way from one set of nodes to another.
#[derive(Clone, Debug)]
pub(crate) struct Moving {
    /// Who owned what before.
    pub(crate) before: Ring,
    /// From this moment on the new owners answer.
    pub(crate) start: UnixMillis,
    /// Until then who misses a session there looks at its old owner.
    pub(crate) end: UnixMillis,
}

impl Shards {
    /// Reads what follows the scheme. `scheme` is `redis` or `rediss`, for each node.
    ///
    /// # Errors
    /// `InvalidSetting` that names the part, its value and the fix.
    pub(crate) fn parse(scheme: &str, rest: &str) -> Result<Self, Error> {
        let (list, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (mut previous, mut window, mut common) = (None, None, Vec::new());
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("moved-from", nodes)) => previous = Some(decoded(nodes)),
                Some(("moving", times)) => window = Some(decoded(times)),
                _ => common.push(parameter),
            }
        }
        let (credentials, list) = match list.rsplit_once('@') {
            Some((credentials, list)) if !credentials.contains('|') => {
                (format!("{credentials}@"), list)
            }
            Some(_) => {
                let fix = "write user:password@ once, before the first node, and | in it as %7C";
                return Err(invalid("store shards", "(hidden)", fix));
            }
            None => (String::new(), list),
        };
        let mut reader = Reader {
            scheme,
            credentials,
            query: common.join("&"),
            nodes: Vec::new(),
        };
        let ring = reader.ring(list)?;
        let moving = match (previous, window) {
            (None, None) => None,
            (Some(previous), Some(window)) => {
                let before = reader.ring(&previous)?;
                let (start, end) = interval(&window)?;
                Some(Moving { before, start, end })
            }
            (Some(_), None) => {
                let fix = "say for how long: moving=2026-12-01T00:00:00Z/2026-12-08T00:00:00Z";
                return Err(invalid("store moving", "", fix));
            }
            (None, Some(window)) => {
                let fix = "say who had the sessions before: moved-from=host:6379|host:6379";
                return Err(invalid("store moved-from", &window, fix));
            }
        };
        Ok(Self {
            nodes: reader.nodes,
            ring,
            moving,
        })
    }
}

/// Reads lists of nodes; a node that two lists name is one.
struct Reader<'a> {
    scheme: &'a str,
    credentials: String,
    query: String,
    nodes: Vec<Shard>,
}

impl Reader<'_> {
    fn ring(&mut self, list: &str) -> Result<Ring, Error> {
        let mut named: Vec<(u16, String)> = Vec::new();
        for text in list.split('|').filter(|text| !text.is_empty()) {
            let (number, name) = self.node(text)?;
            if named.iter().any(|(known, _)| *known == number) {
                return Err(invalid("store shards", text, "name each node once"));
            }
            if named.iter().any(|(_, known)| *known == name) {
                let fix = "two places have this name: give each node a name= of its own";
                return Err(invalid("store shards", &name, fix));
            }
            named.push((number, name));
        }
        if named.len() > NODES_MOST {
            let count = named.len().to_string();
            return Err(invalid("store shards", &count, "name at most 128 nodes"));
        }
        let names = named.iter().map(|(number, name)| (*number, &**name));
        Ring::new(names).ok_or_else(|| invalid("store shards", list, HOW))
    }

    /// The number of a node, by where it is, and the name that it has in this list.
    fn node(&mut self, text: &str) -> Result<(u16, String), Error> {
        if text.contains('@') {
            let fix =
                "write user:password@ once, before the first node, as %XX what has a meaning there";
            return Err(invalid("store shards", "(hidden)", fix));
        }
        let (name, place) = match text.split_once('=') {
            Some((name, place)) => (Some(name), place),
            None => (None, text),
        };
        let kind = if place.contains('/') { "+sentinel" } else { "" };
        let (scheme, credentials, query) = (self.scheme, &self.credentials, &self.query);
        let url = format!("{scheme}{kind}://{credentials}{place}?{query}");
        let settings = Settings::parse(&url)?;
        if settings.layout == LayoutName::Plain {
            let fix = "leave it out: a key without a slot tag has no shard";
            return Err(invalid("store ids", "plain", fix));
        }
        let name = match (name, &settings.master) {
            (Some(name), _) => name.to_owned(),
            (None, Some(master)) => master.clone(),
            (None, None) => settings.addresses[0].to_string(),
        };
        let is_it = |node: &Shard| {
            let known = &node.settings;
            (&known.addresses, &known.master) == (&settings.addresses, &settings.master)
        };
        let number = self.nodes.iter().position(is_it).unwrap_or_else(|| {
            self.nodes.push(Shard { settings });
            self.nodes.len() - 1
        });
        Ok((number as u16, name))
    }
}

/// Two RFC 3339 moments with a slash between them, as ISO 8601 writes an interval.
fn interval(text: &str) -> Result<(UnixMillis, UnixMillis), Error> {
    let moment = |text: &str| {
        let at = humantime::parse_rfc3339(text).ok()?;
        let since = at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(UnixMillis::new(u64::try_from(since.as_millis()).ok()?))
    };
    let read = text
        .split_once('/')
        .and_then(|(start, end)| Some((moment(start)?, moment(end)?)));
    match read {
        Some((start, end)) if start < end => Ok((start, end)),
        _ => Err(invalid(
            "store moving",
            text,
            "write when it begins and when it ends: 2026-12-01T00:00:00Z/2026-12-08T00:00:00Z",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(rest: &str) -> String {
        Shards::parse("redis", rest).unwrap_err().to_string()
    }

    fn places(shards: &Shards) -> Vec<String> {
        let first = |node: &Shard| node.settings.addresses[0].to_string();
        shards.nodes.iter().map(first).collect()
    }

    #[test]
    fn nodes_are_standalone_or_behind_sentinels() {
        let text = "user:pass@a|b:7000|s1,s2:26380/east|west=c?layout=fields&db=3";
        let shards = Shards::parse("rediss", text).unwrap();
        assert_eq!(places(&shards), ["a:6379", "b:7000", "s1:26379", "c:6379"]);
        assert!(shards.moving.is_none());
        for node in &shards.nodes {
            assert_eq!(node.settings.user.as_deref(), Some("user"));
            assert_eq!(node.settings.layout, LayoutName::Fields);
        }
        assert_eq!(shards.nodes[2].settings.addresses.len(), 2);
        assert_eq!(shards.nodes[2].settings.master.as_deref(), Some("east"));
    }

    #[test]
    fn a_move_names_the_nodes_of_before_and_its_time() {
        let text = "a|b|c?moved-from=a|d&moving=2026-12-01T00:00:00Z/2026-12-01T00:00:01Z";
        let shards = Shards::parse("redis", text).unwrap();
        assert_eq!(places(&shards), ["a:6379", "b:6379", "c:6379", "d:6379"]);
        let moving = shards.moving.unwrap();
        assert_eq!(moving.end.as_millis() - moving.start.as_millis(), 1_000);
        let owners = (0..4096).filter_map(cloakroom_core::id::SlotTag::new);
        assert!(
            owners
                .into_iter()
                .all(|tag| [0, 3].contains(&moving.before.owner(tag)))
        );
    }

    /// A node may get a name while sessions move; it stays the same node.
    #[test]
    fn a_node_is_known_by_its_place() {
        let text = "x=a|y=b?moved-from=a|b&moving=2026-12-01T00:00:00Z/2026-12-02T00:00:00Z";
        let shards = Shards::parse("redis", text).unwrap();
        assert_eq!(places(&shards), ["a:6379", "b:6379"]);
        let renamed = "s1,s2/m1|s1,s2/m2";
        assert_eq!(Shards::parse("redis", renamed).unwrap().nodes.len(), 2);
    }

    /// A password that is written where none belongs is in no error.
    #[test]
    fn credentials_are_not_repeated() {
        let window = "moving=2026-12-01T00:00:00Z/2026-12-02T00:00:00Z";
        for text in [
            "u:secret@a|u:secret@b".to_owned(),
            format!("u:p@a|b?moved-from=u:secret@a|u:secret@a&{window}"),
            format!("a|b?moved-from=u:secret=w@d&{window}"),
        ] {
            let error = fails(&text);
            assert!(
                !error.contains("secret") && error.contains("once"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_fix() {
        let cases = [
            ("", "name="),
            ("a|a", "each node once"),
            ("x=a|x=b", "of its own"),
            ("a|b?moved-from=a", "for how long"),
            (
                "a|b?moving=2026-12-01T00:00:00Z/2026-12-02T00:00:00Z",
                "before",
            ),
            ("a|b?moved-from=a&moving=tomorrow", "2026-12-01T00:00:00Z/"),
            (
                "a|b?moved-from=a&moving=2026-12-02T00:00:00Z/2026-12-01T00:00:00Z",
                "begins",
            ),
            ("a|b?layout=round", "packed or fields"),
            ("a|b?ids=plain", "no shard"),
            ("a|b?ids=pl%61in", "no shard"),
        ];
        for (text, said) in cases {
            let error = fails(text);
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}

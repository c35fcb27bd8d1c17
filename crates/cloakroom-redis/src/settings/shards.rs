//! What a `redis+shards://` URL says: the nodes, each standalone or behind Sentinel, and while
//! sessions move, which nodes there were before and for how long to look there.

use std::time::SystemTime;

use cloakroom_core::{Error, UnixMillis};

use super::{Settings, invalid};
use crate::route::Ring;

/// More would be a mistake in the URL.
const NODES_MOST: usize = 256;
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
    /// What its place in the ring hangs on: `name=` in the URL, else its master's name or its address.
    pub(crate) name: String,
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
                Some(("moved-from", nodes)) => previous = Some(nodes.to_owned()),
                Some(("moving", times)) => window = Some(times.to_owned()),
                _ => common.push(parameter),
            }
        }
        if common.contains(&"ids=plain") {
            let fix = "leave it out: a key without a slot tag has no shard";
            return Err(invalid("store ids", "plain", fix));
        }
        let (credentials, list) = match list.rsplit_once('@') {
            Some((credentials, list)) => (format!("{credentials}@"), list),
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
        let mut numbers = Vec::new();
        for text in list.split('|').filter(|text| !text.is_empty()) {
            let number = self.node(text)?;
            if numbers.contains(&number) {
                return Err(invalid("store shards", text, "name each node once"));
            }
            numbers.push(number);
        }
        if numbers.len() > NODES_MOST {
            let count = numbers.len().to_string();
            return Err(invalid("store shards", &count, "name at most 256 nodes"));
        }
        let named = numbers.iter().map(|number| {
            let node = &self.nodes[usize::from(*number)];
            (*number, &*node.name)
        });
        Ring::new(named).ok_or_else(|| invalid("store shards", list, HOW))
    }

    fn node(&mut self, text: &str) -> Result<u16, Error> {
        let (name, place) = match text.split_once('=') {
            Some((name, place)) => (Some(name), place),
            None => (None, text),
        };
        let kind = if place.contains('/') { "+sentinel" } else { "" };
        let (scheme, credentials, query) = (self.scheme, &self.credentials, &self.query);
        let url = format!("{scheme}{kind}://{credentials}{place}?{query}");
        let settings = Settings::parse(&url)?;
        let name = match (name, &settings.master) {
            (Some(name), _) => name.to_owned(),
            (None, Some(master)) => master.clone(),
            (None, None) => settings.addresses[0].to_string(),
        };
        if let Some(known) = self.nodes.iter().position(|node| node.name == name) {
            let same = self.nodes[known].settings.addresses == settings.addresses;
            if !same {
                let fix = "two places have this name: give each node a name= of its own";
                return Err(invalid("store shards", &name, fix));
            }
            return Ok(known as u16);
        }
        self.nodes.push(Shard { name, settings });
        Ok((self.nodes.len() - 1) as u16)
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

    fn names(shards: &Shards) -> Vec<&str> {
        shards.nodes.iter().map(|node| &*node.name).collect()
    }

    #[test]
    fn nodes_are_standalone_or_behind_sentinels() {
        let text = "user:pass@a|b:7000|s1,s2:26380/east|west=c?layout=fields&db=3";
        let shards = Shards::parse("rediss", text).unwrap();
        assert_eq!(names(&shards), ["a:6379", "b:7000", "east", "west"]);
        assert!(shards.moving.is_none());
        for node in &shards.nodes {
            assert_eq!(node.settings.user.as_deref(), Some("user"));
            assert_eq!(node.settings.layout, crate::settings::LayoutName::Fields);
        }
        assert_eq!(shards.nodes[2].settings.addresses.len(), 2);
        assert_eq!(shards.nodes[2].settings.master.as_deref(), Some("east"));
    }

    #[test]
    fn a_move_names_the_nodes_of_before_and_its_time() {
        let text = "a|b|c?moved-from=a|d&moving=2026-12-01T00:00:00Z/2026-12-01T00:00:01Z";
        let shards = Shards::parse("redis", text).unwrap();
        assert_eq!(names(&shards), ["a:6379", "b:6379", "c:6379", "d:6379"]);
        let moving = shards.moving.unwrap();
        assert_eq!(moving.end.as_millis() - moving.start.as_millis(), 1_000);
        let owners = (0..4096).filter_map(cloakroom_core::id::SlotTag::new);
        assert!(
            owners
                .into_iter()
                .all(|tag| [0, 3].contains(&moving.before.owner(tag)))
        );
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
        ];
        for (text, said) in cases {
            let error = fails(text);
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}

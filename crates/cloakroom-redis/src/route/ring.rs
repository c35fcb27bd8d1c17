//! Which of several independent nodes owns a slot tag: highest random weight ("rendezvous") hashing
//! (Thaler and Ravishankar, 1998). It is consistent: a node that joins takes its share from all
//! others alike, one that leaves gives it to all others alike, and nothing else moves.

use cloakroom_core::id::SlotTag;
use sha2::{Digest, Sha256};

const DOMAIN: &[u8] = b"cloakroom/shard/1:";

/// The owner of every tag. Part of the stored format: another way to choose would lose sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ring {
    /// By the tag's number.
    owners: Box<[u16]>,
}

impl Ring {
    /// The ring of nodes with these names, each with the number that it is known by. The order does
    /// not matter. `None` without nodes.
    pub(crate) fn new<'a>(nodes: impl IntoIterator<Item = (u16, &'a str)>) -> Option<Self> {
        let nodes: Vec<_> = nodes.into_iter().collect();
        let owner = |tag: u16| {
            let heaviest = nodes
                .iter()
                .max_by_key(|(_, name)| (weight(name, tag), *name));
            heaviest.map(|(number, _)| *number)
        };
        let owners = (0..SlotTag::COUNT as u16)
            .map(owner)
            .collect::<Option<_>>()?;
        Some(Self { owners })
    }

    /// Whether a node owns any tag.
    pub(crate) fn has(&self, number: u16) -> bool {
        self.owners.contains(&number)
    }

    /// The number of the node that owns a tag.
    pub(crate) fn owner(&self, tag: SlotTag) -> u16 {
        self.owners[usize::from(tag.number())]
    }
}

fn weight(name: &str, tag: u16) -> [u8; 8] {
    let digest = Sha256::new()
        .chain_update(DOMAIN)
        .chain_update(tag.to_be_bytes())
        .chain_update(name)
        .finalize();
    let mut weight = [0; 8];
    weight.copy_from_slice(&digest[..8]);
    weight
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(nodes: &[(u16, &str)]) -> Ring {
        Ring::new(nodes.iter().copied()).unwrap()
    }

    fn tags() -> impl Iterator<Item = SlotTag> {
        (0..SlotTag::COUNT as u16).filter_map(SlotTag::new)
    }

    #[test]
    fn a_node_that_joins_takes_its_share_and_nothing_else_moves() {
        let before = ring(&[(0, "a:6379"), (1, "b:6379"), (2, "c:6379")]);
        let after = ring(&[(0, "a:6379"), (1, "b:6379"), (2, "c:6379"), (3, "d:6379")]);
        let moved: Vec<_> = tags()
            .filter(|tag| before.owner(*tag) != after.owner(*tag))
            .collect();
        assert!(moved.iter().all(|tag| after.owner(*tag) == 3));
        let share = SlotTag::COUNT / 4;
        assert!(
            (share * 9 / 10..share * 11 / 10).contains(&moved.len()),
            "{}",
            moved.len()
        );
        for node in 0..3 {
            let given = moved
                .iter()
                .filter(|tag| before.owner(**tag) == node)
                .count();
            assert!(given > share / 4, "node {node} gave {given} of {share}");
        }
    }

    #[test]
    fn the_order_of_the_nodes_does_not_matter() {
        let one = ring(&[(0, "a:1"), (1, "b:1"), (2, "c:1")]);
        assert_eq!(one, ring(&[(2, "c:1"), (0, "a:1"), (1, "b:1")]));
    }

    /// Owners are part of the stored format: these were written down when it was made.
    #[test]
    fn owners_stay_where_they_are() {
        let ring = ring(&[
            (0, "10.0.0.1:6379"),
            (1, "10.0.0.2:6379"),
            (2, "cache-3:6379"),
        ]);
        let owners: Vec<_> = tags().take(24).map(|tag| ring.owner(tag)).collect();
        let written = [
            1, 1, 1, 2, 1, 0, 2, 0, 1, 2, 2, 1, 1, 0, 0, 0, 0, 0, 2, 2, 1, 1, 1, 1,
        ];
        assert_eq!(owners, written);
    }

    #[test]
    fn without_nodes_there_is_no_ring() {
        assert_eq!(Ring::new([]), None);
    }
}

//! What sentinels say of a primary, and what a majority of them comes to.

use std::collections::HashMap;
use std::time::Instant;

use crate::failure::{Class, Failure};
use crate::settings::Address;

/// What one sentinel says.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    /// When it was asked; it cannot have answered earlier.
    pub(crate) asked: Instant,
    /// Since when it says so.
    pub(crate) since: Instant,
    pub(crate) primary: Address,
    /// Counts failovers: the higher is the later word.
    pub(crate) epoch: u64,
    /// It runs a failover, and there is no new primary yet.
    pub(crate) failing_over: bool,
    /// The replicas, and whether they could be promoted.
    pub(crate) replicas: Vec<(String, bool)>,
    /// The replicas, and whether they could be if there is none better.
    pub(crate) last_resort: Vec<(String, bool)>,
}

/// What each sentinel said last, or why it said nothing.
pub(super) type Words = Vec<Option<Result<Word, Failure>>>;

/// What the words of a majority come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) primary: Address,
    pub(super) epoch: u64,
    pub(super) asked: Instant,
    pub(super) since: Instant,
    pub(super) replicas: u64,
    pub(super) last_resort: u64,
}

/// What a majority of `all` sentinels says, if they agree.
pub(super) fn judge(all: usize, heard: &[&Word]) -> Option<Verdict> {
    let majority = all / 2 + 1;
    let latest = heard.iter().max_by_key(|word| (word.epoch, word.asked))?;
    let mut agreed: Vec<&Word> = heard
        .iter()
        .copied()
        .filter(|word| word.epoch == latest.epoch && word.primary == latest.primary)
        .collect();
    // The instant from which on so many had said it.
    agreed.sort_by_key(|word| std::cmp::Reverse(word.asked));
    let asked = agreed.get(majority - 1)?.asked;
    agreed.sort_by_key(|word| word.since);
    let since = agreed.get(majority - 1)?.since;
    // A replica is excused if so many say that it cannot be promoted.
    let not_excused = |said: &dyn Fn(&'_ Word) -> &'_ [(String, bool)]| {
        let mut able: HashMap<&str, usize> = HashMap::new();
        for (name, is_able) in agreed.iter().flat_map(|word| said(word)) {
            *able.entry(name).or_default() += usize::from(*is_able);
        }
        let excused = |votes: &usize| agreed.len().saturating_sub(*votes) >= majority;
        able.values().filter(|votes| !excused(votes)).count() as u64
    };
    Some(Verdict {
        primary: latest.primary.clone(),
        epoch: latest.epoch,
        asked,
        since,
        replicas: not_excused(&|word| &word.replicas),
        last_resort: not_excused(&|word| &word.last_resort),
    })
}

/// Why there is no primary, if all were asked and too few answer.
pub(super) fn failure(words: &[Option<Result<Word, Failure>>]) -> Option<Failure> {
    let answered = words.iter().flatten().filter(|word| word.is_ok()).count();
    let asked = words.iter().flatten().count();
    if asked < words.len() || answered > words.len() / 2 {
        return None;
    }
    let failures = words
        .iter()
        .flatten()
        .filter_map(|word| word.as_ref().err());
    let most_telling = failures
        .clone()
        .max_by_key(|failure| !failure.class().is_retryable())?;
    if answered == 0 || !most_telling.class().is_retryable() {
        return Some(most_telling.clone());
    }
    let silent: Vec<&str> = failures.map(Failure::detail).collect();
    let (all, silent) = (words.len(), silent.join(", "));
    let words = format!("{answered} of {all} sentinels answer, which is no majority ({silent})");
    Some(Failure::naming(Class::NoMajority, words))
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;

    pub(crate) fn word(primary: u16, epoch: u64, asked: Instant) -> Word {
        Word {
            asked,
            since: asked,
            primary: Address::Tcp {
                host: "127.0.0.1".to_owned(),
                port: primary,
                tls: false,
            },
            epoch,
            failing_over: false,
            replicas: vec![("a".to_owned(), true), ("b".to_owned(), true)],
            last_resort: Vec::new(),
        }
    }

    #[test]
    fn a_minority_says_nothing() {
        let now = Instant::now();
        let (old, new) = (word(1, 0, now), word(2, 1, now));
        assert_eq!(judge(3, &[&old]), None);
        assert_eq!(
            judge(3, &[&old, &old, &new]),
            None,
            "one knows a later primary"
        );
        let verdict = judge(3, &[&old, &new, &new]).expect("two know it");
        assert_eq!((verdict.epoch, verdict.primary), (1, new.primary.clone()));
        assert_eq!(judge(5, &[&new, &new]), None);
        assert!(judge(1, &[&old]).is_some());
    }

    #[test]
    fn a_word_is_as_old_as_the_majority() {
        let now = Instant::now();
        let [first, second, third] = [0, 100, 300].map(|ms| now + Duration::from_millis(ms));
        let words = [first, second, third].map(|asked| word(1, 0, asked));
        let verdict = judge(3, &[&words[2], &words[0], &words[1]]).expect("all agree");
        assert_eq!(verdict.asked, second, "two have said it since");
        assert_eq!(verdict.since, second, "from then on two knew it");
    }

    #[test]
    fn a_replica_is_excused_by_a_majority() {
        let now = Instant::now();
        let (up, mut down) = (word(1, 0, now), word(1, 0, now));
        down.replicas[1].1 = false;
        let wanted = |words: &[&Word]| judge(3, words).expect("all agree").replicas;
        assert_eq!(wanted(&[&up, &up, &up]), 2);
        assert_eq!(wanted(&[&up, &up, &down]), 2);
        assert_eq!(
            wanted(&[&up, &down]),
            2,
            "who was not heard may find it able"
        );
        assert_eq!(wanted(&[&up, &down, &down]), 1);
        assert_eq!(wanted(&[&down, &down]), 1);
    }
}

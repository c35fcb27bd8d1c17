//! What may be shown of a value that somebody wrote: URLs lose their passwords, also where the URL is
//! not the one that was meant, or no URL at all.

/// Parameters of a store's URL whose values are no secrets.
const HARMLESS: [&str; 11] = [
    "ca",
    "connections",
    "db",
    "durability",
    "ids",
    "layout",
    "moving",
    "protocol",
    "scripts",
    "sentinel-user",
    "timeout",
];

/// What stands where a secret was.
pub(crate) const SECRET: &str = "***";
const MASK: &str = SECRET;
/// What stands where credentials were.
pub(crate) const PASSWORD: &str = "***@";

/// A store's URL without what only its owner may know: `redis://app:***@host:6379/0`. Rather too
/// much is hidden than too little: everything up to the last `@` but the user's name.
pub(crate) fn url(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let mut shown = String::new();
    if !scheme.is_empty() {
        shown.push_str(scheme);
        shown.push_str("://");
    }
    let rest = match rest.rsplit_once('@') {
        None => rest,
        Some((credentials, rest)) => {
            // Without a colon it may be a password in the wrong place.
            let user = credentials.split_once(':').map(|(user, _)| user);
            let user = user.filter(|_| !scheme.is_empty());
            if let Some(user) = user {
                shown.push_str(user);
                shown.push(':');
            }
            shown.push_str(PASSWORD);
            rest
        }
    };
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    shown.push_str(place);
    let mut joint = '?';
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        shown.push(joint);
        joint = '&';
        match parameter.split_once('=') {
            Some((name, value)) => {
                shown.push_str(name);
                shown.push('=');
                shown.push_str(if HARMLESS.contains(&name) {
                    value
                } else {
                    MASK
                });
            }
            None => shown.push_str(MASK),
        }
    }
    if !fragment.is_empty() {
        shown.push('#');
        shown.push_str(MASK);
    }
    shown
}

/// A text in which every word that looks like a URL is masked.
pub(crate) fn words(text: &str) -> String {
    text.split_inclusive(char::is_whitespace)
        .map(|word| match word.find("://") {
            None => word.to_owned(),
            Some(_) => {
                let bare = word.trim_end();
                url(bare) + &word[bare.len()..]
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{url, words};

    #[test]
    fn passwords_are_hidden_wherever_they_may_be() {
        for (written, shown) in [
            ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
            ("redis://app:s3cret@h:6379/0", "redis://app:***@h:6379/0"),
            ("redis://:s3cret@h", "redis://:***@h"),
            ("redis://s3cret@h", "redis://***@h"),
            ("redis://app:s3@cret@h", "redis://app:***@h"),
            ("redis://app:s3/c@ret@h/0", "redis://app:***@h/0"),
            ("redis://app:12#s3@h", "redis://app:***@h"),
            ("app:s3cret@h", "***@h"),
            (
                "redis+sentinel://app:s3cret@a,b:1/shop?timeout=5",
                "redis+sentinel://app:***@a,b:1/shop?timeout=5",
            ),
            (
                "redis+shards://app:s3cret@a|app:s3cret@b",
                "redis+shards://app:***@b",
            ),
            (
                "redis://h?password=s3cret&db=2",
                "redis://h?password=***&db=2",
            ),
            ("redis://h?s3cret", "redis://h?***"),
            ("redis://h#s3cret", "redis://h#***"),
            ("unix:/run/redis.sock?db=2", "unix:/run/redis.sock?db=2"),
            ("embedded", "embedded"),
            ("", ""),
        ] {
            assert_eq!(url(written), shown, "{written}");
            assert!(!shown.contains("s3"));
        }
    }

    #[test]
    fn other_words_stay() {
        let text = "error: unexpected 'redis://a:b@h/0'\n  try --help";
        let shown = "error: unexpected 'redis://a:***@h/0'\n  try --help";
        assert_eq!(words(text), shown);
    }
}

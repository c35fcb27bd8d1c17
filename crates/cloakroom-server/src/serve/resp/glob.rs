//! Patterns as `KEYS`, `SCAN` and `PSUBSCRIBE` know them: `*`, `?`, `[a-z]`, `[^a]` and a backslash. Time is
//! bounded by text times pattern, where Redis' own matcher can be made to take for ever.

/// Whether `text` is of the form `pattern`.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut in_text) = (0, 0);
    // Where to go on if what follows the last star does not fit.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if at < pattern.len() && pattern[at] == b'*' {
            at += 1;
            retry = Some((at, in_text));
            continue;
        }
        if in_text == text.len() {
            if at >= pattern.len() {
                return true;
            }
            return false;
        }
        if at < pattern.len()
            && let (true, next) = one(pattern, at, text[in_text])
        {
            at = next;
            in_text += 1;
            continue;
        }
        match retry {
            Some((star, began)) => {
                retry = Some((star, began + 1));
                at = star;
                in_text = began + 1;
            }
            None => return false,
        }
    }
}

/// Whether every text is of this form.
pub(crate) fn takes_all(pattern: &[u8]) -> bool {
    !pattern.is_empty() && pattern.iter().all(|byte| *byte == b'*')
}

/// Whether the element at `at` takes `byte`, and where the next element begins.
fn one(pattern: &[u8], at: usize, byte: u8) -> (bool, usize) {
    match pattern[at] {
        b'?' => (true, at + 1),
        b'[' => class(pattern, at + 1, byte),
        b'\\' if at + 1 < pattern.len() => (pattern[at + 1] == byte, at + 2),
        other => (other == byte, at + 1),
    }
}

fn class(pattern: &[u8], begin: usize, byte: u8) -> (bool, usize) {
    let mut at = begin;
    let inverted = pattern.get(at) == Some(&b'^');
    if inverted {
        at += 1;
    }
    let mut found = false;
    loop {
        match pattern.get(at) {
            // As Redis: a class that never ends, ends with the pattern.
            None => break,
            Some(b']') => {
                at += 1;
                break;
            }
            Some(b'\\') if at + 1 < pattern.len() => {
                at += 1;
                found |= pattern[at] == byte;
                at += 1;
            }
            Some(&first) if pattern.get(at + 1) == Some(&b'-') && at + 2 < pattern.len() => {
                let last = pattern[at + 2];
                found |= (first.min(last)..=first.max(last)).contains(&byte);
                at += 3;
            }
            Some(&same) => {
                found |= same == byte;
                at += 1;
            }
        }
    }
    (found != inverted, at)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_take_what_redis_takes() {
        let cases: [(&str, &str, bool); 19] = [
            ("*", "", true),
            ("*", "anything", true),
            ("sess:*", "sess:1", true),
            ("sess:*", "ses:1", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[c-a]x", "bx", true),
            ("[^a]x", "ax", false),
            ("[^a]x", "bx", true),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("", "", true),
            ("", "a", false),
            ("a**", "a", true),
            ("h[ae", "ha", true),
            ("a*b", "aXbX", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
        let stars = "a*".repeat(64) + "b";
        assert!(!matches(stars.as_bytes(), "a".repeat(4096).as_bytes()));
    }
}

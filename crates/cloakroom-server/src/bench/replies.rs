//! Where an answer ends and whether it is one: all that a load generator has to know of it.

/// What an answer was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply<'a> {
    /// Something.
    Some,
    /// Nothing: no such key, or 0 of something.
    Nothing,
    /// An error, without its sign.
    Error(&'a [u8]),
}

/// What was read does not belong to the Redis protocol.
#[derive(Debug)]
pub(super) struct NoReply;

/// The answer at the beginning of `bytes` and its length, if it is all there.
///
/// # Errors
/// If no answer begins like this.
pub(super) fn first(bytes: &[u8]) -> Result<Option<(Reply<'_>, usize)>, NoReply> {
    let Some((line, end)) = line(bytes) else {
        return Ok(None);
    };
    let (Some(sign), text) = (line.first(), line.get(1..).unwrap_or_default()) else {
        return Err(NoReply);
    };
    Ok(match sign {
        b'+' | b',' | b'#' | b'(' => Some((Reply::Some, end)),
        b'-' => Some((Reply::Error(text), end)),
        b'_' => Some((Reply::Nothing, end)),
        b':' if text == b"0" => Some((Reply::Nothing, end)),
        b':' => Some((Reply::Some, end)),
        b'$' | b'=' => match length(text)? {
            None => Some((Reply::Nothing, end)),
            Some(length) => {
                let all = end + length + 2;
                (bytes.len() >= all).then_some((Reply::Some, all))
            }
        },
        b'*' | b'~' | b'>' => several(bytes, end, length(text)?)?,
        b'%' => several(
            bytes,
            end,
            length(text)?.map(|pairs| pairs.saturating_mul(2)),
        )?,
        _ => return Err(NoReply),
    })
}

fn several(
    bytes: &[u8],
    mut end: usize,
    count: Option<usize>,
) -> Result<Option<(Reply<'_>, usize)>, NoReply> {
    let count = count.unwrap_or(0);
    for _ in 0..count {
        match first(&bytes[end..])? {
            Some((_, length)) => end += length,
            None => return Ok(None),
        }
    }
    let reply = if count == 0 {
        Reply::Nothing
    } else {
        Reply::Some
    };
    Ok(Some((reply, end)))
}

/// The first line, without its end, and where the next one begins.
fn line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let at = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((
        bytes[..at].strip_suffix(b"\r").unwrap_or(&bytes[..at]),
        at + 1,
    ))
}

/// A length, or nothing for -1.
fn length(text: &[u8]) -> Result<Option<usize>, NoReply> {
    if text == b"-1" {
        return Ok(None);
    }
    let text = str::from_utf8(text).map_err(|_| NoReply)?;
    text.parse().map(Some).map_err(|_| NoReply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_is_told_from_the_next_and_from_half_of_it() {
        for (bytes, reply) in [
            (&b"+OK\r\n"[..], Reply::Some),
            (b":1\r\n", Reply::Some),
            (b":0\r\n", Reply::Nothing),
            (b"$-1\r\n", Reply::Nothing),
            (b"_\r\n", Reply::Nothing),
            (b"$0\r\n\r\n", Reply::Some),
            (b"$4\r\na\r\nb\r\n", Reply::Some),
            (b"-ERR no\r\n", Reply::Error(b"ERR no")),
            (b"*0\r\n", Reply::Nothing),
            (b"*2\r\n$1\r\na\r\n:0\r\n", Reply::Some),
            (b"%1\r\n+a\r\n*1\r\n$-1\r\n", Reply::Some),
        ] {
            for end in 0..bytes.len() {
                assert_eq!(first(&bytes[..end]).unwrap(), None, "{bytes:?}");
            }
            let two = [bytes, b":7\r\n"].concat();
            assert_eq!(first(&two).unwrap(), Some((reply, bytes.len())));
        }
        for bytes in [&b"HTTP/1.1 200 OK\r\n"[..], b"$x\r\n", b"\r\n"] {
            assert!(first(bytes).is_err(), "{bytes:?}");
        }
    }
}
